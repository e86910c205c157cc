"""The table of the best candidates: sortable, a list of cards on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aimat_ray.data.composition import format_formula, from_at_pct, parse_formula, to_at_pct
from aimat_ray.data.elements import load_element_table
from aimat_ray.errors import AimatError
from aimat_ray.report.candidates import Candidate
from aimat_ray.report.facts import Facts, Threshold, method_label
from aimat_ray.report.markup import Child, Html, el, formula, join
from aimat_ray.report.wording import DASH, SPACE, Spec, fixed, listing, measured, plural, probability, spec_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aimat_ray.data.sources import AlloyData

SHOWN = 30
SAME_AT_PCT = 0.05  # distances in candidates.csv are rounded
NO_UNIT = "no unit"
MASS_COLUMN = "atomic_mass"


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        label: Heading.
        note: Second line of the heading, such as the unit.
        extra: Whether it is hidden until all properties are asked for.
        first: Which order the first click gives.
        numeric: Whether the cells hold numbers only, set flush right.
    """

    label: str
    note: str = ""
    extra: bool = False
    first: str = "ascending"
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """Content of one cell and the key it is sorted by."""

    content: Child
    key: float | str = ""


@dataclass(frozen=True)
class Listed:
    """A candidate of the table.

    Attributes:
        facts: Its run, with the goal of its base.
        candidate: The alloy.
        number: Its place in the table, from 1.
        run: Name of its run where the table holds several.
    """

    facts: Facts
    candidate: Candidate
    number: int
    run: str = ""


def candidate_table(facts: Facts, data: AlloyData | None) -> Html:
    """The best candidates of a run with everything that the run knows of them."""
    shown = facts.candidates[:SHOWN]
    shown += [candidate for candidate in facts.candidates[SHOWN:] if candidate.centre]
    listed = [Listed(facts, candidate, candidate.rank) for candidate in shown]
    return alloy_table(listed, facts.goal_keys, data, len(facts.candidates) - len(shown))


def alloy_table(listed: Sequence[Listed], goal_keys: Sequence[str], data: AlloyData | None, n_left_out: int) -> Html:
    """Candidates of one run or of several, in the order given.

    Args:
        listed: At least one.
        goal_keys: Quantities that are shown always; the others only when the reader asks.
        data: Measured alloys, or None.
        n_left_out: How many more candidates.csv holds.
    """
    problem = listed[0].facts.problem
    goal = [spec for key in goal_keys if (spec := spec_of(problem, key))]
    candidates = [item.candidate for item in listed]
    others = [spec for spec in problem.quantities if spec.key not in goal_keys and _known(candidates, spec)]
    columns = _columns(listed[0].facts, goal, others, any(item.run for item in listed))
    neighbours = {
        id(item.facts): Neighbours(item.facts, data, [s for s in goal if s.key in item.facts.goal_keys])
        for item in listed
    }
    rows = [_row(item, neighbours[id(item.facts)], goal, others, columns) for item in listed]
    caption = f"{plural(len(listed), 'candidate')}, best first" + (
        f"; {n_left_out} more in candidates.csv" if n_left_out else ""
    )
    return join(
        el(
            "div",
            _toggle() if others else None,
            _sorter(columns),
            el(
                "div",
                el(
                    "table",
                    el("caption", caption),
                    el("thead", el("tr", [_heading(column, i) for i, column in enumerate(columns)])),
                    el("tbody", rows),
                    class_="candidates",
                    id="candidate-table",
                ),
                class_="scroll",
                tabindex="0",
                role="region",
                aria_label="Table of candidates",
            ),
            class_="candidate-box",
        ),
        el("p", _legend(listed[0].facts), class_="caption"),
    )


def _columns(facts: Facts, goal: list[Spec], others: list[Spec], with_run: bool) -> list[Column]:
    columns = [Column("No.", "rank"), Column("Alloy", "at%; below wt%", numeric=False)]
    columns += [Column(spec.symbol, spec.unit or NO_UNIT, first=_better(spec)) for spec in goal]
    columns += [
        Column("p", facts.problem.feasibility.positive, first="descending"),
        Column("Verdict", "domain and judge", first="descending", numeric=False),
        Column("Nearest measured alloy", "distance, measured values", numeric=False),
    ]
    columns += [Column(spec.symbol, spec.unit or NO_UNIT, extra=True, first=_better(spec)) for spec in others]
    columns += [Column("Margin", "agreed", True, "descending"), Column("Steps", "from start", True)]
    return [*columns, Column("Run", "surrogate and judge", True, numeric=False)] if with_run else columns


def _better(spec: Spec) -> str:
    return "descending" if spec.direction == "maximize" else "ascending"


def _known(candidates: Sequence[Candidate], spec: Spec) -> bool:
    return any(math.isfinite(candidate.estimate(spec.key).value) for candidate in candidates)


