"""The sections of the report that speak about results: goal, candidates, success, ledger, training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aimat_ray.report.candidate_table import candidate_table
from aimat_ray.report.facts import PRICES, SUBJECT, Facts, Threshold, method_label
from aimat_ray.report.figures import SuccessCurve, success_alt, success_drawing
from aimat_ray.report.forest import forest_group, forest_row, forest_table
from aimat_ray.report.headline import SIGNATURES, material, price_remark
from aimat_ray.report.markup import Child, Html, el, join
from aimat_ray.report.run_files import dig, listed, number
from aimat_ray.report.scatter_figure import INTERVALS, pairs, scatter
from aimat_ray.report.svg import picture
from aimat_ray.report.training_figure import SMOOTH_FROM, learning_curve
from aimat_ray.report.wording import DASH, bounds, count, duration, percent, plural, spec_of

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData

# Stage of the ledger -> what a design that passes it is.
STAGES = {
    "legal": ("Legal", "every element within the range of this base"),
    "feasible": ("Feasible", "predicted to form the wanted class"),
    "thresholds": ("Thresholds", "all thresholds met by the prediction"),
    "goal": ("At the goal", "feasible and all thresholds met: what the surrogate calls a success"),
    "in_domain": ("In domain", "close enough to measured alloys for the surrogate to be believed"),
    "confirmed": ("Confirmed", "an independent judge agrees"),
    "new": ("New", "more than 1 at% away from every measured alloy"),
    "distinct": ("Distinct", "designs that agree to 1 at% counted once"),
}


def section(name: str, title: str, *children: Child) -> Html:
    """A section with its heading."""
    return el("section", el("h2", title, id=f"{name}-title"), *children, id=name, aria_labelledby=f"{name}-title")


def absent(words: str) -> Html:
    """A sentence in the place of something that the run did not leave."""
    return el("p", words, class_="caption")


def goal_section(facts: Facts) -> Html:
    """What was asked, and on how many measurements it rests."""
    if not facts.thresholds:
        return section("goal", "What was asked", absent("The run does not say what its goal was."))
    title = f"Goal “{facts.goal_name}”" if facts.goal_name else "Goal"
    intro = f"{title}: {material(facts)}" + (f", {facts.goal_title}" if facts.goal_title else "")
    spec = facts.problem.feasibility
    rows = [_threshold_row(facts, item) for item in facts.thresholds]
    rows.append(
        el(
            "tr",
            el("th", spec.label[0].upper() + spec.label[1:], scope="row"),
            el("td", el("strong", f"at least {spec.threshold:g}"), data_label="Must be"),
            el("td", DASH, data_label="Measured alloys"),
            el("td", "predicted by the class model", data_label="Whose"),
        )
    )
    head = el("tr", [el("th", words, scope="col") for words in ("Property", "Must be", "Measured alloys", "Whose")])
    notes = [
        el("p", facts.problem.cautions[item.quantity])
        for item in facts.thresholds
        if item.quantity in facts.problem.cautions
    ]
    table = el("div", el("table", el("thead", head), el("tbody", rows), class_="stack"), class_="scroll")
    return section(
        "goal",
        "What was asked",
        el("div", el("h3", intro), table, notes, class_="goal-box"),
        el("p", "A design succeeds when all conditions hold at once, as predicted by the surrogate.", class_="caption"),
    )


def _threshold_row(facts: Facts, item: Threshold) -> Html:
    spec = item.spec
    label = f"{spec.label[0].upper()}{spec.label[1:]} {spec.symbol}" if spec else item.quantity
    condition = bounds(spec, item.at_least, item.at_most) if spec else f"{item.at_least:g}"
    return el(
        "tr",
        el("th", label, scope="row"),
        el("td", el("strong", condition), data_label="Must be"),
        el("td", count(item.n_rows), data_label="Measured alloys"),
        el("td", source_words(facts, item), data_label="Whose"),
    )


def source_words(facts: Facts, item: Threshold) -> str:
    """Whose rows stand behind a threshold."""
    if item.pooled_group:
        return f"pooled over the group {item.pooled_group}, because {facts.base} has too few"
    words = {
        "base": f"{facts.base}-based alloys",
        "median": "imputed: median over the other bases",
        "user": "set by the user",
    }
    return words.get(item.source, item.source or "not said")


def candidates_section(facts: Facts, data: AlloyData | None) -> Html:
    """The table of candidates."""
    if facts.files.candidates is None:
        return section("candidates", "Candidates", absent("This run has no candidates.csv."))
    if not facts.candidates:
        return section(
            "candidates", "Candidates", absent("No design of this run reached its goal, so the list is empty.")
        )
    return section("candidates", "Candidates", candidate_table(facts, data))


def properties_section(facts: Facts, data: AlloyData | None) -> Html:
    """Scatter plots: the goal's objectives large, customary pairs small."""
    chosen = pairs(facts)
    first = [figure for x, y in chosen[:1] if (figure := scatter(facts, data, x, y, wide=True))]
    rest = [
        el("figure", figure, _caution(facts, x, y))
        for x, y in chosen[1:]
        if (figure := scatter(facts, data, x, y, wide=False))
    ]
    if not first and not rest:
        return section(
            "properties", "Among measured alloys", absent("There is neither a candidate nor a measured alloy to draw.")
        )
    words = (
        f"Lines through a candidate are its 90 % intervals, cut at the frame; they are drawn for the best {INTERVALS}. "
        "A ring marks a cluster centre. Green: thresholds of the goal. "
    )
    words += (
        "Measured alloys are those of the wanted class with both properties measured."
        if data is not None
        else "The table of measured alloys was not at hand, so candidates stand alone."
    )
    big = el("figure", first, el("figcaption", words)) if first else None
    small = el("div", rest, class_="pictures") if rest else None
    return section("properties", "Among measured alloys", big, small)


