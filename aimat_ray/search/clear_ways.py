"""Which archived alloys can be walked to: a straight way may lead through infeasible compositions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, move
from aimat_ray.prediction import Predictor
from aimat_ray.search.archive_walk import Targets
from aimat_ray.search.steering import steer

_SURE = 0.65  # p_feasible that a way must keep: walks of an agent stray from it
_LONGEST = 24  # steps that are looked at
_ARRIVED = 1e-6


@dataclass(frozen=True)
class ClearWays:
    """Chooses as `Targets` does, but the first alloy to which the straight way stays feasible.

    Where there is none, the way that keeps the highest probability along its worst step.

    Attributes:
        targets: The archive.
        predictor: The surrogate; asked about the steps of a way, mostly of one way per walk.
        tries: Alloys that are looked at for a walk, at most.
    """

    targets: Targets
    predictor: Predictor
    tries: int = 16

    @property
    def task(self) -> DesignTask:
        """What is designed."""
        return self.targets.task

    def choose(self, state: WalkState) -> tuple[FloatArray, BoolArray]:
        """Targets, [B, E], and whether the archive says that they meet the walks' goals, [B]."""
        places, n_known = self.targets.ranked(state, self.tries)
        chosen, worst = places[:, 0].copy(), np.full(len(state), -np.inf)
        for k in range(self.tries):
            open_ = np.flatnonzero((worst < _SURE) & (n_known > k))
            if not open_.size:
                break
            p = self._worst_step(state.rows(open_), places[open_, k])
            better = open_[p > worst[open_]]
            chosen[better], worst[open_] = places[better, k], np.maximum(worst[open_], p)
        return chosen, n_known > 0

    def _worst_step(self, state: WalkState, target: FloatArray) -> FloatArray:
        """The lowest p_feasible on the straight ways, [B]; of a way that is not sure any more the rest is not asked."""
        worst, going = np.full(len(state), np.inf), np.arange(len(state))
        for _ in range(_LONGEST):
            there = move(self.task, state, steer(self.task, state, target[going]))
            prediction = self.predictor.predict(there)
            worst[going] = np.minimum(worst[going], np.nan_to_num(prediction.p_feasible))
            on_way = (np.abs(target[going] - there).max(axis=1) > _ARRIVED) & (worst[going] >= _SURE)
            going, state = going[on_way], replace(state, at_frac=there, prediction=prediction).rows(on_way)
            if not going.size:
                break
        return worst
