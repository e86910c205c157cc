"""The sections of a sweep's report that compare bases: rates, goals and their evidence, ledger, fronts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aimat_ray.report.facts import METHODS, PRICES, SUBJECT, Facts, Rate
from aimat_ray.report.forest import forest_group, forest_row, forest_table
from aimat_ray.report.markup import Child, Html, el, join
from aimat_ray.report.pareto import hypervolume
from aimat_ray.report.periodic_table import Cell, periodic_table
from aimat_ray.report.run_files import dig, number
from aimat_ray.report.scatter_figure import CUSTOMARY, measured_cloud, scatter
from aimat_ray.report.sections import STAGES, absent, section, source_words
from aimat_ray.report.sweep_facts import SweepFacts, agreed_share, confirmed_rate, over_bases
from aimat_ray.report.sweep_statistics import confirmed_mean, mean_of, mean_rates
from aimat_ray.report.wording import DASH, SPACE, bounds, count, percent, plural, rate, spec_of
from aimat_ray.rl.forms import LOOKAHEAD

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData

OPEN_FIGURES = 12  # more pictures or fronts than these are folded away
VOLUMES = ("measured", "and confirmed", "and all candidates")
SHOWN_RATES = (SUBJECT, LOOKAHEAD, "random", "local_search", "archive_walk", "greedy_16", "ceiling")


def table(heads: Sequence[tuple[str, bool]], rows: Sequence[Html], caption: str = "") -> Html:
    """A table that becomes a list of cards on a phone; heads are words and whether the column holds numbers."""
    head = el("tr", [el("th", words, scope="col", class_="number" if numeric else None) for words, numeric in heads])
    body = el(
        "table",
        el("caption", caption) if caption else None,
        el("thead", head),
        el("tbody", rows),
        class_="stack cards",
    )
    return el("div", body, class_="scroll", tabindex="0", role="region", aria_label=caption or "Table")


def row(name: Child, cells: Sequence[tuple[str, Child, bool]], kind: str | None = None) -> Html:
    """A row of such a table; cells are heading, content and whether it is a number."""
    content = [
        el("td", value, data_label=label, class_="number" if numeric else None) for label, value, numeric in cells
    ]
    return el("tr", el("th", name, scope="row"), content, class_=kind)


def bases_section(facts: SweepFacts) -> Html:
    """The periodic table and the rates of every base."""
    by_base = {base: facts.of_base(base) for base in facts.bases}
    confirmed = {base: over_bases({base: found}, confirmed_rate)[0] for base, found in by_base.items()}
    coloured, what = confirmed, "Fresh starts that end in a confirmed design"
    if not any(confirmed.values()):
        coloured = {base: over_bases({base: found}, _subject)[0] for base, found in by_base.items()}
        what = "Fresh starts from which the goal is reached"
    cells = {base: _cell(facts, base, coloured[base]) for base in facts.bases}
    cells |= {base: Cell("no_goal", math.nan, f"no goal: {reason}") for base, reason in facts.no_goal.items()}
    picture = periodic_table(cells, what) if len(cells) > 1 else None
    heads = [("Base", False)] + [(METHODS[key].label, True) for key in SHOWN_RATES]
    heads += [("Confirmed", True), ("Candidates", True)]
    rows = [_base_row(base, found, confirmed[base]) for base, found in by_base.items()]
    words = "Rates are strict: fresh starts, no restarts, judged by the surrogate; below each its 95 % interval."
    return section("bases", "Base by base", picture, table(heads, rows, words), _main_words(facts))


def _main_words(facts: SweepFacts) -> Html | None:
    if facts.space and facts.main_runs:
        name = facts.main_runs[0].name
        return el(
            "p",
            f"Rates, goals and alloys per base are those of {name}, the best sample of the search.",
            class_="caption",
        )
    if len(facts.variants) > 1:
        return el(
            "p", f"Rates, goals and alloys per base are those of the variant {facts.variants[0]}.", class_="caption"
        )
    return None


def _subject(facts: Facts) -> Rate | None:
    return facts.subject


def _cell(facts: SweepFacts, base: str, found: Rate | None) -> Cell:
    if found is not None:
        return Cell("rate", found.mean, rate(found.mean, found.lower, found.upper))
    begun = [run for run in facts.main_runs if base in run.by_base]
    if not begun:
        return Cell("pending", math.nan, "not begun")
    done = f"{count(begun[0].env_steps)} of {count(begun[0].planned_steps)} steps"
    return Cell("pending", math.nan, f"not evaluated yet, {done}")


def _base_row(base: str, found: list[Facts], confirmed: Rate | None) -> Html:
    rates = {key: mean_of({base: found}, key)[0] for key in SHOWN_RATES}
    cells: list[tuple[str, Child, bool]] = [(METHODS[key].label, _rate_cell(rates[key]), True) for key in SHOWN_RATES]
    cells.append(("Confirmed", _rate_cell(confirmed), True))
    n = len({item.formula for facts in found for item in facts.candidates})
    agreed = len({item.formula for facts in found for item in facts.confirmed})
    known = any(facts.files.candidates is not None for facts in found)
    words = join(count(n), el("div", f"{count(agreed)} confirmed", class_="fine") if n else None) if known else DASH
    return row(el("b", base), [*cells, ("Candidates", words, True)])


def _rate_cell(found: Rate | None) -> Child:
    if found is None or math.isnan(found.mean):
        return DASH
    ends = f"{100 * found.lower:.0f}–{100 * found.upper:.0f}" if math.isfinite(found.lower + found.upper) else ""
    return join(percent(found.mean), el("div", ends, class_="fine"))


def rates_section(facts: SweepFacts) -> Html:
    """Rates averaged over the bases, beside the controls."""
    means = mean_rates(facts)
    if SUBJECT not in means:
        return section("rates", "Success and its price", absent("No run has been evaluated yet."))
    ceiling = means["ceiling"][0] if "ceiling" in means else None
    n_bases = means[SUBJECT][1]
    body: list[Html] = []
    for price, title in PRICES.items():
        members = [(mean, n) for mean, n in means.values() if mean.method.price == price]
        if members:
            body.append(forest_group(title))
            for mean, n in sorted(members, key=lambda item: (item[0].key != SUBJECT, -item[0].mean)):
                remark = f"over {plural(n, 'base')} only" if n < n_bases else ""
                body.append(forest_row(mean, ceiling, remark, mean.key == SUBJECT))
    confirmed = confirmed_mean(facts)
    agreed = agreed_share(run.facts for run in facts.main_runs)
    second = [forest_row(item, None) for item in (confirmed, agreed) if item is not None]
    if second:
        body += [forest_group("What the judge says of the method’s designs"), *second]
    words = (
        f"Means over {plural(n_bases, 'base')} with a goal, each with the same weight; the interval is how well the "
        "mean over exactly these bases is known from their episodes. The judge’s agreement counts every design once. "
        "The dashed line is the ceiling: rates can only be compared on the same surrogate."
    )
    return section("rates", "Success and its price", forest_table(body), el("p", words, class_="caption"))


def goals_section(facts: SweepFacts) -> Html:
    """Which properties make up each base's goal, how many rows stand behind them, and which bases have none."""
    rows = []
    for base in facts.bases:
        found = facts.of_base(base) or [run.by_base[base] for run in facts.runs if base in run.by_base]
        goal = [_objective(found[0], i) for i in range(len(found[0].thresholds))] if found else []
        words = join(goal) if goal else "not begun: known when its run starts"
        rows.append(row(el("b", base), [("Goal", words, False)]))
    rows += [
        row(el("b", base), [("Goal", join(el("strong", "no evidence: "), reason), False)])
        for base, reason in facts.no_goal.items()
    ]
    notes = dict.fromkeys(
        caution
        for base in facts.bases
        for item in facts.of_base(base)
        for key in item.goal_keys
        if (caution := facts.problem.cautions.get(key))
    )
    spec = facts.problem.feasibility
    words = (
        f"All conditions hold at once, and {spec.label} is at least {spec.threshold:g}, as predicted by the surrogate."
    )
    return section(
        "goals",
        "What was asked, and the measurements behind it",
        table([("Base", False), ("Goal, and the measured alloys behind each threshold", False)], rows),
        el("p", words, class_="caption"),
        [el("p", note, class_="caption") for note in notes],
    )


