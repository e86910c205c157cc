"""The answer of a run in plain words, and what a reader must know before believing it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from aimat_ray.report.candidates import Candidate
from aimat_ray.report.facts import SUBJECT, Facts, Rate, compare
from aimat_ray.report.markup import Html, el, join
from aimat_ray.report.run_files import Manifests, dig, number
from aimat_ray.report.wording import amount, count, fixed, listing, percent, plural, rate
from aimat_ray.rl.forms import LOOKAHEAD

Severity = Literal["stop", "caution", "note"]
LOW_CONFIRMED_SHARE = 0.25
LOW_R2 = 0.3
FEW_ROWS = 10

SIGNATURES = {
    "mode_collapse": "Mode collapse",
    "value_reward_divergence": "Critic value and predictions drift apart",
    "leaving_domain": "Leaving the domain of the surrogate",
    "reward_falling": "Reward fell",
}


@dataclass(frozen=True)
class Caution:
    """Something that limits what the run may be used for."""

    severity: Severity
    title: str
    detail: Html


def answer(facts: Facts) -> list[Html]:
    """Paragraphs that answer: what was designed, what is confirmed, and was the method worth its price."""
    paragraphs = [_designed(facts), _success(facts), _comparison(facts), _dearer(facts)]
    return [paragraph for paragraph in paragraphs if paragraph]


def material(facts: Facts) -> str:
    """What is designed, such as "Zr-based alloys"."""
    return f"{facts.base}-based alloys" if facts.base else "alloys"


def _designed(facts: Facts) -> Html:
    if facts.files.candidates is None:
        return join("This run has no list of candidates (yet): ", _stage(facts))
    n, confirmed = len(facts.candidates), len(facts.confirmed)
    if n == 0:
        return join(el("strong", "No candidate was found"), ": no design of this run reached its goal.")
    opening = join(el("strong", f"{count(n)} {material(facts)}"), " were designed" if n > 1 else " was designed")
    if facts.goal_title:
        opening = join(opening, f" (goal: {facts.short_title})")
    if all(candidate.confirmed is None for candidate in facts.candidates):
        return join(opening, ". None has been put before an independent judge.")
    if confirmed == 0:
        return join(
            opening, "; ", el("strong", "none of them is confirmed"),
            ": only the surrogate that the method trained on believes that they reach the goal. ",
            _finders(facts), _truth(facts),
        )  # fmt: skip
    which = el("strong", f"{'all' if confirmed == n else count(confirmed)} of them {_are(confirmed)} confirmed")
    return join(
        opening, "; ", which,
        ": they lie where the surrogate knows its ground, and a judge model, trained apart from it, also sees them at "
        "the goal. ",
        _finders(facts), _truth(facts),
    )  # fmt: skip


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _finders(facts: Facts) -> str:
    """Which methods found the candidates, unless it was the method of the run alone."""
    found = facts.finders
    if not found or (facts.subject is not None and list(found) == [facts.subject.method.label]):
        return ""
    return f"Found by {listing([f'{label.lower()} ({count(n)})' for label, n in found.items()])}. "


def _truth(facts: Facts) -> str:
    """On the synthetic world the truth is known."""
    known = [candidate for candidate in facts.candidates if candidate.true is not None]
    if not known:
        return ""
    true = sum(bool(candidate.true) for candidate in known)
    honest = sum(bool(candidate.true) for candidate in known if candidate.confirmed)
    return (
        f"In the synthetic world the truth is known: {count(true)} of {count(len(known))} candidates "
        f"({count(honest)} of the {count(len(facts.confirmed))} confirmed) truly reach the goal."
    )


def _stage(facts: Facts) -> str:
    metrics = facts.files.metrics
    if metrics is None or len(metrics) == 0 or "env_steps" not in metrics:
        return "no training has been recorded."
    planned = number(dig(facts.files.run, "settings", "steps"))
    done = number(metrics["env_steps"].iloc[-1])
    of = f" of {count(planned)}" if math.isfinite(planned) else ""
    return f"training was last recorded after {count(done)}{of} environment steps."


def _name(facts: Facts) -> str:
    if facts.subject is None or facts.is_policy:
        return "The trained policy"
    return f"The {facts.subject.method.label.lower()}"


def _success(facts: Facts) -> Html:
    subject = facts.subject
    if subject is None:
        return join("It was not evaluated, so nothing can be said about how often the method reaches the goal.")
    starts = f"{plural(int(subject.episodes), 'fresh start')}" if math.isfinite(subject.episodes) else "fresh starts"
    price = (
        f", spending {amount(subject.predictions)} surrogate predictions per episode"
        if math.isfinite(subject.predictions)
        else ""
    )
    return join(
        f"{_name(facts)} reached the goal from ", el("strong", rate(subject.mean, subject.lower, subject.upper)),
        f" of {starts}{price}. The range in brackets is the 95 % interval.",
    )  # fmt: skip


def _comparison(facts: Facts) -> Html:
    """The method against the best control of its price."""
    subject = facts.subject
    if subject is None:
        return Html()
    control = facts.best_control(subject.method.price)
    if control is None:
        return join("No control of the same price was evaluated, so it is open whether learning was worth anything.")
    name = _name(facts)
    subject_name = name[0].lower() + name[1:]
    opening = f"The best control of its price, {control.method.label.lower()}, reaches {_rate(control)}: "
    outcome = compare(subject, control)
    if outcome == "above":
        return join(opening, el("strong", f"{subject_name} beats it"), ".")
    if outcome == "below":
        return join(
            opening,
            el("strong", f"{subject_name} does not beat it"),
            ". For this goal the control is the better choice.",
        )
    return join(
        opening, el("strong", f"it is not shown that {subject_name} beats it"),
        ", because the 95 % intervals overlap.",
    )  # fmt: skip


def _dearer(facts: Facts) -> Html:
    """Lookahead against greedy search, and the share of the ceiling."""
    sentences = []
    lookahead, greedy = facts.rate(LOOKAHEAD), facts.rate("greedy_16")
    if lookahead is not None and greedy is not None:
        words = {"above": "beats", "below": "stays below", "level": "can’t be told apart from"}
        sentences.append(
            f"With a lookahead of 16 it reaches {_rate(lookahead)} and {words[compare(lookahead, greedy)]} "
            f"greedy search of the same price, at {_rate(greedy)}."
        )
    ceiling, subject = facts.rate("ceiling"), facts.subject
    if ceiling is not None and subject is not None and ceiling.mean > 0:
        sentences.append(
            f"The most that any search found on this surrogate is {_rate(ceiling)}; "
            f"{_name(facts).lower()} reaches {percent(subject.mean / ceiling.mean)} of that."
        )
    return join(" ".join(sentences))


def _rate(value: Rate) -> str:
    return rate(value.mean, value.lower, value.upper)


def cautions(facts: Facts, manifests: Manifests | None = None) -> list[Caution]:
    """Everything that limits the answer, gravest first.

    Args:
        facts: The run.
        manifests: Manifests by role; with that of the surrogate, badly predicted goal properties are named.
    """
    found = [
        *_about_data(facts),
        *_about_completeness(facts),
        *_about_goal(facts),
        *_about_scores(facts, dig(dict(manifests or {}), "surrogate")),
        *_about_candidates(facts),
        *_about_training(facts),
        *_about_notes(facts),
    ]
    order = {"stop": 0, "caution": 1, "note": 2}
    return sorted(found, key=lambda item: order[item.severity])


def _about_data(facts: Facts) -> list[Caution]:
    if facts.synthetic is None:
        return [Caution("caution", "Origin of the data unknown", join("The run does not say which data it used."))]
    if not facts.synthetic:
        return []
    return [about_synthetic_data()]


def about_synthetic_data() -> Caution:
    """What stands first on every page that is not about real alloys."""
    text = "All alloys, properties and models come from a synthetic world with invented formulas. No number here describes a real alloy."  # noqa: E501
    return Caution("stop", "Synthetic data", join(text))


def _about_completeness(facts: Facts) -> list[Caution]:
    if facts.files.complete:
        return []
    return [Caution("stop", "The run is not complete", join(f"{_stage(facts)[0].upper()}{_stage(facts)[1:]}"))]


def _about_goal(facts: Facts) -> list[Caution]:
    found = []
    for item in facts.thresholds:
        label = item.spec.label if item.spec else item.quantity
        if item.pooled_group:
            text = f"Too few {facts.base} alloys measure it; the threshold comes from the group {item.pooled_group}."
            found.append(Caution("caution", f"Pooled threshold: {label}", join(text)))
        elif item.source == "median":
            text = f"No {facts.base} alloy measures it; the threshold is the median over the other bases."
            found.append(Caution("caution", f"Imputed threshold: {label}", join(text)))
        elif item.n_rows < FEW_ROWS and item.source != "user":
            text = f"The threshold rests on {plural(int(item.n_rows), 'measured alloy')} only."
            found.append(Caution("caution", f"Few measurements: {label}", join(text)))
        if item.quantity in facts.problem.cautions:
            found.append(Caution("caution", label[0].upper() + label[1:], join(facts.problem.cautions[item.quantity])))
    return found


def _about_scores(facts: Facts, manifest: object) -> list[Caution]:
    """Goal properties that the surrogate hardly predicts among alloys of the wanted class, on unseen systems."""
    found = []
    for item in facts.thresholds:
        score = dig(manifest, "targets", item.quantity, "feasible_score")
        r2, lower, upper, n = (number(dig(score, key)) for key in ("r2", "lower", "upper", "n"))
        if item.spec is not None and r2 < LOW_R2:
            text = (
                f"Among measured {facts.problem.feasibility.positive} alloys of unseen systems the surrogate explains "
                f"little of it: R² {fixed(r2, 2)} ({fixed(lower, 2)} to {fixed(upper, 2)}) on {count(n)} alloys."
            )
            found.append(Caution("caution", f"Hardly predictable: {item.spec.label}", join(text)))
    return found


def _about_candidates(facts: Facts) -> list[Caution]:
    found = []
    n = len(facts.candidates)
    share = number(dig(facts.evaluation, "confirmed_share"))
    if share < LOW_CONFIRMED_SHARE:
        many = f"only {percent(share)}" if share > 0 else "none"
        n_goal = number(dig(facts.evaluation, "confirmed", "n"))
        designs = plural(int(n_goal), "design") if math.isfinite(n_goal) else "designs"
        text = f"The judge confirms {many} of the {designs} that the surrogate sees at the goal."
        found.append(Caution("caution", "Most successes are the surrogate’s own opinion", join(text)))
    foreign = sum(candidate.base_is_majority is False for candidate in facts.candidates)
    if foreign:
        text = (
            f"In {count(foreign)} of {plural(n, 'candidate')} an element other than {facts.base} has the largest share."
        )
        found.append(Caution("caution", f"Not {facts.base}-based", join(text)))
    outside = sum(candidate.in_domain is False for candidate in facts.candidates)
    if outside:
        text = f"{count(outside)} of {plural(n, 'candidate')} lie where the surrogate was not trained; its intervals don’t hold there."  # noqa: E501
        found.append(Caution("caution", "Outside the domain", join(text)))
    unsure = sum(_may_miss(facts, candidate) for candidate in facts.candidates)
    if unsure:
        text = f"For {count(unsure)} of {plural(n, 'candidate')} the 90 % interval of at least one goal property reaches past its threshold: the alloy may miss the goal."  # noqa: E501
        found.append(Caution("note", "Intervals reach past the thresholds", join(text)))
    return found


def _may_miss(facts: Facts, candidate: Candidate) -> bool:
    """Whether an interval's pessimistic end misses its threshold (unknown ends do not count)."""
    return any(
        candidate.estimate(item.quantity).lower < item.at_least
        or candidate.estimate(item.quantity).upper > item.at_most
        for item in facts.thresholds
    )


