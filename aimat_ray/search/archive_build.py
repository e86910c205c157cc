"""Filling an archive: an evolutionary search over all bases, with restarts, that keeps the alloys it finds at goals."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.episodes import CountingPredictor
from aimat_ray.env.goals import GoalBatch
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.safety import robust_margin
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks
from aimat_ray.errors import ProblemError
from aimat_ray.prediction import ARRAY_FIELDS, Prediction, Predictor, from_columns
from aimat_ray.search.archive import Archive
from aimat_ray.search.diversity import distinct_rows, spread_rows
from aimat_ray.search.evolution import EvolutionSettings, evolve
from aimat_ray.search.merit import Candidates

_RESTARTS = 8  # independent populations per base; every other one also seeks a margin
_POPULATION = 36
_THINNED_TO = 1_000  # hits of a base that are kept when they become too many
_TOO_MANY = 3_000

logger = logging.getLogger(__name__)


def build_archive(
    task: DesignTask,
    predictor: Predictor,
    rng: np.random.Generator,
    n_per_base: int = 32,
    budget: int = 20_000,
) -> Archive:
    """Search for goal alloys of every base of a task, each population towards the goal of its own start.

    Args:
        task: What is designed, in `simplex` mode.
        predictor: The surrogate.
        rng: Source of randomness.
        n_per_base: Most alloys kept per base: half of them by margin, the others far from each other.
        budget: Predictions per base; those for starts come on top.

    Returns:
        The archive; a base without a start or without a hit has no alloys in it.

    Raises:
        ProblemError: No base has a feasible start that is not at its goal.
    """
    counter = CountingPredictor(predictor)
    start = _restarts(task, counter, rng)
    generations = max(budget // (_RESTARTS * _POPULATION), 1)
    collector = HitCollector(task)

    def bonus(found: Candidates, walks: NDArray[np.intp]) -> FloatArray:
        wanted = found.verdict.goal & (walks % 2 == 1)
        return np.where(wanted, robust_margin(task.problem, found.state.prediction, found.state.goals), 0.0)

    settings = EvolutionSettings(_POPULATION, generations, stop_at_goal=False)
    evolve(task, counter, start, rng, settings, watch=collector.watch, bonus=bonus)
    hits = collector.chosen(n_per_base)
    symbols = np.array([task.bases[b] for b in hits.base], dtype=np.str_)
    return Archive(task.problem.elements, symbols, hits.at_frac, hits.prediction, counter.n_predictions)


class HitCollector:
    """Keeps what a search finds at the goal; pass `watch` to `evolve`."""

    def __init__(self, task: DesignTask) -> None:
        self._task = task
        self._batches: list[tuple[WalkState, FloatArray]] = []
        self._n = 0

    def watch(self, found: Candidates, walks: NDArray[np.intp]) -> None:
        """Take in the goal compositions of a generation."""
        rows = np.flatnonzero(found.verdict.goal)
        if rows.size == 0:
            return
        state = found.state.rows(rows)
        self._batches.append((state, robust_margin(self._task.problem, state.prediction, state.goals)))
        self._n += len(rows)
        if self._n > _TOO_MANY * len(self._task.bases):
            self._keep(_THINNED_TO)

    def chosen(self, n_per_base: int) -> WalkState:
        """Different compositions: half of them by margin, the others far from each other; best margin first."""
        if not self._batches:
            raise ProblemError("the search found no composition at the goal; raise its budget or lower the goal")
        self._keep(n_per_base)
        return self._batches[0][0]

    def _keep(self, n_per_base: int) -> None:
        state = join([batch for batch, _ in self._batches])
        margin = np.concatenate([values for _, values in self._batches])
        kept = []
        for b in np.unique(state.base):
            rows = np.flatnonzero(state.base == b)
            rows = rows[distinct_rows(state.at_frac[rows], margin[rows])]
            best = np.arange(min((n_per_base + 1) // 2, len(rows)))
            kept.append(rows[spread_rows(state.at_frac[rows], n_per_base, first=best)])
        index = np.concatenate(kept)
        self._batches = [(state.rows(index), margin[index])]
        self._n = len(index)


def join(states: list[WalkState]) -> WalkState:
    """Several batches of walks as one."""
    goals = [state.goals for state in states]
    predictions = [state.prediction for state in states]
    columns = {
        name: np.concatenate([getattr(state, name) for state in states])
        for name in ("at_frac", "start", "base", "step")
    }
    return WalkState(
        **columns,
        goals=GoalBatch(
            np.concatenate([goal.at_least for goal in goals]),
            np.concatenate([goal.at_most for goal in goals]),
            np.concatenate([goal.max_change for goal in goals]),
        ),
        prediction=join_predictions(predictions),
    )


def join_predictions(predictions: list[Prediction]) -> Prediction:
    """Several batches of answers of one version as one."""
    versions = {prediction.version for prediction in predictions}
    if len(versions) > 1:
        raise ValueError(f"predictions of several versions can't be joined: {sorted(versions)}")
    columns = {name: np.concatenate([getattr(p, name) for p in predictions]) for name in ARRAY_FIELDS}
    return from_columns(columns, versions.pop())


def _restarts(task: DesignTask, predictor: CountingPredictor, rng: np.random.Generator) -> WalkState:
    """Fresh walks of every base that has any."""
    states = []
    for b in range(len(task.bases)):
        try:
            states.append(fresh_walks(task, predictor, np.full(_RESTARTS, b, dtype=np.intp), rng))
        except ProblemError as error:
            logger.warning("archive: %s; left out", error.message)
    if not states:
        raise ProblemError("no base has a feasible start that is not at its goal: there is nothing to search for")
    return join(states)
