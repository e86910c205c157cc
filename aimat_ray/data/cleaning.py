"""The declared cleaning: rules on the values, each reported with the rows it touched (see cleaning-design.md)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.alloy_table import AlloyTable, FloatArray
from aimat_ray.data.composition import DUPLICATE_AT_PCT, duplicate_groups, format_formula, parse_formula, to_at_pct
from aimat_ray.errors import CompositionError
from aimat_ray.problem import DesignProblem

Mask = NDArray[np.bool_]
Effect = Literal["row dropped", "values blanked", "row repaired", "noted"]
KELVIN_OFFSET = 273.15


@dataclass(frozen=True)
class CleaningRules:
    """Limits of the rules. A rule about a property that the problem does not have is skipped.

    Attributes:
        sum_limit_pct: Amounts that miss 100 at% by more are re-read from the formula, or the row is dropped.
        sum_note_pct: Smaller misses are rescaled (when read); those above this are listed.
        neighbours: How many measured neighbours a value is compared with, at most.
        min_neighbours: With fewer the value is left alone.
        radius_at_pct: How far away a neighbour may be (at% that must be exchanged).
        celsius_tolerance: A temperature in K is taken as Celsius when it lies within this of the neighbours' median
            minus 273.15.
        smooth: Properties that vary little between neighbours, with the factor beyond which a value is blanked.
        ordered: Pairs (lower, upper) of properties; both are blanked where lower > upper.
        ratios: (numerator, denominator, least, most); both are blanked outside.
        feasible_at_least: Values of feasible rows below this are listed, not changed.
    """

    sum_limit_pct: float = 0.5
    sum_note_pct: float = 0.1
    neighbours: int = 15
    min_neighbours: int = 7
    radius_at_pct: float = 15.0
    celsius_tolerance: float = 80.0
    smooth: tuple[tuple[str, float], ...] = (("youngs_modulus_gpa", 2.0),)
    ordered: tuple[tuple[str, str], ...] = (("tg_k", "tx_k"),)
    ratios: tuple[tuple[str, str, float, float], ...] = (("tg_k", "tl_k", 0.45, 0.75),)
    feasible_at_least: tuple[tuple[str, float], ...] = (("dmax_mm", 1.0),)


@dataclass(frozen=True)
class CleaningAction:
    """One rule applied to one table.

    Attributes:
        rule: Name of the rule.
        table: "regression" or "classification".
        source_rows: Rows of the source that the rule touched, ascending.
        action: What was done to them.
        detail: Why, and what exactly.
        columns: Properties that were blanked or looked at.
    """

    rule: str
    table: str
    source_rows: tuple[int, ...]
    action: Effect
    detail: str
    columns: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.source_rows)


@dataclass(frozen=True)
class CleaningReport:
    """What the cleaning did. `applied` is False when the data were taken as they are."""

    rules: tuple[CleaningAction, ...] = ()
    applied: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {"applied": self.applied, "actions": [asdict(a) | {"count": a.count} for a in self.rules]}

    def summary(self) -> str:
        """One line per action."""
        if not self.applied:
            return "not cleaned: the tables are used as they are"
        lines = [f"{a.table}: {a.rule}: {a.count} rows, {a.action}: {a.detail}" for a in self.rules]
        return "\n".join(lines) if lines else "nothing to clean"


class _Work:
    """A table being cleaned: copies, a mask of rows to keep, and the actions so far."""

    def __init__(self, table: AlloyTable, kind: str) -> None:
        self.table = table
        self.kind = kind
        self.at_frac = table.at_frac.copy()
        self.values = table.values.copy()
        self.keep = np.ones(len(table), dtype=bool)
        self.actions: list[CleaningAction] = []

    def report(self, rule: str, mask: Mask, action: Effect, detail: str, columns: tuple[str, ...] = ()) -> None:
        """Record an action on the rows of `mask`, and carry it out."""
        mask = mask & self.keep
        if not mask.any():
            return
        rows = tuple(sorted(self.table.source_row[mask].tolist()))
        self.actions.append(CleaningAction(rule, self.kind, rows, action, detail, columns))
        if action == "row dropped":
            self.keep &= ~mask

    def result(self) -> AlloyTable:
        changed = replace(self.table, at_frac=self.at_frac, values=self.values)
        return changed.rows(self.keep)


def clean(
    regression: AlloyTable,
    classification: AlloyTable,
    problem: DesignProblem,
    rules: CleaningRules | None = None,
) -> tuple[AlloyTable, AlloyTable, CleaningReport]:
    """Apply the declared rules; the inputs stay as they are.

    Args:
        regression: Table of property values.
        classification: Table of class labels.
        problem: Names the properties.
        rules: Limits; the defaults are justified in cleaning-design.md.

    Returns:
        Both tables cleaned, and the report of every action.
    """
    rules = rules or CleaningRules()
    measured, labelled = _Work(regression, "regression"), _Work(classification, "classification")
    for work in (measured, labelled):
        _check_sums(work, problem, rules)
        work.report("one element", _n_elements(work) < 2, "row dropped", "not an alloy")
    no_target = np.asarray(np.isnan(measured.values).all(axis=1))
    measured.report("no target", no_target, "row dropped", "no property was measured")
    _blank_celsius(measured, problem, rules)
    _blank_far_from_neighbours(measured, problem, rules)
    _blank_inconsistent(measured, problem, rules)
    empty = np.asarray(np.isnan(measured.values).all(axis=1))
    measured.report("nothing left", empty, "row dropped", "every value was blanked by the rules above")
    _note_values(measured, problem, rules)
    _drop_conflicts(labelled)
    for work in (measured, labelled):
        _note_duplicates(work)
    report = CleaningReport((*measured.actions, *labelled.actions))
    return measured.result(), labelled.result(), report


def _n_elements(work: _Work) -> NDArray[np.int64]:
    return np.asarray((work.at_frac > 0).sum(axis=1), dtype=np.int64)


def _check_sums(work: _Work, problem: DesignProblem, rules: CleaningRules) -> None:
    """Repair from the formula, or drop, what misses 100 at% by too much; list what was rescaled."""
    sums = _sums(work.table)
    miss = np.abs(sums - 100.0)
    repaired = np.zeros(len(work.table), dtype=bool)
    details = []
    for row in np.flatnonzero(miss > rules.sum_limit_pct):
        reread = _reread(work.table, int(row), problem)
        if reread is not None:
            work.at_frac[row] = reread
            repaired[row] = True
            details.append(f"{sums[row]:g} -> {format_formula(reread, problem.elements, 2)}")
    limit = f"by more than {rules.sum_limit_pct:g}"
    work.report(
        "sum of amounts",
        repaired,
        "row repaired",
        f"misses 100 at% {limit}; taken from the formula ({'; '.join(details)})",
    )
    hopeless = (miss > rules.sum_limit_pct) & ~repaired
    work.report("sum of amounts", hopeless, "row dropped", f"misses 100 at% {limit}, the formula does not help")
    small = (miss > rules.sum_note_pct) & (miss <= rules.sum_limit_pct)
    detail = f"misses 100 at% by {rules.sum_note_pct:g} to {rules.sum_limit_pct:g}; rescaled"
    work.report("sum of amounts rescaled", small, "row repaired", detail)


def _sums(table: AlloyTable) -> FloatArray:
    return np.full(len(table), 100.0) if table.sum_pct is None else table.sum_pct


def _reread(table: AlloyTable, row: int, problem: DesignProblem) -> FloatArray | None:
    """Composition by the formula, [E], where it explains the miss by one wrong cell; else None."""
    try:
        by_formula = parse_formula(table.formula[row], problem.elements)
    except CompositionError:
        return None
    total = float(_sums(table)[row])
    difference = float(np.abs(to_at_pct(by_formula) - table.at_frac[row] * total).max())
    same_as_columns = float(np.abs(to_at_pct(by_formula - table.at_frac[row])).max()) <= 0.1
    explained = difference <= abs(100.0 - total) + 0.5
    return by_formula if explained and not same_as_columns else None


def _neighbour_median(at_frac: FloatArray, values: FloatArray, rules: CleaningRules) -> FloatArray:
    """Median of the nearest other measured values of each row, [N]; NaN where there are too few.

    The distance is the at% that must be exchanged to turn one composition into the other.
    """
    from scipy.spatial.distance import cdist

    medians = np.full(len(values), np.nan)
    measured = np.flatnonzero(~np.isnan(values))
    if len(measured) <= rules.min_neighbours:
        return medians
    for block in np.array_split(np.arange(len(measured)), 1 + len(measured) // 1000):
        distance = 50.0 * cdist(at_frac[measured[block]], at_frac[measured], metric="cityblock")
        distance[np.arange(len(block)), block] = np.inf
        nearest = np.argsort(distance, axis=1, kind="stable")[:, : rules.neighbours]
        near = np.take_along_axis(distance, nearest, axis=1) <= rules.radius_at_pct
        around = np.where(near, values[measured[nearest]], np.nan)
        enough = near.sum(axis=1) >= rules.min_neighbours
        medians[measured[block[enough]]] = np.nanmedian(around[enough], axis=1)
    return medians


def _blank(work: _Work, rule: str, mask: Mask, keys: tuple[str, ...], problem: DesignProblem, why: str) -> None:
    """Blank the values of `keys` in the rows of `mask`, and say which."""
    work.report(rule, mask, "values blanked", f"{' and '.join(keys)} blanked: {why}", keys)
    for key in keys:
        work.values[mask, problem.property_keys.index(key)] = np.nan


def _blank_celsius(work: _Work, problem: DesignProblem, rules: CleaningRules) -> None:
    """A temperature in K that fits its neighbours only after adding 273.15 was entered in Celsius."""
    found = []
    for i, spec in enumerate(problem.properties):
        if spec.unit == "K":
            excess = work.values[:, i] - _neighbour_median(work.at_frac, work.values[:, i], rules)
            found.append((spec.key, np.abs(excess + KELVIN_OFFSET) <= rules.celsius_tolerance))
    for key, mask in found:
        why = f"lies within {rules.celsius_tolerance:g} of the measured neighbours' median minus {KELVIN_OFFSET}"
        _blank(work, "Celsius in a Kelvin column", mask & work.keep, (key,), problem, why)


def _blank_far_from_neighbours(work: _Work, problem: DesignProblem, rules: CleaningRules) -> None:
    for key, factor in rules.smooth:
        if key not in problem.property_keys:
            continue
        values = work.values[:, problem.property_keys.index(key)]
        median = _neighbour_median(work.at_frac, values, rules)
        with np.errstate(invalid="ignore"):
            mask = (values > factor * median) | (values < median / factor)
        why = f"differs by more than a factor {factor:g} from the median of its measured neighbours"
        _blank(work, "far from its neighbours", mask & work.keep, (key,), problem, why)


def _blank_inconsistent(work: _Work, problem: DesignProblem, rules: CleaningRules) -> None:
    """Blank both of two values that contradict each other: which of them is wrong is not known."""
    keys = problem.property_keys
    for low, high in rules.ordered:
        if {low, high} <= set(keys):
            below, above = work.values[:, keys.index(low)], work.values[:, keys.index(high)]
            _blank(work, f"{low} above {high}", (below > above) & work.keep, (low, high), problem, "wrong order")
            detail = "kept: a transition that is not resolved"
            work.report(f"{low} equals {high}", below == above, "noted", detail, (low, high))
    for top, bottom, least, most in rules.ratios:
        if {top, bottom} <= set(keys):
            ratio = work.values[:, keys.index(top)] / work.values[:, keys.index(bottom)]
            mask = ((ratio < least) | (ratio > most)) & work.keep
            why = f"the ratio is outside {least:g}..{most:g}"
            _blank(work, f"{top}/{bottom} out of range", mask, (top, bottom), problem, why)


def _note_values(work: _Work, problem: DesignProblem, rules: CleaningRules) -> None:
    """List values that are odd but possible; they stay."""
    for i, key in enumerate(problem.property_keys):
        work.report("zero value", work.values[:, i] == 0, "noted", f"{key} is 0; kept", (key,))
    for key, least in rules.feasible_at_least:
        if key in problem.property_keys:
            low = (work.values[:, problem.property_keys.index(key)] < least) & (work.table.feasible == 1)
            name = problem.feasibility.positive
            detail = f"{key} below {least:g} although the class is {name}; kept"
            work.report("small for its class", low, "noted", detail, (key,))


def _groups(work: _Work) -> list[NDArray[np.intp]]:
    """Positions of the kept rows that are copies of one composition, two or more at a time."""
    kept = np.flatnonzero(work.keep)
    group = duplicate_groups(work.at_frac[kept])
    return [kept[group == number] for number in np.flatnonzero(np.bincount(group) > 1)]


def _drop_conflicts(work: _Work) -> None:
    mask = np.zeros(len(work.table), dtype=bool)
    for positions in _groups(work):
        if len({work.table.label[i] for i in positions}) > 1:
            mask[positions] = True
    detail = f"one composition (within {DUPLICATE_AT_PCT:g} at%) carries different classes"
    work.report("conflicting class", mask, "row dropped", detail)


def _note_duplicates(work: _Work) -> None:
    groups = _groups(work)
    mask = np.zeros(len(work.table), dtype=bool)
    for positions in groups:
        mask[positions] = True
    extra = int(mask.sum()) - len(groups)
    detail = (
        f"{len(groups)} compositions occur more than once within {DUPLICATE_AT_PCT:g} at% "
        f"({extra} extra rows); kept, and never split between folds"
    )
    work.report("duplicate composition", mask, "noted", detail)
