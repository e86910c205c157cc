"""KBR as a companion of a training run: in the last part, knowledge enters every reward, stored ones included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.config import DesignSettings
from aimat_ray.refine.knowledge.agreement import agreement
from aimat_ray.refine.knowledge.reward import KnowledgeReward, Scorer
from aimat_ray.refine.knowledge.rules import RuleScorer
from aimat_ray.refine.llm import LlmClient
from aimat_ray.rl.hooks import Alone
from aimat_ray.rl.prepare import Say, Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.td3 import TD3
from aimat_ray.search.archive import Archive

FILE_NAME = "knowledge.json"


Progress = Callable[[TD3], float]
"""The share of its training that an algorithm has behind it."""


class KbrCompanion(Alone):
    """Adds knowledge to rewards in the last part of a training.

    Args:
        settings: Of the run.
        say: Told what happens.
        progress: How far the training is; by its env steps when None.
    """

    def __init__(self, settings: DesignSettings, say: Say, progress: Progress | None = None) -> None:
        self._settings, self._say = settings, say
        self._progress: Progress = progress or (lambda algorithm: algorithm.env_steps / settings.steps)
        self._reward: KnowledgeReward | None = None
        self._scorer: Scorer | None = None
        self._active = False
        self._algorithm: TD3 | None = None

    def join(self, bench: Workbench, run: RunDirectory, resume: bool) -> Workbench:
        """Say how far the rules agree with the measured alloys."""
        self._run = run
        self._scorer = self._make_scorer(bench, run)
        run.write_json(
            FILE_NAME,
            {"settings": self._settings.knowledge.model_dump(mode="json"), "agreement": agreement(bench.data)},
        )
        return bench

    def start(self, algorithm: TD3, bench: Workbench, archive: Archive | None) -> None:
        """Wait for the last part; a run resumed in it goes on."""
        assert self._scorer is not None, "join() comes first"
        self._algorithm = algorithm
        self._reward = KnowledgeReward(self._scorer, bench.task, self._settings.knowledge)
        self._active = self._is_time(algorithm) and len(algorithm.buffer) > 0
        algorithm.listeners.append(self._listen)

    def after_iteration(self, algorithm: TD3) -> dict[str, Any]:
        """Begin when it is time."""
        assert self._reward is not None, "start() comes first"
        if not self._active and self._is_time(algorithm):
            self._active = True
            self._say(f"knowledge enters the reward from {algorithm.env_steps:,} env steps on")
            self.add_to_stored(algorithm)
        return {
            "knowledge_active": float(self._active),
            "knowledge_score_mean": self._reward.take_mean(),
            "knowledge_unknown": float(self._reward.n_unknown),
        }

    def add_to_stored(self, algorithm: TD3) -> None:
        """Add knowledge to all stored rewards; after a swap they have been recomputed without it."""
        if not self._active or self._reward is None or not (len(algorithm.buffer) or algorithm.buffer.n_trusted):
            return
        reward = self._reward

        def with_knowledge(rows: dict[str, NDArray[Any]]) -> NDArray[Any]:
            return np.asarray(rows["rewards"] + reward.bonus(rows["obs"], rows["next_obs"]), np.float32)

        algorithm.buffer.rewrite("rewards", with_knowledge, needs=("rewards", "obs", "next_obs"))

    def finish(self, bench: Workbench, archive: Archive | None) -> tuple[Workbench, Archive | None]:
        """The run is judged without knowledge."""
        return bench, archive

    def close(self) -> None:
        """End the scorer."""
        if self._scorer is not None:
            self._scorer.close()

    def _is_time(self, algorithm: TD3) -> bool:
        return self._progress(algorithm) >= 1.0 - self._settings.knowledge.last_share - 1e-9

    def _listen(self, columns: dict[str, NDArray[Any]]) -> None:
        if self._active and self._reward is not None:
            self._reward.add_to(columns)

    def _make_scorer(self, bench: Workbench, run: RunDirectory) -> Scorer:
        if self._settings.knowledge.scorer == "llm":
            from aimat_ray.refine.knowledge.language import LanguageScorer

            client = LlmClient(self._settings.llm, self._settings.llm.folder(run.path))
            return LanguageScorer(client, bench.data.regression, bench.problem, self._settings.knowledge)
        return RuleScorer(bench.problem)