def _objective(facts: Facts, i: int) -> Html:
    item = facts.thresholds[i]
    spec = item.spec
    words = f"{spec.symbol} {bounds(spec, item.at_least, item.at_most)}" if spec else item.quantity
    behind = f"{count(item.n_rows)} measured, {source_words(facts, item)}"
    return el("div", el("strong", words), " ", el("span", behind, class_="fine"))


def ledger_section(facts: SweepFacts) -> Html:
    """What is left of the evaluated episodes at every stage, run by run."""
    rows, totals = [], dict.fromkeys(("episodes", *STAGES, "true"), 0.0)
    for run in facts.finished:
        ledger = run.facts.ledger
        if not ledger:
            continue
        counts = ledger | {"episodes": run.facts.subject.episodes if run.facts.subject else math.nan}
        for stage in totals:
            totals[stage] += counts.get(stage, 0.0)
        rows.append(row(el("b", run.name), _stage_cells(counts, facts.synthetic)))
    if not rows:
        return section("ledger", "What is left of the successes", absent("No run has been evaluated yet."))
    if len(rows) > 1:
        rows.append(row(el("b", "all"), _stage_cells(totals, facts.synthetic), "total"))
    heads = [("Run", False), *((label, True) for label, _, _ in _stage_cells(totals, facts.synthetic))]
    notes = "; ".join(f"{label.lower()}: {note}" for label, note in STAGES.values())
    share = percent(totals["confirmed"] / totals["goal"]) if totals["goal"] else DASH
    words = f"Final designs of the episodes, stage by stage. Of all designs at the goal {share} are confirmed. "
    words += f"{notes[0].upper()}{notes[1:]}."
    return section("ledger", "What is left of the successes", table(heads, rows), el("p", words, class_="caption"))


