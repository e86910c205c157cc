"""Plans: where each walk should go, searched once per walk for its own goal. Labels for goals that no archive holds.

See rl/any-goal-design.md.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.episodes import CountingPredictor
from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.observation import Float32Array
from aimat_ray.env.safety import robust_margin
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import exchanged
from aimat_ray.env.walk import WalkState
from aimat_ray.prediction import Predictor
from aimat_ray.search.evolution import EvolutionSettings, evolve
from aimat_ray.search.merit import Candidates, best_of
from aimat_ray.search.steering import label_towards

_REMEMBERED = 4_096  # walks whose plans are kept; far more than are open at once
_CHANGE_COST = 0.3  # robust margin that a plan may cost per fraction of atoms exchanged: near plans are walked sooner
_SAFETY_WEIGHT = 0.5  # of that margin beside the closeness to the goal, while the search is under way
PLAN_SEARCH = EvolutionSettings(population=24, generations=14, stop_at_goal=False)


@dataclass
class PlanLabeler:
    """Steps towards a composition that meets the walk's own goal, found by an evolutionary search from its start.

    A search costs some 340 predictions and is done once per walk.

    Attributes:
        task: What is designed, in `simplex` mode.
        predictor: The surrogate.
        settings: Size of a search.
        predictions: Predictions spent so far.
    """

    task: DesignTask
    predictor: Predictor
    settings: EvolutionSettings = PLAN_SEARCH
    predictions: int = 0
    _plans: OrderedDict[bytes, tuple[FloatArray, bool]] = field(default_factory=OrderedDict, repr=False)

    def __call__(self, state: WalkState) -> tuple[Float32Array, Float32Array]:
        """Wanted effects, [B, E] in units of the largest step, and weights, [B]: 1 where the plan meets the goal."""
        target, meets = self.plans(state)
        return label_towards(self.task, state, target), meets.astype(np.float32)

    def plans(self, state: WalkState) -> tuple[FloatArray, BoolArray]:
        """Where walks should go, [B, E], and whether that meets their goals, [B]; searched for walks not seen yet."""
        keys = [self._key(state, row) for row in range(len(state))]
        new = {key: row for row, key in enumerate(keys) if key not in self._plans}
        if new:
            self._store(list(new), *self._search(state.rows(np.array(list(new.values())))))
        found = [self._plans[key] for key in keys]
        while len(self._plans) > max(_REMEMBERED, len(keys)):
            self._plans.popitem(last=False)
        return np.stack([target for target, _ in found]), np.array([meets for _, meets in found])

    def recall(self, state: WalkState) -> dict[str, NDArray[Any]]:
        """The plans of open walks, for a checkpoint: searching them again in other company gives others."""
        target, meets = self.plans(state)
        return {"target": target, "meets": meets}

    def remember(self, state: WalkState, plans: dict[str, NDArray[Any]]) -> None:
        """Continue from `recall`."""
        keys = [self._key(state, row) for row in range(len(state))]
        self._store(keys, np.array(plans["target"]), np.array(plans["meets"]))

    def _store(self, keys: list[bytes], target: FloatArray, meets: BoolArray) -> None:
        for i, key in enumerate(keys):
            self._plans[key] = target[i], bool(meets[i])

    def _search(self, walks: WalkState) -> tuple[FloatArray, BoolArray]:
        """Safe and near compositions at the goals, one per walk; its start where the search meets none."""
        prediction = self.predictor.predict(walks.start)
        start = replace(walks, at_frac=walks.start, prediction=prediction)
        best, worth = walks.start.copy(), np.full(len(walks), -np.inf)

        def value(found: Candidates) -> FloatArray:
            there = found.state
            margin = robust_margin(self.task.problem, there.prediction, there.goals)
            return margin - _CHANGE_COST * exchanged(there.at_frac, there.start)

        def watch(found: Candidates, walk: NDArray[np.intp]) -> None:
            at_goal = np.where(found.verdict.goal, value(found), -np.inf)
            top = best_of(at_goal, self.settings.population)
            better = top[at_goal[top] > worth[walk[top]]]
            best[walk[better]], worth[walk[better]] = found.state.at_frac[better], at_goal[better]

        counter = CountingPredictor(self.predictor)
        rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(walks.start).tobytes()))
        evolve(self.task, counter, start, rng, self.settings, watch, lambda found, walk: _SAFETY_WEIGHT * value(found))
        self.predictions += counter.n_predictions + len(walks)
        return best, np.isfinite(worth)

    def _key(self, state: WalkState, row: int) -> bytes:
        goals = state.goals
        parts = state.start[row], goals.at_least[row], goals.at_most[row], goals.max_change[row]
        return self.predictor.version.encode() + b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
