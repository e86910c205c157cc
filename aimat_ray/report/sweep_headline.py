"""The answer of a sweep in plain words, and what a reader must know before believing it."""

from __future__ import annotations

from aimat_ray.report.facts import SUBJECT, Rate, compare
from aimat_ray.report.headline import LOW_CONFIRMED_SHARE, Caution, about_synthetic_data
from aimat_ray.report.markup import Html, el, join
from aimat_ray.report.page import tile
from aimat_ray.report.sweep_facts import SweepFacts, agreed_share, ranked_candidates
from aimat_ray.report.sweep_sections import outcome, unfinished_words
from aimat_ray.report.sweep_statistics import confirmed_mean, mean_rates, paired_rates
from aimat_ray.report.wording import count, listing, percent, plural, rate
from aimat_ray.rl.forms import FORMS, LOOKAHEAD


def answer(facts: SweepFacts) -> list[Html]:
    """Paragraphs: what was designed, how often it works, and whether learning was worth its price."""
    return [paragraph for paragraph in (_designed(facts), _success(facts), _comparison(facts)) if paragraph]


def _designed(facts: SweepFacts) -> Html:
    found = ranked_candidates(facts.runs)
    confirmed = [entry for entry in found if entry[2].confirmed]
    bases = {facts_.base for _, facts_, _ in confirmed}
    asked = len(facts.bases) + len(facts.no_goal)
    opening = f"{plural(asked, 'base element')} asked for: {count(len(facts.bases))} with a goal in the data"
    if facts.no_goal:
        opening += f", {count(len(facts.no_goal))} without enough measured alloys for one"
    if not found:
        return join(f"{opening}. {unfinished_words(facts)}; ", el("strong", "no candidate was found"), " so far.")
    known = [item.true for _, _, item in confirmed if item.true is not None]
    truth = (
        f" In the synthetic world the truth is known: {count(sum(known))} of the {count(len(known))} confirmed "
        "truly reach it."
        if known
        else ""
    )
    return join(
        f"{opening}. {unfinished_words(facts)}. ", el("strong", f"{plural(len(found), 'alloy')}"),
        " at the goal of their base were designed; ",
        el("strong", f"{count(len(confirmed))} of them confirmed, for {plural(len(bases), 'base')}"),
        ": in the domain of the surrogate, and a judge model, trained apart from it, also sees them at the goal.",
        truth,
    )  # fmt: skip


def _success(facts: SweepFacts) -> Html:
    means = mean_rates(facts)
    if SUBJECT not in means:
        return join(
            "No run has been evaluated yet, so nothing can be said about how often the method reaches the goal."
        )
    own, n = means[SUBJECT]
    sentences: list[Html] = [
        join(f"Averaged over {plural(n, 'base')}, the method of the sweep reached the goal from ",
             el("strong", _rate(own)), " of fresh starts")
    ]  # fmt: skip
    if LOOKAHEAD in means:
        sentences.append(join(f", and with a lookahead of 16 moves a step from {_rate(means[LOOKAHEAD][0])}"))
    sentences.append(join(". "))
    if (share := _of_ceiling(facts, SUBJECT)) is not None:
        top = means["ceiling"][0]
        shares = [f"the method reaches {percent(share)} of that"]
        if (ahead := _of_ceiling(facts, LOOKAHEAD)) is not None:
            shares.append(f"with lookahead {percent(ahead)}")
        sentences.append(
            join(f"The most that a long search finds on these surrogates is {_rate(top)}: {', '.join(shares)}. ")
        )
    agreed, confirmed = agreed_share(run.facts for run in facts.main_runs), confirmed_mean(facts)
    if agreed is not None:
        sentences.append(join("The judge agrees with ", el("strong", _rate(agreed)), " of the designs at the goal. "))
    if confirmed is not None:
        sentences.append(join(f"{_rate(confirmed)} of fresh starts end in a confirmed design."))
    return join(*sentences)


def _of_ceiling(facts: SweepFacts, key: str) -> float | None:
    """What share of the ceiling a method reaches, over the bases that have both."""
    pair = paired_rates(facts, key, "ceiling")
    return pair[0].mean / pair[1].mean if pair is not None and pair[1].mean > 0 else None


def _comparison(facts: SweepFacts) -> Html:
    """The method against the best control of its price, and lookahead against greedy search."""
    means = mean_rates(facts)
    if SUBJECT not in means:
        return Html()
    own, n_bases = means[SUBJECT]
    controls = [mean for mean, _ in means.values() if mean.key not in (SUBJECT, *FORMS)]
    same = [mean for mean in controls if mean.method.price == own.method.price]
    sentences = []
    if same and (pair := paired_rates(facts, SUBJECT, max(same, key=lambda mean: mean.mean).key)):
        mine, best, n = pair
        sentences.append(
            f"The best control of its price, {best.method.label.lower()}, reaches {_rate(best)}{_where(n, n_bases)}: "
            f"the method {_words(mine, best)}."
        )
    if pair := paired_rates(facts, LOOKAHEAD, "greedy_16"):
        ahead, greedy, n = pair
        sentences.append(
            f"Greedy search with 16 predictions a step reaches {_rate(greedy)}{_where(n, n_bases)}: "
            f"with lookahead the method {_words(ahead, greedy)}."
        )
    return join(" ".join(sentences))


