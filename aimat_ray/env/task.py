"""The fixed side of a design environment: windows, goals, scales and settings of the bases it covers. Picklable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aimat_ray.config import EnvSettings, GoalSettings
from aimat_ray.data.goals import BaseGoal, paper_thresholds, property_range
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.windows import base_rows
from aimat_ray.env.goals import FixedGoals, GoalSource, MixedGoals, RandomGoals, RelativeGoals, free_goals
from aimat_ray.env.legality import FloatArray, Limits
from aimat_ray.env.observation import ObservationLayout, ObservationScale
from aimat_ray.env.reward import PaperScale
from aimat_ray.errors import ProblemError
from aimat_ray.prediction import Prediction
from aimat_ray.problem import DesignProblem


@dataclass(frozen=True)
class DesignTask:
    """What an environment designs.

    Attributes:
        problem: The design problem.
        bases: Bases that episodes are drawn from, NB of them.
        windows: Legal regions, one row per base of `bases`.
        goals: Where the goals of new episodes come from.
        settings: Mode, observation, reward and step limits.
        scale: Scaling of quantities in observations.
        paper_scale: Constants of the published reward, one row of thresholds per base.
    """

    problem: DesignProblem
    bases: tuple[str, ...]
    windows: Limits
    goals: GoalSource
    settings: EnvSettings
    scale: ObservationScale
    paper_scale: PaperScale

    @property
    def layout(self) -> ObservationLayout:
        """Blocks of the observation."""
        problem = self.problem
        return ObservationLayout(
            n_elements=len(problem.elements),
            n_bases=len(problem.bases),
            n_quantities=len(problem.quantity_keys),
            n_properties=len(problem.property_keys),
            full=self.settings.observation == "full",
        )

    @property
    def max_step(self) -> float:
        """Largest change of one fraction in one step."""
        return self.settings.max_step_at_pct / 100.0

    @property
    def problem_base(self) -> NDArray[np.intp]:
        """Position of each base of this task among the problem's bases, [NB]."""
        return np.array([self.problem.base_index[base] for base in self.bases], dtype=np.intp)

    def judged(self, prediction: Prediction) -> FloatArray:
        """Quantities as goals are judged on them, [B, Q]: means; towards pessimistic ends if the reward is robust."""
        mean = self.problem.with_derived(prediction.mean)
        if not self.settings.reward.robust:
            return mean
        return mean + self.settings.reward.caution * (pessimistic(self.problem, prediction) - mean)


def pessimistic(problem: DesignProblem, prediction: Prediction) -> FloatArray:
    """Quantities at the unfavourable end of their intervals, [B, Q]."""
    maximize = problem.maximize
    n_properties = len(problem.property_keys)
    ends = np.where(maximize[:n_properties], prediction.lower, prediction.upper)
    columns = [ends]
    for spec in problem.derived:
        top, bottom = (problem.property_keys.index(key) for key in (spec.numerator, spec.denominator))
        if spec.direction == "maximize":
            ratio = prediction.lower[:, top] / prediction.upper[:, bottom]
        else:
            ratio = prediction.upper[:, top] / prediction.lower[:, bottom]
        columns.append(ratio[:, None])
    return np.concatenate(columns, axis=1)


def fixed_goals(problem: DesignProblem, goals: tuple[BaseGoal, ...]) -> FixedGoals:
    """Bounds of one goal per base as arrays."""
    bounds = free_goals(len(goals), len(problem.quantity_keys))
    for row, goal in enumerate(goals):
        for objective in goal.objectives:
            q = problem.quantity_index(objective.quantity)
            bounds.at_least[row, q], bounds.at_most[row, q] = objective.at_least, objective.at_most
    return FixedGoals(bounds.at_least, bounds.at_most)


def episode_goals(
    problem: DesignProblem, data: AlloyData, goals: tuple[BaseGoal, ...], settings: GoalSettings
) -> GoalSource:
    """Where the goals of episodes come from.

    Args:
        problem: The design problem.
        data: Measured alloys; random goals ask for percentiles of the feasible rows of a base.
        goals: One goal per base, for kind `fixed`; the quantities in them are those that `relative` improves and keeps.
        settings: The kind of goals and its numbers.
    """
    fixed = fixed_goals(problem, goals)
    if settings.kind == "fixed":
        return fixed
    quantities = problem.with_derived(data.regression.values)
    measured = []
    for goal in goals:
        rows = quantities[base_rows(data.regression, goal.base, problem, feasible_only=True)]
        measured.append([np.sort(column[~np.isnan(column)]) for column in rows.T])
    asked = tuple(sorted({problem.quantity_index(o.quantity) for goal in goals for o in goal.objectives}))
    drawn = RandomGoals(measured, problem.maximize, settings.percentiles, settings.max_quantities)
    relative = RelativeGoals(
        asked, asked, problem.maximize, settings.gain, settings.max_change_at_pct / 100, settings.keep_tolerance
    )
    sources: dict[str, GoalSource] = {"random": drawn, "relative": relative}
    return sources.get(settings.kind) or MixedGoals((fixed, drawn, relative))


def make_task(
    problem: DesignProblem, data: AlloyData, bases: tuple[str, ...], goals: GoalSource, settings: EnvSettings
) -> DesignTask:
    """Collect windows and scales of some bases from a data set.

    Raises:
        ProblemError: A base is unknown, or the data hold no window for it.
    """
    for base in bases:
        problem.check_base(base)
        if base not in data.windows:
            raise ProblemError(
                f"base {base!r} has no window in data {data.name!r}: no measured alloy has it as majority"
            )
    windows = [data.windows[base] for base in bases]
    minimum, maximum = property_range(problem=problem, data=data)
    span = np.maximum(maximum - minimum, 1e-9)
    thresholds = np.stack([paper_thresholds(problem, data, base) for base in bases])
    # Ratios already lie between 0 and 1 and stay as they are; only the measured properties are min-max scaled.
    n_properties = len(problem.property_keys)
    paper_minimum, paper_span = minimum.copy(), span.copy()
    paper_minimum[n_properties:], paper_span[n_properties:] = 0.0, 1.0
    weights = np.zeros(len(problem.quantity_keys))
    if problem.paper is not None:
        for key, weight in problem.paper.weights.items():
            weights[problem.quantity_index(key)] = weight
    return DesignTask(
        problem=problem,
        bases=bases,
        windows=Limits(
            lower=np.stack([window.lower for window in windows]),
            upper=np.stack([window.upper for window in windows]),
            base=np.array([problem.element_index[base] for base in bases], dtype=np.intp),
            max_elements=np.array([max(window.max_elements, 3) for window in windows], dtype=np.intp),
        ),
        goals=goals,
        settings=settings,
        scale=ObservationScale(centre=(minimum + maximum) / 2, width=span / 4),
        paper_scale=PaperScale((thresholds - paper_minimum) / paper_span, weights, paper_minimum, paper_span),
    )