def _heading(column: Column, position: int) -> Html:
    button = el(
        "button",
        join(column.label, " ", el("small", column.note)),
        type="button",
        data_column=position,
        data_first=column.first,
    )
    order = "ascending" if position == 0 else "none"
    return el("th", button, scope="col", aria_sort=order, class_=_classes(column) or None)


def _toggle() -> Html:
    box = el("input", type="checkbox", id="all-properties")
    return join(box, el("label", "Show all properties", for_="all-properties"))


def _sorter(columns: list[Column]) -> Html:
    """For phones, where the headings are not visible. The script shows it."""
    choices = [
        el("option", f"{column.label} {column.note}", value=i) for i, column in enumerate(columns) if not column.extra
    ]
    return el("label", "Sort by ", el("select", choices, id="sort-by"), class_="sorter", hidden=True)


def _row(item: Listed, neighbours: Neighbours, goal: list[Spec], others: list[Spec], columns: list[Column]) -> Html:
    facts, candidate = item.facts, item.candidate
    cells = [Cell(item.number, item.number), _alloy(facts, candidate)]
    cells += [_estimate(facts, candidate, spec) for spec in goal]
    cells += [
        Cell(probability(candidate.p_feasible), candidate.p_feasible),
        _verdict(facts, candidate),
        neighbours.cell(candidate),
    ]
    cells += [_estimate(facts, candidate, spec) for spec in others]
    cells.append(Cell(join(fixed(100 * candidate.margin, 1), SPACE, "%"), candidate.margin))
    found = el("div", f"by {method_label(candidate.method).lower()}", class_="fine") if candidate.method else None
    cells.append(Cell(join(fixed(candidate.steps, 0), found), candidate.steps))
    if item.run:
        cells.append(Cell(join(item.run, el("div", candidate.versions, class_="fine")), item.run))
    content = [_cell(cell, column, i) for i, (cell, column) in enumerate(zip(cells, columns, strict=True))]
    return el("tr", content, class_="confirmed" if candidate.confirmed else None)


def _cell(cell: Cell, column: Column, position: int) -> Html:
    key = "" if isinstance(cell.key, float) and math.isnan(cell.key) else cell.key
    name = f"{column.label} ({column.note})" if column.numeric and column.note not in ("", NO_UNIT) else column.label
    tag, scope = ("th", "row") if position == 1 else ("td", None)
    return el(
        tag,
        el("div", cell.content),
        data_key=str(key),
        data_label=name,
        class_=_classes(column, position) or None,
        scope=scope,
    )


def _classes(column: Column, position: int = 0) -> str:
    marks = {"extra": column.extra, "number": column.numeric, "alloy": position == 1}
    return " ".join(name for name, holds in marks.items() if holds)


def _alloy(facts: Facts, candidate: Candidate) -> Cell:
    mark = None
    if candidate.centre:
        words = f"centre of cluster {candidate.cluster}" if candidate.cluster else "cluster centre"
        mark = el(
            "span", words, class_="badge plain", title="The candidate nearest to the centre of its k-means cluster"
        )
    amounts = _weights(facts, candidate) or candidate.composition
    fine = el("div", amounts, class_="fine") if amounts else None
    return Cell(join(el("span", formula(candidate.formula), class_="formula"), mark, fine), candidate.formula)


def _weights(facts: Facts, candidate: Candidate) -> str:
    """The composition in wt%, to weigh it in; empty where the formula can't be read."""
    elements = facts.problem.elements
    try:
        at_frac = parse_formula(candidate.formula, elements)
        mass = load_element_table(elements).column(MASS_COLUMN)
    except AimatError:
        return ""
    weight = to_at_pct(at_frac * mass / (at_frac * mass).sum())
    order = [int(i) for i in np.argsort(-at_frac, kind="stable") if at_frac[i] > 0]
    return "wt%: " + " · ".join(f"{elements[i]}{SPACE}{weight[i]:.1f}" for i in order)


def _estimate(facts: Facts, candidate: Candidate, spec: Spec) -> Cell:
    value, lower, upper = candidate.estimate(spec.key)
    interval = None
    if math.isfinite(lower) and math.isfinite(upper):
        interval = el("div", f"{fixed(lower, spec.decimals)}–{fixed(upper, spec.decimals)}", class_="fine")
    judged = candidate.judge_values.get(spec.key)
    threshold = next((item for item in facts.thresholds if item.quantity == spec.key), None)
    opinion = (
        el("div", f"judge {fixed(judged, spec.decimals)}", class_="fine") if judged is not None and threshold else None
    )
    return Cell(join(el("span", fixed(value, spec.decimals), class_="value"), interval, opinion), value)


