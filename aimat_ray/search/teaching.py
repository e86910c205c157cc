"""What a distilled surrogate is taught: the surrogate's answers along the ways that searches and policies take.

A net that is accurate over the whole composition space would need many times the answers; walks see a small part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from aimat_ray.env.episodes import Chooser, CountingPredictor, run_episodes
from aimat_ray.env.goals import RelativeGoals
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import fresh_walks
from aimat_ray.errors import ProblemError
from aimat_ray.prediction import ARRAY_FIELDS, Prediction, Predictor, from_columns
from aimat_ray.search.archive import Archive
from aimat_ray.search.archive_build import build_archive
from aimat_ray.search.archive_walk import ArchiveWalk
from aimat_ray.search.controls import Greedy, LocalSearch, RandomAction, RandomMoves

_WALKS = 64
_STEPS = 24
_ARCHIVE_SHARE = 0.1  # of the answers come from an evolutionary search
_GAIN, _KEEP = (0.05, 0.6), 0.05  # wishes that draw the walks in every direction, not only towards one goal


@dataclass
class Recorder:
    """Passes questions on and keeps them with their answers.

    Attributes:
        predictor: Who answers.
    """

    predictor: Predictor
    _asked: list[FloatArray] = field(default_factory=list)
    _answers: list[Prediction] = field(default_factory=list)
    n: int = 0

    @property
    def version(self) -> str:
        """Version of the surrogate that answers."""
        return self.predictor.version

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Ask and keep."""
        answer = self.predictor.predict(at_frac)
        self._asked.append(at_frac.copy())
        self._answers.append(answer)
        self.n += len(at_frac)
        return answer

    def lessons(self) -> Lessons:
        """Everything asked so far."""
        columns = {name: np.concatenate([getattr(a, name) for a in self._answers]) for name in ARRAY_FIELDS}
        return Lessons(np.concatenate(self._asked), from_columns(columns, self.version))


@dataclass(frozen=True)
class Lessons:
    """Compositions with the surrogate's answers.

    Attributes:
        at_frac: Compositions, [N, E].
        answers: The answers, [N].
    """

    at_frac: FloatArray
    answers: Prediction

    def __len__(self) -> int:
        return len(self.at_frac)

    def and_also(self, other: Lessons) -> Lessons:
        """Both together."""
        columns = {
            name: np.concatenate([getattr(self.answers, name), getattr(other.answers, name)]) for name in ARRAY_FIELDS
        }
        return Lessons(np.concatenate([self.at_frac, other.at_frac]), from_columns(columns, self.answers.version))


def lessons_near_paths(
    task: DesignTask, predictor: Predictor, rng: np.random.Generator, n: int, scorer: Predictor | None = None
) -> Lessons:
    """Collect answers along the walks of searches, archives and chance, over all bases of a task.

    Args:
        task: What is designed, in `simplex` mode. Half of the walks go to its goals, half after wishes relative to
            their starts.
        predictor: The surrogate.
        rng: Source of randomness.
        n: Answers to collect; a batch that is under way is finished.
        scorer: A net taught before: walks that it leads show where it is wrong. None for the first lessons.
    """
    recorder = Recorder(predictor)
    archive = None if scorer is not None else _archive(task, recorder, rng, int(_ARCHIVE_SHARE * n))
    tasks = (task, _wishes(task))
    for turn, (toward_wishes, make) in enumerate(_rounds(archive, scorer)):
        if recorder.n >= n:
            break
        source = tasks[toward_wishes]
        base = rng.permutation((np.arange(_WALKS, dtype=np.intp) + turn * _WALKS) % len(task.bases))
        start = fresh_walks(source, recorder, base, rng)
        counter = CountingPredictor(recorder)
        run_episodes(source, counter, start, make(source, counter), rng, max_steps=_STEPS)
    return recorder.lessons()


class _Make:
    """Builds the chooser of a round."""

    def __init__(self, kind: str, archive: Archive | None, scorer: Predictor | None) -> None:
        self.kind, self.archive, self.scorer = kind, archive, scorer

    def __call__(self, task: DesignTask, counter: CountingPredictor) -> Chooser:
        if self.kind == "archive" and self.archive is not None:
            return ArchiveWalk.of(self.archive, task)
        if self.kind == "scored":
            return Greedy(task, counter, scorer=self.scorer)
        if self.kind == "greedy":
            return Greedy(task, counter)
        if self.kind == "random":
            return RandomAction(task)
        return RandomMoves(task) if self.kind == "moves" else LocalSearch(task, counter)


def _rounds(archive: Archive | None, scorer: Predictor | None) -> Iterator[tuple[bool, _Make]]:
    """Which walks come after which, without end: (whether they follow wishes, how they choose)."""
    kinds = ["greedy", "random", "local", "moves"] if scorer is None else ["scored", "scored", "scored", "greedy"]
    if archive is not None:
        kinds.append("archive")
    while True:
        for kind in kinds:
            for wishes in (False, True):
                yield wishes and kind != "archive", _Make(kind, archive, scorer)


def _archive(task: DesignTask, recorder: Recorder, rng: np.random.Generator, n: int) -> Archive | None:
    try:
        return build_archive(task, recorder, rng, budget=max(n // len(task.bases), 1))
    except ProblemError:
        return None  # nothing at the goals: the other walks remain


def _wishes(task: DesignTask) -> DesignTask:
    """The same task with goals relative to the starts, over all quantities."""
    everything = tuple(range(len(task.problem.quantity_keys)))
    goals = RelativeGoals(everything, everything, task.problem.maximize, _GAIN, np.inf, _KEEP)
    return replace(task, goals=goals)
