"""How a knowledge score enters the reward: late, small, and as a difference.

A reward of `weight * score` per step would pay an agent for standing still at a good score and make it avoid the goal,
which ends the episode. So the step's change of the score is paid, `weight * (score(next) - score(before))`, like the
progress of the reward itself: whatever path is walked, the sum is the gain in score between its ends.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aimat_ray.config import KnowledgeSettings
from aimat_ray.env.task import DesignTask
from aimat_ray.refine.knowledge.rules import FloatArray


class Scorer(Protocol):
    """Scores compositions."""

    def __call__(self, at_frac: FloatArray, quantities: FloatArray | None = None) -> FloatArray:
        """Scores in [-1, 1], [B]; NaN where none is known (yet)."""

    def close(self) -> None:
        """End whatever works in the background."""


class KnowledgeReward:
    """Adds knowledge to the rewards of transitions.

    Args:
        scorer: Gives the scores.
        task: Knows the blocks of an observation.
        settings: Weight.
    """

    def __init__(self, scorer: Scorer, task: DesignTask, settings: KnowledgeSettings) -> None:
        self._scorer, self._task, self._settings = scorer, task, settings
        self.n_scored = self.n_unknown = 0
        self._sum = 0.0

    def bonus(self, obs: NDArray[Any], next_obs: NDArray[Any]) -> FloatArray:
        """What is added to the rewards of steps, [B], never more than twice the weight; 0 where a score is unknown."""
        scores = [self._score(np.asarray(side, np.float64)) for side in (obs, next_obs)]
        change = np.clip(scores[1], -1, 1) - np.clip(scores[0], -1, 1)
        known = np.isfinite(change)
        self.n_scored += int(known.sum())
        self.n_unknown += int((~known).sum())
        self._sum += float(np.nansum(scores[1][known]))
        return np.asarray(self._settings.weight * np.where(known, change, 0.0))

    def add_to(self, columns: dict[str, NDArray[Any]]) -> None:
        """Add to new transitions, in place."""
        bonus = self.bonus(columns["obs"], columns["next_obs"])
        columns["rewards"] = (np.asarray(columns["rewards"]) + bonus).astype(np.float32)

    def take_mean(self) -> float:
        """Mean score of the compositions reached since the last call; NaN without any."""
        mean = self._sum / self.n_scored if self.n_scored else float("nan")
        self._sum, self.n_scored = 0.0, 0
        return mean

    def close(self) -> None:
        """End the scorer."""
        self._scorer.close()

    def _score(self, obs: FloatArray) -> FloatArray:
        blocks = self._task.layout.blocks
        at_frac = obs[:, blocks["at_frac"]]
        at_frac = at_frac / at_frac.sum(axis=1, keepdims=True)
        quantities = None
        if "quantities" in blocks:
            quantities = obs[:, blocks["quantities"]] * self._task.scale.width + self._task.scale.centre
        return self._scorer(at_frac, quantities)
