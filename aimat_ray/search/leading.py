"""Moves that are led by something that knows the way, and left to chance where it does not arrive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState
from aimat_ray.prediction import Predictor
from aimat_ray.search.controls import Proposer
from aimat_ray.search.merit import best_of, look_ahead
from aimat_ray.search.proposals import propose

_CALM_STEPS, _RISING_STEPS = 4, 16  # of a walk: first the leader's own way, then more and more chance


def restlessness(state: WalkState) -> FloatArray:
    """How far walks are left to chance, [B, 1]: 0 at first, 1 for those that have not arrived after twenty steps.

    Who knows the way is there within a few steps; who does not stalls, and only chance moves the walk on.
    """
    return np.clip((state.step - _CALM_STEPS) / _RISING_STEPS, 0.0, 1.0)[:, None]


@dataclass(frozen=True)
class Picked:
    """The best of some moves by the word of a distilled surrogate: no true prediction is spent on the others.

    Attributes:
        scorer: The distilled surrogate, counting.
        leader: Where half of the moves come from; the others are random.
        k: Moves to pick from.
    """

    scorer: Predictor
    leader: Proposer = propose
    k: int = 16

    def __call__(self, task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
        """Actions, [B * k, A]."""
        walks = state.rows(np.repeat(np.arange(len(state)), k))
        halves = ((propose, self.k - self.k // 2), (self.leader, self.k // 2))
        tried = [draw(task, walks, n, rng).reshape(len(walks), n, -1) for draw, n in halves]
        actions = np.concatenate(tried[::-1], axis=1).reshape(len(walks) * self.k, -1)
        return actions[best_of(look_ahead(task, self.scorer, walks, actions, self.k).merit, self.k)]


@dataclass(frozen=True)
class Restless:
    """The leader's moves at first; later, by chance, random ones, which know nothing and never stall.

    Attributes:
        leader: Draws moves.
        random_share: Share of the random moves, in the end.
    """

    leader: Proposer
    random_share: float = 0.5

    def __call__(self, task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
        """Actions, [B * k, A]."""
        led = self.leader(task, state, k, rng)
        by_chance = rng.random((len(led), 1)) < self.random_share * np.repeat(restlessness(state), k, axis=0)
        return np.where(by_chance, propose(task, state, k, rng), led)
