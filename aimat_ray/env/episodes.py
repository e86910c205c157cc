"""Strict episodes: each walk runs once from a fresh start until it ends; nothing restarts. Used by every evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.safety import robust_margin
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, advance
from aimat_ray.prediction import Prediction, Predictor


class Chooser(Protocol):
    """Decides the next action of each walk: a policy, a control, or a search."""

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """Actions in [-1, 1], [B, A], for the walks of `state`."""


class CountingPredictor:
    """Passes questions on and counts the compositions in them, so that every method pays the same price.

    Attributes:
        n_predictions: Compositions asked for so far.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._remembered: tuple[FloatArray, Prediction] | None = None
        self.n_predictions = 0

    @property
    def version(self) -> str:
        """Version of the surrogate behind."""
        return self._predictor.version

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict and count."""
        remembered, self._remembered = self._remembered, None
        if remembered is not None and np.array_equal(remembered[0], at_frac):
            return remembered[1]
        self.n_predictions += len(at_frac)
        return self._predictor.predict(at_frac)

    def remember(self, at_frac: FloatArray, prediction: Prediction) -> None:
        """Answer this very batch without counting it again if it is the next question.

        A chooser that looks ahead has already paid for the composition that it then chooses.
        """
        self._remembered = (at_frac, prediction)


@dataclass(frozen=True, slots=True)
class Episodes:
    """Results of a batch of strict episodes.

    Attributes:
        goal: Whether the walk reached its goal, [B].
        steps: Steps taken, [B].
        final: Where each walk ended: at its goal, at its last composition, or infeasible.
        predictions: Surrogate predictions spent on the whole batch, starts not included.
        spent: The same per walk, up to its end, [B].
        n_steps: Steps of all walks.
        n_legal: Legal steps of all walks.
        n_feasible: Feasible steps of all walks.
        n_met: Feasible steps with each quantity at the 80th percentile of the base's measured rows or beyond, [Q].
        path: Compositions along the walks when asked for: [T + 1, B, E], the last one repeated after the end.
    """

    goal: BoolArray
    steps: NDArray[np.intp]
    final: WalkState
    predictions: int
    spent: FloatArray
    n_steps: int
    n_legal: int
    n_feasible: int
    n_met: NDArray[np.intp]
    path: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.goal)


@dataclass
class _Tally:
    n_steps: int = 0
    n_legal: int = 0
    n_feasible: int = 0
    n_met: list[NDArray[np.intp]] = field(default_factory=list)


def run_episodes(
    task: DesignTask,
    predictor: CountingPredictor,
    start: WalkState,
    choose: Chooser,
    rng: np.random.Generator,
    max_steps: int | None = None,
    keep_path: bool = False,
) -> Episodes:
    """Walk every start to its end.

    Args:
        task: What is designed.
        predictor: The surrogate, counting. `choose` must ask the same counter.
        start: Fresh walks, feasible and not at their goals.
        choose: Decides the actions.
        rng: Passed on to `choose`.
        max_steps: Step limit; the task's by default.
        keep_path: Whether to keep all compositions.
    """
    spent = predictor.n_predictions
    state, tally, price = start, _Tally(), np.zeros(len(start))
    goal = np.zeros(len(start), dtype=bool)
    walking = np.arange(len(start))
    path = [start.at_frac.copy()] if keep_path else []
    for _ in range(max_steps or task.settings.max_steps):
        current, before = state.rows(walking), predictor.n_predictions
        after, verdict, _, _ = advance(task, predictor, current, choose(current, rng))
        price[walking] += (predictor.n_predictions - before) / len(walking)
        tally.n_steps += len(after)
        tally.n_legal += int(verdict.legal.sum())
        tally.n_feasible += int(verdict.feasible.sum())
        tally.n_met.append(beyond_80(task, after)[verdict.feasible].sum(axis=0))
        state = state.updated(walking, after)
        goal[walking] = verdict.goal
        if keep_path:
            path.append(state.at_frac.copy())
        walking = walking[verdict.feasible & ~verdict.goal]
        if walking.size == 0:
            break
    return Episodes(
        goal=goal,
        steps=state.step,
        final=state,
        predictions=predictor.n_predictions - spent,
        spent=price,
        n_steps=tally.n_steps,
        n_legal=tally.n_legal,
        n_feasible=tally.n_feasible,
        n_met=np.sum(tally.n_met, axis=0),
        path=np.stack(path) if keep_path else None,
    )


def settle(
    task: DesignTask,
    predictor: CountingPredictor,
    arrived: WalkState,
    choose: Chooser,
    rng: np.random.Generator,
    max_steps: int,
) -> WalkState:
    """Walk on from goal compositions and keep the safest one seen.

    A walk that stops at its first goal composition stops at the border of the goal, where a prediction is as likely
    wrong as right. Each further step costs one prediction.

    Args:
        task: What is designed.
        predictor: The surrogate, counting.
        arrived: Walks at their goals.
        choose: Decides the actions.
        rng: Passed on to `choose`.
        max_steps: Further steps.

    Returns:
        Per walk the goal composition with the largest robust margin.
    """
    best, score = arrived, robust_margin(task.problem, arrived.prediction, arrived.goals)
    state, walking = arrived, np.arange(len(arrived))
    for _ in range(max_steps):
        if walking.size == 0:
            break
        current = state.rows(walking)
        after, verdict, _, _ = advance(task, predictor, current, choose(current, rng))
        state = state.updated(walking, after)
        safety = np.where(verdict.goal, robust_margin(task.problem, after.prediction, after.goals), -np.inf)
        better = safety > score[walking]
        best = best.updated(walking[better], after.rows(better))
        score[walking[better]] = safety[better]
        walking = walking[verdict.feasible]
    return best


def beyond_80(task: DesignTask, state: WalkState) -> BoolArray:
    """Whether each quantity is as good as the best fifth of the base's measured rows, [B, Q] (the paper's SR80)."""
    scaled = task.paper_scale.scaled(task.problem.with_derived(state.prediction.mean))
    threshold = task.paper_scale.thresholds[state.base]
    return np.where(task.problem.maximize, scaled >= threshold, scaled <= threshold)
