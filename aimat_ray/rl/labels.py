"""Labels for the agent: steps towards goal alloys that a search has found once, or the better of some moves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.alloy_env import Labeler, Remembering
from aimat_ray.env.goals import harder
from aimat_ray.env.observation import Float32Array
from aimat_ray.env.walk import WalkState
from aimat_ray.errors import ProblemError
from aimat_ray.rl.prepare import Say, Workbench
from aimat_ray.search.archive import Archive
from aimat_ray.search.archive_build import build_archive
from aimat_ray.search.archive_walk import ArchiveLabeler, Targets
from aimat_ray.search.clear_ways import ClearWays
from aimat_ray.search.lookahead import LookaheadLabeler
from aimat_ray.search.plan import PlanLabeler

_ARCHIVE_STREAM = 11


@dataclass(frozen=True)
class EvaluatedGoals:
    """Labels for the goals as they are evaluated, in an environment whose goals are harder by a factor."""

    labeler: Labeler
    aim: float

    def __call__(self, state: WalkState) -> tuple[Float32Array, Float32Array]:
        """Labels of the walks."""
        return self.labeler(self._evaluated(state))

    def recall(self, state: WalkState) -> dict[str, NDArray[Any]]:
        """What the labeler keeps about open walks."""
        return self.labeler.recall(self._evaluated(state)) if isinstance(self.labeler, Remembering) else {}

    def remember(self, state: WalkState, kept: dict[str, NDArray[Any]]) -> None:
        """Continue from `recall`."""
        if kept and isinstance(self.labeler, Remembering):
            self.labeler.remember(self._evaluated(state), kept)

    def _evaluated(self, state: WalkState) -> WalkState:
        return replace(state, goals=harder(state.goals, 1.0 / self.aim))


@dataclass(frozen=True)
class FirstLabels:
    """The label of the first of several labelers that has one."""

    labelers: tuple[Labeler, ...]

    def __call__(self, state: WalkState) -> tuple[Float32Array, Float32Array]:
        """Labels of the walks."""
        effect, weight = self.labelers[0](state)
        for labeler in self.labelers[1:]:
            missing = np.flatnonzero(weight == 0)
            if missing.size:
                effect[missing], weight[missing] = labeler(state.rows(missing))
        return effect, weight


def search_archive(bench: Workbench, say: Say) -> Archive | None:
    """Fill an archive for the run's bases; None where search finds nothing, or in mode `paper`."""
    if bench.settings.env.mode == "paper":
        return None
    rng = np.random.default_rng([bench.settings.seed, _ARCHIVE_STREAM])
    try:
        archive = build_archive(bench.task, bench.predictor, rng, budget=bench.settings.archive.budget_per_base)
    except ProblemError as error:
        say(f"archive: {error.message}")
        return None
    say(f"archive: {len(archive)} goal alloys from {archive.predictions_spent:,} predictions")
    return archive


def make_labeler(bench: Workbench, archive: Archive | None) -> Labeler | None:
    """The labels that the settings ask for, if any."""
    agent, aim = bench.settings.agent, bench.settings.env.train_aim
    wanted: list[Labeler] = []
    if archive is not None and agent.labels in ("archive", "both"):
        targets = Targets(archive, bench.task, agent.label_ranking)
        clear = agent.label_ways == "clear"
        wanted.append(ArchiveLabeler(ClearWays(targets, bench.predictor) if clear else targets))
    if bench.settings.env.mode == "simplex" and agent.labels in ("lookahead", "both"):
        # Without a distilled surrogate each label costs 32 true predictions.
        wanted.append(LookaheadLabeler(bench.task, bench.scorer or bench.predictor))
    if bench.settings.env.mode == "simplex" and agent.labels == "plan":
        wanted.append(PlanLabeler(bench.task, bench.predictor))
    if not wanted:
        return None
    return EvaluatedGoals(wanted[0] if len(wanted) == 1 else FirstLabels(tuple(wanted)), aim)
