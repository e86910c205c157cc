"""Search methods as a design tool: distinct compositions at the goal for a budget of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.episodes import Chooser, CountingPredictor, run_episodes
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks
from aimat_ray.errors import ConfigError, ProblemError
from aimat_ray.prediction import Predictor
from aimat_ray.search.archive import Archive
from aimat_ray.search.archive_build import HitCollector, build_archive, join
from aimat_ray.search.archive_walk import ArchiveWalk
from aimat_ray.search.controls import GREEDY_CANDIDATES, Greedy, LocalSearch
from aimat_ray.search.diversity import distinct_rows
from aimat_ray.search.evolution import EvolutionSettings, evolve
from aimat_ray.search.merit import merit_of

Method = Literal["archive", "greedy", "evolution", "local"]
METHODS: tuple[Method, ...] = get_args(Method)

_WALKS = 32  # walks at a time
_POPULATION = 36
_LEAST_GENERATIONS = 8
_MOST_PER_BASE = 500
_ARCHIVE_SHARE = 0.8  # of the budget goes into filling the archive, the rest into walking to it


@dataclass(frozen=True, slots=True)
class FoundDesigns:
    """What a search method found.

    Attributes:
        walks: Distinct compositions at the goal, best merit first, with their starts, goals and predictions, N of them.
        steps: Steps of the walk that led there, [N]; for evolution, which does not walk, the least number of steps from
            the start.
        predictions: Predictions spent, those for starts included.
        n_tried: Walks or populations that were tried.
        n_goal: How many of them reached their goal.
    """

    walks: WalkState
    steps: NDArray[np.intp]
    predictions: int
    n_tried: int
    n_goal: int

    def __len__(self) -> int:
        return len(self.walks)


def search_designs(
    task: DesignTask,
    predictor: Predictor,
    method: str,
    budget: int,
    rng: np.random.Generator,
    start: WalkState | None = None,
    archive: Archive | None = None,
) -> FoundDesigns:
    """Run a search method as a tool.

    Args:
        task: What is designed.
        predictor: The surrogate.
        method: archive, greedy, evolution or local.
        budget: Predictions to spend; a batch that is under way is finished.
        rng: Source of randomness.
        start: Walks to start from, used in turn; fresh ones of the task by default.
        archive: Goal alloys for method `archive`; searched for within the budget when not given.

    Returns:
        Distinct compositions at the goal (no two within 1 at%), possibly none.

    Raises:
        ConfigError: Unknown method, or no budget.
        ProblemError: No feasible start, or the method does not work in the task's mode.
    """
    check_search(method, METHODS, budget)
    counter = CountingPredictor(predictor)
    if method == "evolution":
        return _evolved(task, counter, budget, rng, start)
    if method == "archive":
        if archive is None:
            try:
                per_base = max(int(_ARCHIVE_SHARE * budget) // len(task.bases), 1)
                archive = build_archive(task, counter, rng, budget=per_base)
            except ProblemError:
                return _nothing(_starts(task, counter, rng, start), counter.n_predictions)
        return _walked(task, counter, ArchiveWalk.of(archive, task), 1, budget, rng, start)
    if method == "greedy":
        return _walked(task, counter, Greedy(task, counter), GREEDY_CANDIDATES, budget, rng, start)
    return _walked(task, counter, LocalSearch(task, counter), 1, budget, rng, start)


def check_search(method: str, known: Sequence[str], budget: int) -> None:
    """Refuse a search that can't be run.

    Raises:
        ConfigError: Unknown method, or no budget.
    """
    if method not in known:
        raise ConfigError(f"unknown search method {method!r}; expected one of: {', '.join(known)}")
    if budget < 1:
        raise ConfigError(f"budget: expected at least 1 prediction, got {budget}")


def _walked(
    task: DesignTask,
    counter: CountingPredictor,
    choose: Chooser,
    per_step: int,
    budget: int,
    rng: np.random.Generator,
    start: WalkState | None,
) -> FoundDesigns:
    """Strict episodes, one batch after the other, until the budget is spent; a step costs `per_step` predictions."""
    ends: list[WalkState] = []
    n_tried, n_goal = 0, 0
    while not ends or counter.n_predictions < budget:
        affordable = (budget - counter.n_predictions) // (per_step * task.settings.max_steps)
        walks = _starts(task, counter, rng, start, n_tried, max(affordable, 1))
        episodes = run_episodes(task, counter, walks, choose, rng)
        ends.append(episodes.final.rows(episodes.goal))
        n_tried += len(episodes)
        n_goal += int(episodes.goal.sum())
    return _distinct(task, join(ends), counter.n_predictions, n_tried, n_goal)


def _evolved(
    task: DesignTask, counter: CountingPredictor, budget: int, rng: np.random.Generator, start: WalkState | None
) -> FoundDesigns:
    """One population per start that shares the budget; what they meet on the way counts too."""
    walks = _starts(task, counter, rng, start)
    left = budget - counter.n_predictions
    walks = walks.rows(np.arange(max(min(len(walks), left // (_LEAST_GENERATIONS * _POPULATION)), 1)))
    generations = max(left // (len(walks) * _POPULATION), 1)
    collector = HitCollector(task)
    settings = EvolutionSettings(_POPULATION, generations, stop_at_goal=False)
    goal = evolve(task, counter, walks, rng, settings, watch=collector.watch).goal
    if not goal.any():
        return _nothing(walks, counter.n_predictions)
    found = collector.chosen(_MOST_PER_BASE)
    away = np.abs(found.at_frac - found.start).max(axis=1)
    found = replace(found, step=np.ceil(away / task.max_step - 1e-9).astype(np.intp))
    return _distinct(task, found, counter.n_predictions, len(walks), int(goal.sum()))


def _starts(
    task: DesignTask,
    counter: CountingPredictor,
    rng: np.random.Generator,
    start: WalkState | None,
    n_used: int = 0,
    at_most: int = _WALKS,
) -> WalkState:
    """The next batch of starts."""
    turn = n_used + np.arange(min(_WALKS, at_most), dtype=np.intp)
    if start is not None:
        return start.rows(turn % len(start))
    return fresh_walks(task, counter, turn % len(task.bases), rng)


def _distinct(task: DesignTask, found: WalkState, predictions: int, n_tried: int, n_goal: int) -> FoundDesigns:
    walks = found.rows(distinct_rows(found.at_frac, merit_of(task, found)))
    return FoundDesigns(walks, walks.step, predictions, n_tried, n_goal)


def _nothing(walks: WalkState, predictions: int) -> FoundDesigns:
    none = np.zeros(0, dtype=np.intp)
    return FoundDesigns(walks.rows(none), none, predictions, len(walks), 0)
