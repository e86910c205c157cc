"""A trained actor as something that chooses actions, alone or with help at run time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aimat_ray.env.goals import harder
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, move, observe
from aimat_ray.search.leading import restlessness
from aimat_ray.search.steering import lengthened, steer

_SLOW, _BRISK = 0.2, 0.4  # of the largest step


@dataclass(frozen=True)
class Policy:
    """The deterministic actor: one observation in, one action out, no surrogate call of its own; it never stands still.

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

        from aimat_ray.rl.turns import Turns

        with torch.no_grad():
            seen = replace(state, goals=harder(state.goals, self.task.settings.train_aim))
            given = [torch.from_numpy(observe(self.task, seen))]
            if isinstance(self.actor, Turns):
                given.append(torch.from_numpy(state.step))
            action = self.actor(*given).numpy().astype(np.float64)
        if self.task.settings.mode == "simplex":
            action = self._without_rest(state, action)
        if self.noise > 0:
            action = np.clip(action + self.noise * restlessness(state) * rng.normal(size=action.shape), -1.0, 1.0)
        return action

    def _without_rest(self, state: WalkState, action: FloatArray) -> FloatArray:
        """Who all but stands goes on in its direction: policies come to rest a little before the border of a goal."""
        effect = (move(self.task, state, action) - state.at_frac) / self.task.max_step
        further = lengthened(effect, _SLOW, _BRISK)
        resting = (further != effect).any(axis=1, keepdims=True)
        if not resting.any():
            return action
        target = np.clip(state.at_frac + further * self.task.max_step, 0.0, 1.0)
        return np.where(resting, steer(self.task, state, target), action)


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
    """Moves around the policy's own, for a search that may reject them: its very own at the first step only.

    Attributes:
        policy: The deterministic policy.
        noise: Standard deviations are drawn up to this.
    """

    policy: Policy
    noise: float

    def __call__(self, task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
        """Actions, [B * k, A]."""
        own = np.repeat(self.policy(state, rng), k, axis=0)
        width = self.noise * rng.random((len(own), 1)) * np.repeat(state.step > 0, k)[:, None]
        return np.clip(own + width * rng.normal(size=own.shape), -1.0, 1.0)