def _caution(facts: Facts, x: str, y: str) -> Html | None:
    words = [facts.problem.cautions[key] for key in (x, y) if key in facts.problem.cautions]
    return el("figcaption", " ".join(words)) if words else None


def success_section(facts: Facts) -> Html:
    """Success rates beside the controls, grouped by price, with the predictions spent."""
    if not facts.rates:
        return section(
            "success", "Success and its price", absent("The run was not evaluated: no success rate is known.")
        )
    ceiling = facts.rate("ceiling")
    body: list[Html] = []
    for price, title in PRICES.items():
        members = sorted((r for r in facts.rates if r.method.price == price), key=lambda r: (r.key != SUBJECT, -r.mean))
        if members:
            body.append(forest_group(title))
            body += [forest_row(row, ceiling, price_remark(facts, row), row.key == SUBJECT) for row in members]
    table = forest_table(body)
    note = "Success: share of fresh starts from which the goal is reached without restarts, judged by the surrogate."
    if ceiling is not None:
        note += " The dashed line is the ceiling: rates can only be compared on the same surrogate, and beside it."
    return section(
        "success", "Success and its price", table, el("p", note, class_="caption"), _step_rates(facts), _curves(facts)
    )


def _step_rates(facts: Facts) -> Html | None:
    """Rates per step: shown, but as what they are."""
    legal, feasible = (number(facts.evaluation.get(key)) for key in ("sr_legal", "sr_cls"))
    met = dig(facts.evaluation, "sr80")
    parts = [f"{percent(legal, 1)} of steps are legal"] if math.isfinite(legal) else []
    if math.isfinite(feasible):
        parts.append(f"{percent(feasible, 1)} of these feasible")
    for key, share in met.items() if isinstance(met, dict) else ():
        spec = spec_of(facts.problem, str(key))
        if spec is not None and math.isfinite(number(share)) and key in facts.goal_keys:
            parts.append(f"{percent(number(share), 1)} of feasible steps reach the base’s upper fifth of {spec.symbol}")
    if not parts:
        return None
    return el(
        "p",
        f"Per step: {'; '.join(parts)}. Step rates look high even where few episodes reach the goal.",
        class_="caption",
    )


def _curves(facts: Facts) -> Html | None:
    """Success against predictions spent, where the evaluation holds such curves."""
    found = dig(facts.evaluation, "success_vs_predictions")
    curves = [
        SuccessCurve(
            label=method_label(str(key)),
            **{
                name: [number(dig(point, name)) for point in listed(points)]
                for name in ("predictions", "mean", "lower", "upper")
            },
            highlight=key in (SUBJECT, dig(facts.evaluation, "method")),
        )
        for key, points in (found.items() if isinstance(found, dict) else ())
    ]
    curves = [curve for curve in curves if any(math.isfinite(x) and x > 0 for x in curve.predictions)]
    if not curves:
        return None
    alt = success_alt(curves, "Success against predictions spent")
    drawn = picture("success-curves", alt, lambda compact: success_drawing(curves, compact))
    return el(
        "figure", drawn, el("figcaption", "Success as each method is allowed more surrogate predictions per episode.")
    )


