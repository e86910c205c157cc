"""Goals: which quantities a design of a base must reach, and the thresholds that the measured rows support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.alloy_table import AlloyTable, FloatArray
from aimat_ray.data.windows import base_rows
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DerivedSpec, DesignProblem, GoalSpec

if TYPE_CHECKING:
    Mask = NDArray[np.bool_]


class HasRegression(Protocol):
    """Data with a table of property values (an AlloyData is one)."""

    @property
    def regression(self) -> AlloyTable:
        """Measured property values."""


@dataclass(frozen=True)
class Objective:
    """What one quantity must reach.

    Attributes:
        quantity: Key of a property or derived quantity.
        at_least: Least value that counts; -inf where there is no such bound.
        at_most: Largest value that counts; +inf where there is no such bound.
        n_rows: Measured rows behind the threshold.
        source: "base", "group:NAME" (rows of chemical neighbours were pooled), "median" (over bases) or "user".
    """

    quantity: str
    at_least: float
    at_most: float
    n_rows: int
    source: str


@dataclass(frozen=True)
class BaseGoal:
    """The goal of one base: every objective must be met at once."""

    base: str
    name: str
    objectives: tuple[Objective, ...]

    def describe(self, problem: DesignProblem) -> str:
        """One line with properties, thresholds and row counts."""
        parts = []
        for item in self.objectives:
            spec = problem.quantities[problem.quantity_index(item.quantity)]
            bounds = [
                f"{sign} {value:.{spec.decimals}f}"
                for sign, value in ((">=", item.at_least), ("<=", item.at_most))
                if np.isfinite(value)
            ]
            unit = f" {spec.unit}" if spec.unit else ""
            parts.append(f"{spec.symbol} {' and '.join(bounds)}{unit} ({item.n_rows} rows, {item.source})")
        return f"goal {self.name} of {self.base}: " + "; ".join(parts)


def goal_for_base(
    problem: DesignProblem,
    data: HasRegression,
    base: str,
    name: str | None = None,
    percentile: float | None = None,
) -> BaseGoal | None:
    """Thresholds of a named goal for a base, from the measured rows.

    Each objective is the first of its choices that enough rows of the base measure. Where no choice has enough,
    the goal's `impute` decides: "group" pools the rows of the base's chemical group, "median_over_bases" takes the
    median of the thresholds of the bases that have one.

    Args:
        problem: Declares the goals.
        data: Measured alloys.
        base: Base element.
        name: Goal of the problem; None for the default one.
        percentile: Overrides the goal's percentile, 0..100 exclusive.

    Returns:
        The goal, or None where the rows hold no evidence for one of its objectives.

    Raises:
        ProblemError: Unknown base or goal, or a percentile out of range.
    """
    problem.check_base(base)
    name = name or problem.default_goal
    if name not in problem.goals:
        raise ProblemError(f"unknown goal {name!r}; expected one of: {', '.join(problem.goals)}")
    if percentile is not None and not 0 < percentile < 100:
        raise ProblemError(f"percentile must lie between 0 and 100, got {percentile:g}")
    spec = problem.goals[name]
    if percentile is not None:
        spec = spec.model_copy(update={"percentile": percentile})
    evidence = _Evidence(problem, data.regression, spec)
    objectives = []
    for choices in spec.objectives:
        objective = evidence.objective(base, choices)
        if objective is None:
            return None
        objectives.append(objective)
    return BaseGoal(base, name, tuple(objectives))


def paper_thresholds(problem: DesignProblem, data: HasRegression, base: str) -> FloatArray:
    """Thresholds of the published reward: the 80th percentile of each quantity over the rows of the base.

    Source: METHOD section 1. A quantity that no row of the base measures gets the median over the bases that have
    one; the reduced glass-transition temperature is capped. A quantity to minimise gets the 20th percentile.

    Args:
        problem: Its `paper` section gives the percentile.
        data: Measured alloys.
        base: Base element.

    Returns:
        Thresholds, [Q], in the units of the quantity keys; NaN where no base measures a quantity.
    """
    problem.check_base(base)
    if problem.paper is None:
        raise ProblemError(f"problem {problem.name!r} has no `paper` section, which gives the percentile")
    q = problem.paper.percentile
    spec = GoalSpec(title="", percentile=q, rows="all", min_rows=1, impute="median_over_bases", objectives=())
    evidence = _Evidence(problem, data.regression, spec)
    thresholds = np.full(len(problem.quantities), np.nan)
    for i, key in enumerate(problem.quantity_keys):
        objective = evidence.objective(base, (key,))
        if objective is not None:
            thresholds[i] = objective.at_least if problem.maximize[i] else objective.at_most
    return thresholds


def property_range(problem: DesignProblem, data: HasRegression) -> tuple[FloatArray, FloatArray]:
    """Least and largest measured value of each quantity, for min-max scaling.

    Returns:
        (least [Q], largest [Q]); 0 and 1 for a quantity that no row measures.
    """
    quantities = problem.with_derived(data.regression.values)
    measured = ~np.isnan(quantities)
    least = np.where(measured, quantities, np.inf).min(axis=0)
    largest = np.where(measured, quantities, -np.inf).max(axis=0)
    nothing = ~measured.any(axis=0)
    return np.where(nothing, 0.0, least), np.where(nothing, 1.0, largest)


def rows_per_base(problem: DesignProblem, table: AlloyTable, feasible_only: bool = True) -> dict[str, list[int]]:
    """Measured rows per base and quantity: base -> count per quantity, [Q]."""
    measured = ~np.isnan(problem.with_derived(table.values))
    return {
        base: measured[base_rows(table, base, problem, feasible_only)].sum(axis=0).tolist() for base in problem.bases
    }


class _Evidence:
    """The rows that a goal may draw thresholds from."""

    def __init__(self, problem: DesignProblem, table: AlloyTable, spec: GoalSpec) -> None:
        self.problem = problem
        self.spec = spec
        self.quantities = problem.with_derived(table.values)
        feasible_only = spec.rows == "feasible"
        self.rows = {base: base_rows(table, base, problem, feasible_only) for base in problem.bases}

    def objective(self, base: str, choices: Sequence[str]) -> Objective | None:
        """The first choice with enough rows in the base, else what `impute` says."""
        found = self._first(choices, self.rows[base], "base")
        if found is not None:
            return found
        if self.spec.impute == "median_over_bases":
            return self._median(choices)
        group = self.problem.group_of(base)
        if group is None:
            return None
        members = [self.rows[m] for m in self.problem.groups[group] if m in self.rows]
        pooled = np.logical_or.reduce(members)
        return self._first(choices, pooled, f"group:{group}")

    def _first(self, choices: Sequence[str], rows: Mask, source: str) -> Objective | None:
        for key in choices:
            values = self._values(key, rows)
            if len(values) >= self.spec.min_rows:
                return self._bounded(key, self._percentile(key, values), len(values), source)
        return None

    def _median(self, choices: Sequence[str]) -> Objective | None:
        for key in choices:
            per_base = [self._values(key, rows) for rows in self.rows.values()]
            enough = [values for values in per_base if len(values) >= self.spec.min_rows]
            if enough:
                middle = float(np.median([self._percentile(key, values) for values in enough]))
                return self._bounded(key, middle, sum(map(len, enough)), "median")
        return None

    def _values(self, key: str, rows: Mask) -> FloatArray:
        column = self.quantities[rows, self.problem.quantity_index(key)]
        return np.asarray(column[~np.isnan(column)], dtype=np.float64)

    def _percentile(self, key: str, values: FloatArray) -> float:
        """Percentile towards the wanted direction, capped where the problem says so."""
        spec = self.problem.quantities[self.problem.quantity_index(key)]
        q = self.spec.percentile if spec.direction == "maximize" else 100.0 - self.spec.percentile
        value = float(np.percentile(values, q))
        cap = spec.threshold_cap if isinstance(spec, DerivedSpec) else None
        return value if cap is None else min(value, cap)

    def _bounded(self, key: str, threshold: float, n_rows: int, source: str) -> Objective:
        if self.problem.maximize[self.problem.quantity_index(key)]:
            return Objective(key, threshold * self.spec.factor, np.inf, n_rows, source)
        return Objective(key, -np.inf, threshold / self.spec.factor, n_rows, source)
