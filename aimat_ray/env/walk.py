"""One step of many design walks at once: move, predict, judge, reward. Pure functions; the environment, the strict
evaluation and the search methods all take their steps here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.goals import GoalBatch, thresholds_met
from aimat_ray.env.legality import BoolArray, FloatArray, Limits, check_legality, legal_in_paper_mode
from aimat_ray.env.observation import Float32Array, build_observation
from aimat_ray.env.reward import Outcome, PaperScale, RewardParts, paper_reward, progress_reward
from aimat_ray.env.start import sample_paper_starts, sample_starts
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import CHANGE_TOLERANCE, exchanged, keep_near, paper_step, simplex_step
from aimat_ray.errors import ProblemError
from aimat_ray.prediction import ARRAY_FIELDS, Prediction, Predictor, from_columns

_START_ATTEMPTS = 60


@dataclass(frozen=True, slots=True)
class WalkState:
    """Where a batch of walks stands.

    Attributes:
        at_frac: Compositions, [B, E].
        start: Compositions at the start, [B, E].
        base: Position of each walk's base in `task.bases`, [B].
        step: Steps taken, [B].
        goals: Goals of the walks.
        prediction: Predictions for `at_frac`, carried so that they are not asked for twice.
    """

    at_frac: FloatArray
    start: FloatArray
    base: NDArray[np.intp]
    step: NDArray[np.intp]
    goals: GoalBatch
    prediction: Prediction

    def __len__(self) -> int:
        return len(self.at_frac)

    def rows(self, index: NDArray[np.intp] | BoolArray) -> WalkState:
        """The walks at `index`."""
        return WalkState(
            self.at_frac[index],
            self.start[index],
            self.base[index],
            self.step[index],
            self.goals.rows(index),
            self.prediction.rows(index),
        )

    def updated(self, index: NDArray[np.intp] | BoolArray, other: WalkState) -> WalkState:
        """A copy with the walks at `index` replaced."""
        goals = GoalBatch(self.goals.at_least.copy(), self.goals.at_most.copy(), self.goals.max_change.copy())
        goals.put(index, other.goals)
        columns = {}
        for name in ("at_frac", "start", "base", "step"):
            column = getattr(self, name).copy()
            column[index] = getattr(other, name)
            columns[name] = column
        return WalkState(**columns, goals=goals, prediction=self.prediction.updated(index, other.prediction))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a composition is worth in view of a goal; every array is [B].

    Attributes:
        legal: Every rule of the mode holds.
        feasible: Legal, and the feasible class is predicted.
        thresholds: Feasible, and every bound of the goal is met.
        goal: Thresholds met within the allowed change (and inside the domain when the reward is robust).
    """

    legal: BoolArray
    feasible: BoolArray
    thresholds: BoolArray
    goal: BoolArray


class Novelty(Protocol):
    """Counts visits of goal compositions (published reward only)."""

    def visit(self, at_frac: FloatArray, goal: BoolArray) -> FloatArray:
        """1/sqrt(n) for the n-th visit of each goal composition, 0 elsewhere, [B]."""


def limits_of(task: DesignTask, base: NDArray[np.intp]) -> Limits:
    """Windows of a batch of walks."""
    return task.windows.rows(base)


def judge(task: DesignTask, state: WalkState, legal: BoolArray | None = None) -> Judgement:
    """Judge compositions: legality, feasibility, thresholds, goal.

    Args:
        task: What is designed.
        state: Where the walks stand.
        legal: Whether each composition is legal, [B], where that is known already; checked otherwise.
    """
    if legal is not None:
        pass
    elif task.settings.mode == "paper":
        legal = legal_in_paper_mode(state.at_frac)
    else:
        legal = check_legality(state.at_frac, limits_of(task, state.base)).legal
    feasible = legal & (state.prediction.p_feasible >= task.problem.feasibility.threshold)
    thresholds = feasible & thresholds_met(task.judged(state.prediction), state.goals).all(axis=1)
    goal = thresholds & (exchanged(state.at_frac, state.start) <= state.goals.max_change + CHANGE_TOLERANCE)
    if task.settings.reward.robust:
        goal &= state.prediction.in_domain
    return Judgement(legal, feasible, thresholds, goal)


def move(task: DesignTask, state: WalkState, action: FloatArray) -> FloatArray:
    """Compositions after an action, [B, E], in the mode of the task; `simplex` keeps to the change a goal allows."""
    if task.settings.mode == "paper":
        return paper_step(state.at_frac, action, task.max_step)
    limits = limits_of(task, state.base)
    moved = simplex_step(state.at_frac, action, limits, task.max_step)
    return keep_near(moved, state.at_frac, state.start, state.goals.max_change, limits)


def predict_legal(task: DesignTask, predictor: Predictor, at_frac: FloatArray, like: Prediction) -> Prediction:
    """Predict a batch; illegal compositions (paper mode) cost no prediction and get NaN."""
    if task.settings.mode != "paper":
        return predictor.predict(at_frac)
    legal = legal_in_paper_mode(at_frac)
    if legal.all():
        return predictor.predict(at_frac)
    columns = {name: np.zeros_like(getattr(like, name)) for name in ARRAY_FIELDS}
    for column in columns.values():
        if column.dtype == np.float64:
            column[:] = np.nan
    nothing = from_columns(columns, predictor.version)
    return nothing.updated(legal, predictor.predict(at_frac[legal])) if legal.any() else nothing


