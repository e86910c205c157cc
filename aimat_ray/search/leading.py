"""Moves that are led by something that knows the way, and left to chance where it does not arrive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState
from aimat_ray.search.controls import Proposer
from aimat_ray.search.proposals import propose

_CALM_STEPS, _RISING_STEPS = 4, 16  # of a walk: first the leader's own way, then more and more chance


def restlessness(state: WalkState) -> FloatArray:
    """How far walks are left to chance, [B, 1]: 0 at first, 1 for those that have not arrived after twenty steps.

    Who knows the way is there within a few steps; who does not stalls, and only chance moves the walk on.
    """
    return np.clip((state.step - _CALM_STEPS) / _RISING_STEPS, 0.0, 1.0)[:, None]


@dataclass(frozen=True)
class Halved:
    """Half of the moves are the leader's, the others random.

    Attributes:
        leader: Draws moves.
    """

    leader: Proposer

    def __call__(self, task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
        """Actions, [B * k, A]; of each walk's k rows the leader's come first."""
        by_chance = propose(task, state, k - k // 2, rng).reshape(len(state), k - k // 2, -1)
        led = self.leader(task, state, k // 2, rng).reshape(len(state), k // 2, -1)
        return np.concatenate([led, by_chance], axis=1).reshape(len(state) * k, -1)


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
