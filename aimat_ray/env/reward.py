"""Rewards of one step, as pure functions on batches. The trusted pool is rewarded by the same functions.

See reward-design.md for the two kinds and the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aimat_ray.config import RewardSettings
from aimat_ray.env.goals import GoalBatch, closeness
from aimat_ray.env.legality import BoolArray, FloatArray

PAPER_STEP_LIMIT = 128


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step led to; everything a reward may look at.

    Attributes:
        before: Quantities before the step, [B, Q], as the goal is judged (mean, or pessimistic end).
        after: Quantities after it, [B, Q].
        change_before: Fraction of atoms exchanged since the start, before the step, [B].
        change_after: The same after it, [B].
        p_before: Feasibility before, [B].
        p_after: Feasibility after, [B].
        legal: Whether the new composition is legal, [B].
        feasible: Whether it is legal and feasible, [B].
        goal: Whether it is at the goal, [B].
        step: Number of the step in its episode, from 1, [B].
    """

    before: FloatArray
    after: FloatArray
    change_before: FloatArray
    change_after: FloatArray
    p_before: FloatArray
    p_after: FloatArray
    legal: BoolArray
    feasible: BoolArray
    goal: BoolArray
    step: FloatArray


@dataclass(frozen=True, slots=True)
class RewardParts:
    """A reward and what it is made of; every array is [B]."""

    total: FloatArray
    feasibility: FloatArray
    progress: FloatArray
    goal: FloatArray
    penalty: FloatArray


def progress_reward(outcome: Outcome, goals: GoalBatch, settings: RewardSettings) -> RewardParts:
    """Reward for coming nearer to the goal: a weighted change of the satisfaction, plus ends and a barrier.

    Source: chosen here; a feasibility study found it clearly better than the published reward.
    """
    nearer = closeness(outcome.after, outcome.change_after, goals)
    nearer -= closeness(outcome.before, outcome.change_before, goals)
    progress = np.where(outcome.feasible, settings.progress_weight * nearer, 0.0)
    reached = settings.goal_bonus * outcome.goal.astype(np.float64)
    shortfall = np.maximum(settings.feasibility_barrier - outcome.p_after, 0.0)
    feasibility = -settings.barrier_weight * np.where(outcome.legal, shortfall, 0.0)
    penalty = -settings.step_cost - np.where(outcome.feasible, 0.0, settings.infeasible_cost)
    return RewardParts(progress + reached + feasibility + penalty, feasibility, progress, reached, penalty)


@dataclass(frozen=True, slots=True)
class PaperScale:
    """Constants of the published reward.

    Attributes:
        thresholds: Scaled thresholds of each row's base, [B, Q].
        weights: Weight per quantity, [Q].
        minimum: Smallest measured value per quantity, for min-max scaling, [Q].
        span: Largest minus smallest measured value, [Q].
    """

    thresholds: FloatArray
    weights: FloatArray
    minimum: FloatArray
    span: FloatArray

    def scaled(self, quantities: FloatArray) -> FloatArray:
        """Min-max scaled quantities, [B, Q]."""
        return (quantities - self.minimum) / self.span


def paper_reward(outcome: Outcome, scale: PaperScale, novelty: FloatArray) -> RewardParts:
    """The published reward.

    Args:
        outcome: The step.
        scale: Scaled thresholds and weights.
        novelty: 1/sqrt(n) for the n-th visit of a goal composition in this run, 0 elsewhere, [B].

    Source: the paper's reward, constants as in the published study.
    """
    old, new = scale.scaled(outcome.before), scale.scaled(outcome.after)
    gain = np.tanh((new - old) / np.maximum(np.maximum(scale.thresholds, old), 1e-6))
    parts = scale.weights * (0.2 * (new >= scale.thresholds) + 0.1 * gain)
    illegal = -1.0 + np.log(outcome.step + 1.0) / (2.0 * np.log(PAPER_STEP_LIMIT))
    feasibility = np.where(outcome.legal, outcome.p_after - 0.5, 0.0)
    progress = np.where(outcome.feasible, np.nan_to_num(parts).sum(axis=1), 0.0)
    reached = np.where(outcome.goal, 0.2 * novelty, 0.0)
    penalty = np.where(outcome.legal, 0.0, illegal)
    return RewardParts(feasibility + progress + reached + penalty, feasibility, progress, reached, penalty)