def _verdict(facts: Facts, candidate: Candidate) -> Cell:
    """Confirmed or not and why, as words; sorted by how much can be believed."""
    lines: list[Child] = []
    if candidate.confirmed:
        lines.append(el("span", "✓ confirmed", class_="badge good"))
    elif candidate.confirmed is False:
        lines.append(el("span", "not confirmed", class_="badge warm"))
    else:
        lines.append(el("span", "not judged", class_="badge plain"))
    if candidate.in_domain is False:
        lines.append(el("div", f"outside the domain: {candidate.domain_reason or 'no reason given'}", class_="fine"))
    elif candidate.in_domain:
        lines.append(el("div", "in domain", class_="fine"))
    if candidate.confirmed is False and (objections := _objections(facts, candidate)):
        lines.append(el("div", f"judge: {objections}", class_="fine"))
    if candidate.true is not None:
        lines.append(el("div", "truly at the goal" if candidate.true else "truly NOT at the goal", class_="fine"))
    trust = (
        2.0 * bool(candidate.confirmed)
        + bool(candidate.in_domain)
        + (candidate.margin if math.isfinite(candidate.margin) else 0.0) * 1e-3
    )
    return Cell(lines, trust)


def _objections(facts: Facts, candidate: Candidate) -> str:
    """What the judge misses in a candidate."""
    missed = [item for item in facts.thresholds if _misses(item, candidate.judge_values.get(item.quantity, math.nan))]
    words = [item.spec.symbol if item.spec else item.quantity for item in missed]
    if candidate.judge_p < facts.problem.feasibility.threshold:
        words.append(f"p {probability(candidate.judge_p)}")
    return f"{listing(words)} too low" if _only_low(missed) and words else f"misses {listing(words)}" if words else ""


def _only_low(missed: list[Threshold]) -> bool:
    return all(math.isfinite(item.at_least) and not math.isfinite(item.at_most) for item in missed)


def _misses(item: Threshold, value: float) -> bool:
    return value < item.at_least or value > item.at_most


class Neighbours:
    """The measured alloys around candidates.

    Args:
        facts: The run.
        data: Measured alloys; with them the nearest alloys that measure a goal property are shown too.
        goal: Quantities of the goal.
    """

    def __init__(self, facts: Facts, data: AlloyData | None, goal: list[Spec]) -> None:
        self._facts, self._goal = facts, goal
        self._at_pct: NDArray[np.float64] | None = None
        if data is not None and goal:
            values = facts.problem.with_derived(np.asarray(data.regression.values))
            columns = [facts.problem.quantity_index(spec.key) for spec in goal]
            known = np.isfinite(values[:, columns]).any(axis=1)
            self._values = values[known][:, columns]
            self._at_pct = to_at_pct(np.asarray(data.regression.at_frac)[known])

    def cell(self, candidate: Candidate) -> Cell:
        """Nearest alloy of all, with its values; then the nearest of those that measure a goal property."""
        if not candidate.nearest:
            return Cell(DASH)
        words = [
            f"{spec.symbol}{SPACE}{measured(spec, candidate.nearest_values[spec.key])}"
            for spec in self._goal
            if spec.key in candidate.nearest_values
        ]
        first = _neighbour(
            formula(candidate.nearest),
            candidate.nearest_distance,
            ", ".join(words) or f"{candidate.nearest_class or 'goal properties'}, not measured".replace(
                "goal properties, not", "goal properties not"
            ),
        )  # fmt: skip
        found = None if len(words) == len(self._goal) else self._measuring(candidate)
        return Cell(join(first, found), candidate.nearest_distance)

    def _measuring(self, candidate: Candidate) -> Html | None:
        if self._at_pct is None or not len(self._at_pct):
            return None
        try:
            at_pct = to_at_pct(parse_formula(candidate.formula, self._facts.problem.elements))
        except AimatError:
            return None
        distance = np.abs(self._at_pct - at_pct).sum(axis=1) / 2
        row = int(distance.argmin())
        if distance[row] <= candidate.nearest_distance + SAME_AT_PCT:  # the alloy that is shown already
            return None
        words = [
            f"{spec.symbol}{SPACE}{measured(spec, value)}"
            for spec, value in zip(self._goal, self._values[row].tolist(), strict=True)
            if math.isfinite(value)
        ]
        return _neighbour(
            formula(format_formula(from_at_pct(self._at_pct[row]), self._facts.problem.elements)),
            float(distance[row]),
            ", ".join(words),
        )


def _neighbour(name: Html, distance: float, words: str) -> Html:
    away = f"{fixed(distance, 1)}{SPACE}at% away" if math.isfinite(distance) else ""
    return el(
        "div",
        el("span", name, class_="formula small"),
        el("div", ": ".join(filter(None, [away, words])), class_="fine"),
    )


def _legend(facts: Facts) -> str:
    label = facts.problem.feasibility.label
    return (
        "Bold numbers are predictions of the surrogate, the range below is its 90 % interval. "
        f"p: {label}. "
        "Nearest measured alloy: first the nearest of all, then, where it lacks values, the nearest with a goal "
        "property measured; at% away is the share of atoms that differ. Margin: the smaller of the relative margins "
        "that surrogate and judge leave to the goal; candidates are ranked by it, confirmed ones first. "
        "Nothing in this table but the nearest alloys has been measured."
    )
