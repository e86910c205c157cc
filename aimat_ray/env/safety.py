"""How safely a composition meets a goal, by what the surrogate says about its own reliability."""

from __future__ import annotations

import numpy as np

from aimat_ray.env.goals import GoalBatch, goal_margin
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import pessimistic
from aimat_ray.prediction import Prediction
from aimat_ray.problem import DesignProblem

_SURE = 0.95  # probability of feasibility that leaves no doubt
_WIDEST_MARGIN = 0.5  # beyond it a wider margin is worth nothing
_OUTSIDE_DOMAIN = 1.0
_DISTANCE_WEIGHT = 2.0  # margin that a unit of distance to the measured alloys costs
_NEAR = 0.1  # up to this distance nothing: designs should be near the data, not copies of them


def robust_margin(problem: DesignProblem, prediction: Prediction, goals: GoalBatch) -> FloatArray:
    """Smallest relative margin of a pessimistic end to its bound, less what makes the prediction doubtful, [B].

    Taken off: doubt about feasibility, a place outside the domain, and the distance to the measured alloys, which
    matters most: second opinions agree near the data and contradict far from it (safety-design.md).

    Args:
        problem: Directions of the quantities.
        prediction: Predictions for the compositions.
        goals: One goal per composition.
    """
    return clipped_margin(pessimistic(problem, prediction), goals) - doubt(prediction)


def clipped_margin(quantities: FloatArray, goals: GoalBatch) -> FloatArray:
    """Smallest relative margin of quantities [B, Q] to the bounds of goals, within [-1, 0.5], [B]."""
    return np.clip(np.nan_to_num(goal_margin(quantities, goals), nan=-1.0), -1.0, _WIDEST_MARGIN)


def doubt(prediction: Prediction) -> FloatArray:
    """What makes predictions doubtful, whatever the goal, in units of margin, [B]; 0 for none."""
    unsure = np.maximum(_SURE - np.nan_to_num(prediction.p_feasible), 0.0)
    away = _DISTANCE_WEIGHT * np.clip(np.nan_to_num(prediction.distance, nan=1.0) - _NEAR, 0.0, 1.0)
    return np.asarray(unsure + away + _OUTSIDE_DOMAIN * ~prediction.in_domain)