def _where(n: int, n_bases: int) -> str:
    return f" over {plural(n, 'base')} with both" if n < n_bases else ""


def _words(a: Rate, b: Rate) -> str:
    return {
        "above": "beats it",
        "below": "does not beat it",
        "level": "is not shown to beat it, because the 95 % intervals overlap",
    }[compare(a, b)]


def _rate(value: Rate) -> str:
    return rate(value.mean, value.lower, value.upper)


def tiles(facts: SweepFacts) -> Html | None:
    """The numbers that a reader looks for first."""
    found = []
    ranked = ranked_candidates(facts.runs)
    confirmed = [entry for entry in ranked if entry[2].confirmed]
    bases = {item.base for _, item, _ in confirmed}
    done = len(facts.finished)
    if done < facts.n_planned:
        found.append(tile(f"{count(done)} of {count(facts.n_planned)}", "runs finished", "plain"))
    found.append(
        tile(
            f"{count(len(bases))} of {count(len(facts.bases))}",
            "bases with a confirmed candidate",
            "good" if bases else "warm",
        )
    )
    found.append(tile(f"{count(len(confirmed))} of {count(len(ranked))}", "candidates confirmed", "plain"))
    means = mean_rates(facts)
    if SUBJECT in means:
        own = means[SUBJECT][0]
        found.append(tile(percent(own.mean), "mean strict success of the method"))
        if (share := _of_ceiling(facts, SUBJECT)) is not None:
            found.append(tile(percent(share), "of what a long search finds", "plain"))
    return el("ul", found, class_="tiles")


def cautions(facts: SweepFacts, data_reason: str) -> list[Caution]:
    """Everything that limits the answer, gravest first.

    Args:
        facts: The sweep.
        data_reason: Why measured alloys are not drawn; empty where they are.
    """
    found = []
    if facts.synthetic:
        found.append(about_synthetic_data())
    if len(facts.finished) < facts.n_planned and not facts.space:
        names = [run.name for run in facts.runs if not run.finished] + list(facts.missing)
        shown = listing(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        text = f"Not finished: {shown}. Means are over the bases that are."
        found.append(Caution("stop", "The sweep is not complete", join(text, " aimat sweep --resume goes on with it.")))
    failed = outcome(facts).get("failed")
    if isinstance(failed, int) and failed:
        found.append(Caution("caution", "Runs failed", join(f"{plural(failed, 'run')} failed; --resume tries again.")))
    if facts.no_goal:
        text = f"{listing(list(facts.no_goal))}: too few measured alloys for a goal; nothing was designed for them."
        found.append(Caution("note", f"{plural(len(facts.no_goal), 'base')} without evidence", join(text)))
    found += _about_runs(facts)
    if data_reason:
        found.append(Caution("caution", "Measured alloys are not drawn", join(f"The table is {data_reason}.")))
    order = {"stop": 0, "caution": 1, "note": 2}
    return sorted(found, key=lambda item: order[item.severity])


def _about_runs(facts: SweepFacts) -> list[Caution]:
    found = []
    versions = {str(run.facts.files.run.get("surrogate", {}).get("version")) for run in facts.finished}
    if len(versions) > 1:
        text = f"{listing(sorted(versions))}: rates on different surrogates are not comparable."
        found.append(Caution("caution", "Several surrogates", join(text)))
    agreed = agreed_share(run.facts for run in facts.main_runs)
    if agreed is not None and agreed.mean < LOW_CONFIRMED_SHARE:
        text = f"The judge agrees with only {percent(agreed.mean)} of the designs that the surrogate sees at the goal."
        found.append(Caution("caution", "Most successes are the surrogate’s own opinion", join(text)))
    pooled = [
        base for base in facts.bases for item in facts.of_base(base)[:1] if any(t.pooled_group for t in item.thresholds)
    ]
    if pooled:
        text = f"{listing(pooled)}: a threshold comes from alloys of chemical neighbours, because the base has too few."
        found.append(Caution("caution", "Pooled thresholds", join(text)))
    warned = [run.name for run in facts.runs if run.facts.files.warnings]
    if warned:
        shown = listing(warned[:6]) + (f" and {len(warned) - 6} more" if len(warned) > 6 else "")
        text = f"Failure signatures fired in {plural(len(warned), 'run')}: {shown}."
        found.append(Caution("caution", "Warnings while training", join(text, " The report of a run names them.")))
    return found