def _stage_cells(counts: dict[str, float], synthetic: bool | None) -> list[tuple[str, Child, bool]]:
    stages = {"episodes": "Episodes", **{stage: label for stage, (label, _) in STAGES.items()}}
    if synthetic:
        stages["true"] = "True"
    return [(label, count(counts.get(stage, math.nan)), True) for stage, label in stages.items()]


def fronts_section(facts: SweepFacts, data: AlloyData | None) -> Html:
    """Per base: candidates among measured alloys in strength and ductility, and what the Pareto front gains."""
    keys = set(facts.problem.quantity_keys)
    pair = next((pair for pair in CUSTOMARY if set(pair) <= keys), None)
    found = [(base, merged) for base in facts.bases if (merged := _merged(facts.of_base(base))) is not None]
    title = "Among measured alloys, base by base"
    if pair is None or not found:
        return section("fronts", title, absent("There is nothing to draw yet."))
    figures = []
    for base, item in found:
        drawn = scatter(item, data, *pair, wide=False, name=base, fronts=True)
        if drawn is not None:
            figures.append(el("figure", el("h3", base), drawn))
    first, rest = figures[:OPEN_FIGURES], figures[OPEN_FIGURES:]
    more = el("details", el("summary", f"{plural(len(rest), 'more base')}"), el("div", rest, class_="pictures"))
    specs = [spec for key in pair if (spec := spec_of(facts.problem, key))]
    words = (
        f"{specs[1].label.capitalize()} over {specs[0].label}. Diamonds: confirmed candidates; rings: unconfirmed "
        "ones; grey: measured alloys, darker for the base. Steps: alloys that no other one beats in both quantities. "
        "Candidates were designed for the goal of their base, which need not contain these two quantities; their "
        "intervals are wide, and stand in candidates.csv."
    )
    if data is None:
        words += " The table of measured alloys was not at hand, so candidates stand alone."
    return section(
        "fronts",
        title,
        el("p", words, class_="caption"),
        el("div", first, class_="pictures"),
        more if rest else None,
        _volumes(facts, found, data, pair),
    )


def _merged(found: list[Facts]) -> Facts | None:
    """The candidates of several runs of a base together."""
    if not found:
        return None
    from dataclasses import replace

    candidates = sorted(
        (item for facts in found for item in facts.candidates),
        key=lambda item: (not item.confirmed, -item.margin if math.isfinite(item.margin) else math.inf),
    )
    return replace(found[0], candidates=list({item.formula: item for item in reversed(candidates)}.values())[::-1])