def _about_training(facts: Facts) -> list[Caution]:
    found = []
    kinds = list(dict.fromkeys(str(warning.get("signature", "")) for warning in facts.files.warnings))
    if kinds:
        names = listing([SIGNATURES.get(kind, kind.replace("_", " ")).lower() for kind in kinds])
        text = join(
            f"Failure signatures seen while training: {names}. See ", el("a", "Training", href="#training"), "."
        )
        found.append(Caution("caution", "Warnings while training", text))
    subject = facts.subject
    control = facts.best_control(subject.method.price) if subject else None
    if subject and control and compare(subject, control) != "above":
        better = "does better" if compare(subject, control) == "below" else "is not clearly worse"
        text = join(
            f"{control.method.label} {better} at the same price. See ",
            el("a", "Success and its price", href="#success"), ".",
        )  # fmt: skip
        found.append(Caution("caution", "No gain over the control of its price", text))
    return found


def _about_notes(facts: Facts) -> list[Caution]:
    notes = facts.evaluation.get("notes")
    return [Caution("note", "Note of the run", join(str(note))) for note in notes] if isinstance(notes, list) else []


def price_remark(facts: Facts, row: Rate) -> str:
    """How a row of the success chart compares with the subject, in two words."""
    subject = facts.subject
    if subject is None or row.key == SUBJECT or row.method.price != subject.method.price:
        return ""
    words = {"above": "above it", "below": "below it", "level": "not separated from it"}
    return words[compare(row, subject)].replace("it", "the policy" if facts.is_policy else "this method")
