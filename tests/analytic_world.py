"""Surrogates that are a formula, and tasks with hand-made windows, for tests whose numbers are worked by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aimat_ray.config import EnvSettings
from aimat_ray.data.composition import parse_formulas
from aimat_ray.env.goals import FixedGoals, free_goals
from aimat_ray.env.legality import BoolArray, FloatArray, Limits
from aimat_ray.env.observation import ObservationScale
from aimat_ray.env.reward import PaperScale
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState
from aimat_ray.prediction import DomainReason, Prediction
from aimat_ray.problem import DesignProblem

Formula = Callable[[FloatArray], FloatArray]


def _certain(at_frac: FloatArray) -> FloatArray:
    return np.ones(len(at_frac))


@dataclass(frozen=True)
class AnalyticPredictor:
    """A surrogate that knows: intervals of zero width.

    Attributes:
        values: Property values of compositions, [B, E] -> [B, P].
        p_feasible: Probability of the feasible class, [B, E] -> [B].
        in_domain: 1 where it may be believed, else 0, [B, E] -> [B].
        version: Its name.
    """

    values: Formula
    p_feasible: Formula = _certain
    in_domain: Formula = _certain
    version: str = "analytic-1"

    def predict(self, at_frac: FloatArray) -> Prediction:
        mean, n = self.values(at_frac), len(at_frac)
        inside = self.in_domain(at_frac) > 0.5
        return Prediction(
            p_feasible=self.p_feasible(at_frac),
            mean=mean,
            lower=mean,
            upper=mean,
            spread=np.zeros_like(mean),
            distance=np.zeros(n),
            in_domain=inside,
            reason=np.where(inside, DomainReason.INSIDE, DomainReason.TOO_FAR).astype(np.uint8),
            version=self.version,
        )


def linear(problem: DesignProblem, **slopes: Mapping[str, float]) -> Formula:
    """Properties linear in the amounts: `linear(problem, dmax_mm={"Cu": 0.5})` is 0.5 mm per at% Cu; others are 1."""
    weights = np.zeros((len(problem.elements), len(problem.properties)))
    constant = np.ones(len(problem.properties))
    for key, per_element in slopes.items():
        p = problem.property_keys.index(key)
        constant[p] = 0.0
        for element, slope in per_element.items():
            weights[problem.element_index[element], p] = 100 * slope
    return lambda at_frac: at_frac @ weights + constant


def analytic_task(
    problem: DesignProblem,
    windows: Mapping[str, Mapping[str, tuple[float, float]]],
    at_least: Mapping[str, float],
    settings: EnvSettings | None = None,
    max_elements: int = 4,
    scale: Mapping[str, float] | None = None,
) -> DesignTask:
    """A task with one goal for all its bases.

    Args:
        problem: Knows elements and quantities.
        windows: Ranges in at% per base and element.
        at_least: Goal: bound per quantity.
        settings: Of the environment.
        max_elements: Of every base.
        scale: Size of quantities in the observation; 1 by default.
    """
    n, n_quantities = len(windows), len(problem.quantity_keys)
    lower, upper = np.zeros((n, len(problem.elements))), np.zeros((n, len(problem.elements)))
    for row, ranges in enumerate(windows.values()):
        for element, (low, high) in ranges.items():
            column = problem.element_index[element]
            lower[row, column], upper[row, column] = low / 100, high / 100
    bounds = free_goals(n, n_quantities)
    for key, value in at_least.items():
        bounds.at_least[:, problem.quantity_index(key)] = value
    width = np.ones(n_quantities)
    for key, value in (scale or {}).items():
        width[problem.quantity_index(key)] = value
    return DesignTask(
        problem=problem,
        bases=tuple(windows),
        windows=Limits(
            lower, upper, np.array([problem.element_index[base] for base in windows]), np.full(n, max_elements)
        ),
        goals=FixedGoals(bounds.at_least, bounds.at_most),
        settings=settings or EnvSettings(),
        scale=ObservationScale(np.zeros(n_quantities), width),
        paper_scale=PaperScale(
            np.ones((n, n_quantities)), np.zeros(n_quantities), np.zeros(n_quantities), np.ones(n_quantities)
        ),
    )


@dataclass(frozen=True)
class Truth:
    """Stands in for the oracle of synthetic data."""

    truth: Formula

    def feasible(self, at_frac: FloatArray) -> BoolArray:
        return np.ones(len(at_frac), dtype=bool)


@dataclass(frozen=True)
class SmallBench:
    """The parts of a run's workbench that judging designs needs."""

    task: DesignTask
    predictor: AnalyticPredictor
    judge: AnalyticPredictor
    data: Any

    @property
    def problem(self) -> DesignProblem:
        return self.task.problem


def walks_at(
    task: DesignTask, predictor: AnalyticPredictor, formulas: Sequence[str], bases: Sequence[int] | None = None
) -> WalkState:
    """Walks that stand at the given alloys, which are also their starts."""
    at_frac = parse_formulas(list(formulas), task.problem.elements)
    base = np.array(bases if bases is not None else [0] * len(at_frac), dtype=np.intp)
    prediction = predictor.predict(at_frac)
    goals = task.goals.draw(base, task.judged(prediction), np.random.default_rng(0))
    return WalkState(at_frac, at_frac.copy(), base, np.zeros(len(base), dtype=np.intp), goals, prediction)