def ledger_section(facts: Facts) -> Html:
    """The funnel from evaluated episodes to what is left for the furnace."""
    if not facts.ledger:
        return section(
            "ledger", "What is left of the successes", absent("The run was not evaluated: there is no ledger.")
        )
    episodes = facts.subject.episodes if facts.subject is not None else math.nan
    total = max([value for value in (*facts.ledger.values(), episodes) if math.isfinite(value)] + [1.0])
    rows, previous = [], math.nan
    if math.isfinite(episodes):
        rows.append(_stage_row("Episodes", "fresh starts that were evaluated", episodes, total, math.nan))
        previous = episodes
    for key, (label, note) in STAGES.items():
        value = facts.ledger.get(key, math.nan)
        if math.isfinite(value):
            rows.append(_stage_row(label, note, value, total, previous, good=key in ("confirmed", "new", "distinct")))
            previous = value
    true, goal = facts.ledger.get("true", math.nan), facts.ledger.get("goal", math.nan)
    if math.isfinite(true):
        note = "of the designs at the goal, those that reach it in the synthetic world, where the truth is known"
        rows.append(_stage_row("True", note, true, total, goal, hollow=True))
    heads = (
        ("Final design of an episode is …", None),
        ("", "plot"),
        ("Designs", "number"),
        ("of the line above", "number"),
    )
    head = el("tr", [el("th", words, scope="col", class_=kind) for words, kind in heads])
    table = el("table", el("thead", head), el("tbody", rows), class_="funnel stack")
    share = number(dig(facts.evaluation, "confirmed", "mean"))
    share = share if math.isfinite(share) else number(dig(facts.evaluation, "confirmed_share"))
    words = (
        f"The judge agrees with {percent(share)} of the designs at the goal, in or out of domain."
        if math.isfinite(share)
        else ""
    )
    return section(
        "ledger", "What is left of the successes", el("div", table, class_="scroll"), el("p", words, class_="caption")
    )


def _stage_row(
    label: str, note: str, value: float, total: float, previous: float, good: bool = False, hollow: bool = False
) -> Html:
    bar = None
    if value > 0:
        bar = el("div", class_="bar hollow" if hollow else "bar", style=f"width:{100 * value / total:.2f}%")
    share = percent(value / previous) if previous > 0 else DASH
    return el(
        "tr",
        el("th", label, el("div", note, class_="fine"), scope="row"),
        el("td", bar, class_="plot", aria_hidden="true"),
        el("td", count(value), class_="number", data_label="Designs"),
        el("td", share, class_="number", data_label="Of the line above" if not hollow else "Of those at the goal"),
        class_="good" if good else None,
    )


def training_section(facts: Facts) -> Html:
    """Learning curve, reward parts and the failure signatures."""
    curve = learning_curve(facts.files.metrics, facts.files.warnings)
    train = dig(facts.files.evaluation, "train")
    steps, updates, seconds, speed = (
        number(dig(train, key)) for key in ("env_steps", "updates", "seconds", "env_steps_per_s")
    )
    words = []
    if math.isfinite(steps):
        words.append(f"{count(steps)} environment steps, {count(updates)} updates in {duration(seconds)}")
    if math.isfinite(speed):
        words.append(f"{count(speed)} steps per second")
    caption = (
        f"{_line_words(facts)}Training episodes explore with noise, so their goal share is not the success rate above. "
        "Numbered dashes: warnings. Dotted: the surrogate was replaced by a new version."
    )
    if curve is None:
        shown: Html = absent("No metrics were recorded, so there is no learning curve.")
    else:
        shown = el("figure", curve, el("figcaption", caption))
    return section("training", "Training", el("p", f"{', '.join(words)}.") if words else None, shown, _warnings(facts))


def _line_words(facts: Facts) -> str:
    metrics = facts.files.metrics
    return "Thin: each iteration; thick: running mean. " if metrics is not None and len(metrics) >= SMOOTH_FROM else ""


def _warnings(facts: Facts) -> Html:
    warnings = facts.files.warnings
    if not warnings:
        told = any(item.file == "warnings.json" for item in facts.files.missing)
        return absent(
            "warnings.json is missing: whether a failure signature fired is not known."
            if told
            else "No failure signature fired."
        )
    items = [
        el(
            "li",
            el("strong", SIGNATURES.get(str(w.get("signature")), str(w.get("signature", "Warning")).replace("_", " "))),
            f" at {plural(int(at), 'step')}" if math.isfinite(at := number(w.get("env_steps"))) else None,
            f": {w.get('message', '')}",
        )
        for w in warnings
    ]
    return join(el("h3", "Failure signatures"), el("ol", items, class_="warnings"))
