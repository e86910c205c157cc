"""How good a composition is for a walk that is under way: what searches maximise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.goals import closeness
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import exchanged
from aimat_ray.env.walk import Judgement, WalkState, judge, move, predict_legal
from aimat_ray.prediction import Prediction, Predictor

GOAL_BONUS = 1.0
INFEASIBLE = -20.0  # below what any feasible composition can get; a higher probability still ranks higher
ILLEGAL = -40.0
_OUTSIDE_DOMAIN = 0.25  # taken off where compositions inside the domain are wanted


@dataclass(frozen=True, slots=True)
class Candidates:
    """Compositions that walks might move to.

    Attributes:
        state: The walks as they would stand there, [N].
        verdict: What they would be worth.
        merit: What to maximise, [N].
    """

    state: WalkState
    verdict: Judgement
    merit: FloatArray


def merit_of(task: DesignTask, state: WalkState, verdict: Judgement | None = None) -> FloatArray:
    """The potential behind the progress reward, with a floor for what is infeasible, [B].

    Args:
        task: What is designed.
        state: Where the walks stand.
        verdict: Its judgement, if at hand.
    """
    verdict = verdict or judge(task, state)
    reward = task.settings.reward
    p = np.nan_to_num(state.prediction.p_feasible)
    near = closeness(task.judged(state.prediction), exchanged(state.at_frac, state.start), state.goals)
    near -= reward.barrier_weight / reward.progress_weight * np.maximum(reward.feasibility_barrier - p, 0.0)
    if reward.robust:
        near -= _OUTSIDE_DOMAIN * ~state.prediction.in_domain
    merit = np.where(verdict.feasible, near + GOAL_BONUS * verdict.goal, INFEASIBLE + p)
    return np.where(verdict.legal, merit, ILLEGAL)


def assess(task: DesignTask, predictor: Predictor, state: WalkState, at_frac: FloatArray) -> Candidates:
    """Ask the surrogate about the compositions that walks might move to.

    Args:
        task: What is designed.
        predictor: The surrogate; asked once, for legal compositions only.
        state: The walks, one per candidate.
        at_frac: Candidates, [N, E].
    """
    return appraise(task, state, at_frac, predict_legal(task, predictor, at_frac, state.prediction))


def appraise(task: DesignTask, state: WalkState, at_frac: FloatArray, prediction: Prediction) -> Candidates:
    """What compositions that walks might move to are worth by some predictions for them."""
    there = replace(state, at_frac=at_frac, prediction=prediction)
    verdict = judge(task, there)
    return Candidates(there, verdict, merit_of(task, there, verdict))


def look_ahead(task: DesignTask, predictor: Predictor, state: WalkState, actions: FloatArray, k: int) -> Candidates:
    """What `k` actions per walk would lead to.

    Args:
        task: What is designed.
        predictor: The surrogate.
        state: Where the walks stand, B of them.
        actions: Actions, [B * k, A]; those of walk i are the rows i * k to (i + 1) * k - 1.
        k: Actions per walk.
    """
    rows = np.repeat(np.arange(len(state)), k)
    repeated = state.rows(rows)
    return assess(task, predictor, repeated, move(task, repeated, actions))


def best_of(merit: FloatArray, k: int) -> NDArray[np.intp]:
    """Row of the best of every `k` consecutive candidates, [N / k]; ties go to the first."""
    return np.arange(len(merit) // k) * k + merit.reshape(-1, k).argmax(axis=1)