def advance(
    task: DesignTask,
    predictor: Predictor,
    state: WalkState,
    action: FloatArray,
    novelty: Novelty | None = None,
) -> tuple[WalkState, Judgement, RewardParts, FloatArray]:
    """Take one step with every walk.

    Args:
        task: What is designed.
        predictor: The surrogate; asked once, for the whole batch.
        state: Where the walks stand. Not modified.
        action: Actions in [-1, 1], [B, A].
        novelty: Visit counter of the published reward; None counts every goal as new.

    Returns:
        The new state, its judgement, the rewards, and the novelty of goals, [B].
    """
    at_frac = move(task, state, action)
    prediction = predict_legal(task, predictor, at_frac, state.prediction)
    after = replace(state, at_frac=at_frac, step=state.step + 1, prediction=prediction)
    verdict = judge(task, after)
    fresh = novelty.visit(at_frac, verdict.goal) if novelty is not None else verdict.goal.astype(np.float64)
    return after, verdict, reward_of(task, state, after, verdict, fresh), fresh


def reward_of(
    task: DesignTask, before: WalkState, after: WalkState, verdict: Judgement, novelty: FloatArray
) -> RewardParts:
    """Reward of the step from `before` to `after`."""
    outcome = Outcome(
        before=task.judged(before.prediction),
        after=task.judged(after.prediction),
        change_before=exchanged(before.at_frac, before.start),
        change_after=exchanged(after.at_frac, after.start),
        p_before=before.prediction.p_feasible,
        p_after=np.nan_to_num(after.prediction.p_feasible),
        legal=verdict.legal,
        feasible=verdict.feasible,
        goal=verdict.goal,
        step=after.step.astype(np.float64),
    )
    if task.settings.reward.kind == "paper":
        scale = task.paper_scale
        rows = PaperScale(scale.thresholds[after.base], scale.weights, scale.minimum, scale.span)
        return paper_reward(outcome, rows, novelty)
    return progress_reward(outcome, after.goals, task.settings.reward)


def observe(task: DesignTask, state: WalkState) -> Float32Array:
    """Observations of the walks, [B, layout.size]."""
    return build_observation(
        task.layout,
        task.scale,
        state.at_frac,
        state.start,
        task.problem_base[state.base],
        state.prediction,
        task.judged(state.prediction),
        state.goals,
    )


def fresh_walks(task: DesignTask, predictor: Predictor, base: NDArray[np.intp], rng: np.random.Generator) -> WalkState:
    """Start walks: feasible random compositions that are not already at their goal.

    Args:
        task: What is designed.
        predictor: The surrogate.
        base: Position of each walk's base in `task.bases`, [B].
        rng: Source of randomness.

    Raises:
        ProblemError: A base yields no feasible start that is not at its goal.
    """
    state = _draw_walks(task, predictor, base, rng)
    for _ in range(_START_ATTEMPTS):
        verdict = judge(task, state)
        redraw = np.flatnonzero(~verdict.feasible | verdict.goal)
        if redraw.size == 0:
            return state
        # More candidates than rows: rare bases are feasible in a few per cent of draws only.
        surplus = np.repeat(redraw, max(1, min(32, 256 // redraw.size)))
        candidates = _draw_walks(task, predictor, base[surplus], rng)
        checked = judge(task, candidates)
        good = np.flatnonzero(checked.feasible & ~checked.goal)
        rows, first = np.unique(surplus[good], return_index=True)
        if rows.size:
            state = state.updated(rows, candidates.rows(good[first]))
    state, redraw = _borrowed(state, redraw)
    if redraw.size == 0:
        return state
    failing = task.bases[int(base[redraw[0]])]
    raise ProblemError(f"base {failing!r}: found no feasible start that is not already at the goal")


def _borrowed(state: WalkState, missing: NDArray[np.intp]) -> tuple[WalkState, NDArray[np.intp]]:
    """Where starts of a base are rare: rows without one begin where another walk of the same base does."""
    found = np.setdiff1d(np.arange(len(state)), missing)
    for row in missing:
        same = found[state.base[found] == state.base[row]]
        if same.size:
            state = state.updated(np.array([row]), state.rows(same[[row % same.size]]))
    return state, missing[~np.isin(state.base[missing], state.base[found])]


def _draw_walks(task: DesignTask, predictor: Predictor, base: NDArray[np.intp], rng: np.random.Generator) -> WalkState:
    at_frac = np.empty((len(base), len(task.problem.elements)))
    missing = np.arange(len(base))
    for _ in range(_START_ATTEMPTS):
        for_rows = limits_of(task, base[missing])
        if task.settings.mode == "paper":
            swap = task.problem.paper.start_swap if task.problem.paper else ()
            columns = [task.problem.element_index[element] for element in swap]
            at_frac[missing] = sample_paper_starts(for_rows, rng, columns)
            break
        drawn, kept = sample_starts(for_rows, rng)
        at_frac[missing[kept]] = drawn
        missing = missing[~kept]
        if missing.size == 0:
            break
    else:
        raise ProblemError(f"base {task.bases[int(base[missing[0]])]!r}: its window admits no legal composition")
    prediction = predictor.predict(at_frac)
    goals = task.goals.draw(base, task.judged(prediction), rng)
    return WalkState(at_frac, at_frac.copy(), base.copy(), np.zeros(len(base), dtype=np.intp), goals, prediction)
