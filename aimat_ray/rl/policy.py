"""A trained actor as something that chooses actions, alone or with help at run time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aimat_ray.env.goals import harder
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, observe
from aimat_ray.search.proposals import propose

_CALM_STEPS, _RISING_STEPS = 4, 16  # of a walk: first the policy's own way, then more and more chance


def restlessness(state: WalkState) -> FloatArray:
    """How far walks are left to chance, [B, 1]: 0 at first, 1 for those that have not arrived after twenty steps.

    A policy that knows the way is there within a few steps; one that does not stalls, and only chance moves it on.
    """
    return np.clip((state.step - _CALM_STEPS) / _RISING_STEPS, 0.0, 1.0)[:, None]


@dataclass(frozen=True)
class Policy:
    """The deterministic actor: one observation in, one action out, no surrogate call of its own.

    It sees its goal as hard as in training (`train_aim`).

    Attributes:
        task: What is designed; gives the observation.
        actor: Network from observations [B, O] to actions [B, A] in [-1, 1].
        noise: Standard deviation of noise added at run time to walks that do not arrive; 0 is the deterministic policy.
    """

    task: DesignTask
    actor: Any
    noise: float = 0.0

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """Actions for the walks."""
        import torch

        with torch.no_grad():
            seen = replace(state, goals=harder(state.goals, self.task.settings.train_aim))
            action = self.actor(torch.from_numpy(observe(self.task, seen))).numpy().astype(np.float64)
        if self.noise > 0:
            action = np.clip(action + self.noise * restlessness(state) * rng.normal(size=action.shape), -1.0, 1.0)
        return action


@dataclass(frozen=True)
class PolicyProposals:
    """The policy's action and noisy copies of it, for a search method to choose from.

    Attributes:
        policy: The deterministic policy.
        noise: Standard deviations of the copies are drawn up to this.
    """

    policy: Policy
    noise: float = 0.4

    def __call__(self, task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
        """Actions, [B * k, A]; the first of each walk's k rows is the policy's own."""
        own = self.policy(state, rng)
        width = rng.uniform(0.05, self.noise, (len(state), k, 1))
        tried = np.clip(own[:, None] + width * rng.normal(size=(len(state), k, own.shape[1])), -1.0, 1.0)
        tried[:, 0] = own
        return tried.reshape(len(state) * k, -1)


@dataclass(frozen=True)
class PolicyMoves:
    """Single moves for a local search: first the policy's own, later with noise, or by chance a random one.

    The policy knows the way and stalls where it is wrong; random moves know nothing and never stall.

    Attributes:
        policy: The deterministic policy.
        noise: Standard deviations of its moves are drawn up to this, in the end.
        random_share: Share of the moves that are random, in the end.
    """

    policy: Policy
    noise: float = 0.6
    random_share: float = 0.5

    def __call__(self, task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
        """Actions, [B * k, A]."""
        own = np.repeat(self.policy(state, rng), k, axis=0)
        chance = np.repeat(restlessness(state), k, axis=0)
        width = self.noise * chance * rng.random((len(own), 1))
        led = np.clip(own + width * rng.normal(size=own.shape), -1.0, 1.0)
        by_chance = rng.random((len(own), 1)) < self.random_share * chance
        return np.where(by_chance, propose(task, state, k, rng), led)