def _volumes(
    facts: SweepFacts, found: Sequence[tuple[str, Facts]], data: AlloyData | None, pair: tuple[str, str]
) -> Html | None:
    if data is None:
        return None
    rows = []
    for base, item in found:
        pairs = [pair, *([(item.goal_keys[0], item.goal_keys[1])] if len(item.goal_keys) > 1 else [])]
        cells = [cell for x, y in pairs for cell in _volume_cells(item, data, x, y)]
        if any(content != DASH for _, content, numeric in cells if numeric):
            rows.append(row(el("b", base), cells))
    if not rows:
        return None
    words = (
        "Hypervolume: area between the worst measured values and the front, in percent of the rectangle that all "
        "measured alloys of the class span. Values of candidates are predictions. Left: strength and ductility; right: "
        "the first two quantities of the base’s goal. A dash: no alloy with both."
    )
    heads = [("Base", False), *2 * [("Front of", False), *((name, True) for name in VOLUMES)]]
    shown = table(heads, rows)
    if len(rows) > OPEN_FIGURES:
        shown = el("details", el("summary", f"Fronts of {plural(len(rows), 'base')}"), shown)
    return join(el("h3", "What the fronts cover"), shown, el("p", words, class_="caption"))


def _volume_cells(item: Facts, data: AlloyData, x: str, y: str) -> list[tuple[str, Child, bool]]:
    names = ", ".join(spec.symbol for key in (x, y) if (spec := spec_of(item.problem, key))).replace(" ", SPACE)
    volumes = front_volumes(item, data, x, y) or (math.nan, math.nan, math.nan)
    cells = zip(VOLUMES, volumes, strict=True)
    return [("Front of", names, False), *((name, percent(value, 1), True) for name, value in cells)]


def front_volumes(item: Facts, data: AlloyData, x: str, y: str) -> tuple[float, float, float] | None:
    """Hypervolume of the measured alloys of a base, with its confirmed candidates, and with all of them.

    Returns:
        Shares of the rectangle that the measured alloys of the class span; NaN for an empty front. None where they
        span no rectangle.
    """
    cloud = measured_cloud(item, data, x, y)
    specs = [spec_of(item.problem, key) for key in (x, y)]
    signs = np.array([-1.0 if spec is not None and spec.direction == "minimize" else 1.0 for spec in specs])
    every = np.concatenate([cloud.base, cloud.others]) * signs
    if len(every) < 2 or (np.ptp(every, axis=0) <= 0).any():
        return None
    low, span = every.min(axis=0), np.ptp(every, axis=0)

    def points(confirmed_only: bool) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        kept = [c for c in item.candidates if c.confirmed or not confirmed_only]
        values = np.array([[c.estimate(x).value, c.estimate(y).value] for c in kept]).reshape(-1, 2)
        return values[np.isfinite(values).all(axis=1)] * signs

    sets = [cloud.base * signs, points(True), points(False)]
    joined = [sets[0], np.concatenate(sets[:2]), np.concatenate([sets[0], sets[2]])]
    measured, confirmed, total = (
        hypervolume((values - low) / span, (0.0, 0.0)) if len(values) else math.nan for values in joined
    )
    return measured, confirmed, total


def unfinished_words(facts: SweepFacts) -> str:
    """How far the sweep is, in words."""
    done, planned = len(facts.finished), facts.n_planned
    stopped = number(dig(outcome(facts), "stopped_early"))
    words = f"{count(done)} of {plural(planned, 'run')} finished"
    return words + (f", {count(stopped)} were stopped early" if stopped > 0 else "")


def outcome(facts: SweepFacts) -> dict[str, object]:
    """The content of outcome.json; empty where the sweep has not ended."""
    from aimat_ray.errors import RunError
    from aimat_ray.rl.run_dir import RunDirectory

    try:
        found = RunDirectory(facts.results.folder).read_json("outcome.json")
    except RunError:
        return {}
    return found if isinstance(found, dict) else {}
