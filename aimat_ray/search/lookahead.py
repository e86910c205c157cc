"""Labels that look ahead: what the better ones of some proposals would change."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from aimat_ray.env.observation import Float32Array
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState
from aimat_ray.prediction import Predictor
from aimat_ray.search.controls import Proposer
from aimat_ray.search.foresight import foresee
from aimat_ray.search.merit import INFEASIBLE, merit_of
from aimat_ray.search.proposals import propose


@dataclass(frozen=True)
class LookaheadLabeler:
    """Softmax-weighted mean effect of `k` scored proposals: labels for behaviour cloning.

    The proposals follow from the compositions, so that the same walks always get the same labels.

    Attributes:
        task: What is designed, in `simplex` mode.
        scorer: Scores the proposals: the surrogate, or cheaper a distilled one; count it to know the price.
        k: Proposals per walk.
        temperature: Of the softmax, in units of closeness; small values follow the best proposal alone.
        proposer: Where the proposals come from.
        seed: Of the proposals.
    """

    task: DesignTask
    scorer: Predictor
    k: int = 32
    temperature: float = 0.006
    proposer: Proposer = propose
    seed: int = 0

    def __call__(self, state: WalkState) -> tuple[Float32Array, Float32Array]:
        """Wanted effects, [B, E] in units of the largest step, and weights, [B]: 1 where a proposal beats staying."""
        rng = np.random.default_rng([self.seed, zlib.crc32(np.ascontiguousarray(state.at_frac).tobytes())])
        actions = self.proposer(self.task, state, self.k, rng)
        candidates = foresee(self.task, self.scorer, state, actions, self.k)
        merit = np.maximum(candidates.merit, INFEASIBLE).reshape(-1, self.k)
        best = merit.max(axis=1, keepdims=True)
        share = np.exp((merit - best) / self.temperature)
        share /= share.sum(axis=1, keepdims=True)
        change = candidates.state.at_frac.reshape(*merit.shape, -1) - state.at_frac[:, None]
        effect = np.einsum("bk,bke->be", share, change) / self.task.max_step
        better = best[:, 0] > merit_of(self.task, state)
        return effect.astype(np.float32), better.astype(np.float32)
