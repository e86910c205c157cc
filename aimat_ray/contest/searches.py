"""Contestants without learning that draw, enumerate or walk. Each runs until the meter ends the game."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aimat_ray.contest.game import Game
from aimat_ray.env.episodes import Chooser, CountingPredictor, run_episodes
from aimat_ray.env.legality import MIN_ELEMENTS, FloatArray, check_legality
from aimat_ray.env.start import sample_starts
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import fresh_walks, limits_of
from aimat_ray.errors import ProblemError
from aimat_ray.search.archive_build import build_archive
from aimat_ray.search.archive_walk import ArchiveWalk
from aimat_ray.search.controls import Greedy, LocalSearch
from aimat_ray.search.evolution import EvolutionSettings, evolve

BATCH = 256
_WALKS, _POPULATION, _POPULATIONS = 32, 36, 4
_GRID_STEPS_AT_PCT = (10, 5)
_LARGEST_GRID_SYSTEM = 5


def bases(n: int) -> NDArray[np.intp]:
    """The one base of a contest's problem, for `n` rows."""
    return np.zeros(n, dtype=np.intp)


def random_in_window(task: DesignTask, game: Game) -> None:
    """Random legal compositions of the window, the same draws that walks start from."""
    while True:
        drawn, _ = sample_starts(limits_of(task, bases(BATCH)), game.rng)
        if len(drawn):
            game.meter.predict(drawn)


def grid(task: DesignTask, game: Game) -> None:
    """All compositions at multiples of 10 at%, then of 5 at%, system of elements by system in random order.

    At multiples of 5 at% the systems of up to five elements of one base are more than a budget: which of them are
    visited is left to the seed.
    """
    for step in _GRID_STEPS_AT_PCT:
        batch: list[FloatArray] = []
        for point in _grid_points(task, step, game.rng):
            batch.append(point)
            if len(batch) == BATCH:
                game.meter.predict(np.array(batch))
                batch = []
        if batch:
            game.meter.predict(np.array(batch))


def _grid_points(task: DesignTask, step: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    limits = limits_of(task, bases(1))
    lower, upper, base = limits.lower[0], limits.upper[0], int(limits.base[0])
    needed = [int(e) for e in np.flatnonzero(lower > 0)]
    needed += [] if base in needed else [base]
    optional = [e for e in np.flatnonzero(upper >= step / 100) if e not in needed]
    most = min(int(limits.max_elements[0]), max(_LARGEST_GRID_SYSTEM, len(needed)))
    sizes = range(max(MIN_ELEMENTS, len(needed)), most + 1)
    systems = [tuple(extra) for size in sizes for extra in itertools.combinations(optional, size - len(needed))]
    for index in rng.permutation(len(systems)):
        elements = [*needed, *systems[index]]
        for parts in _partitions(100 // step, len(elements)):
            point = np.zeros(len(lower))
            point[elements] = np.array(parts) * step / 100
            if check_legality(point[None], limits).legal[0]:
                yield point


def _partitions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to write a whole number as a sum of positive ones."""
    for cuts in itertools.combinations(range(1, total), parts - 1):
        yield tuple(b - a for a, b in itertools.pairwise((0, *cuts, total)))


def local_search(task: DesignTask, game: Game) -> None:
    """Walks that try one random move a step and keep what is not worse."""
    counter = CountingPredictor(game.meter)
    _walk_on(task, game, counter, LocalSearch(task, counter))


def greedy(task: DesignTask, game: Game) -> None:
    """Walks that try 16 random moves a step and take the best."""
    counter = CountingPredictor(game.meter)
    _walk_on(task, game, counter, Greedy(task, counter))


def archive_walk(task: DesignTask, game: Game) -> None:
    """Evolution fills an archive with most of the budget; walks from fresh starts go straight to its alloys."""
    archive = None
    share = 0.8
    while archive is None:
        try:
            archive = build_archive(task, game.meter, game.rng, budget=max(int(share * game.budget), 1))
        except ProblemError:  # nothing at the goal yet: search on with what is left
            share = 0.2
    counter = CountingPredictor(game.meter)
    _walk_on(task, game, counter, ArchiveWalk.of(archive, task))


def evolution(task: DesignTask, game: Game) -> None:
    """Four populations from fresh starts that share the budget and do not stop at the goal."""
    counter = CountingPredictor(game.meter)
    while True:
        start = fresh_walks(task, counter, bases(_POPULATIONS), game.rng)
        generations = max(game.budget // (_POPULATIONS * _POPULATION), 1)
        evolve(task, counter, start, game.rng, EvolutionSettings(_POPULATION, generations, stop_at_goal=False))


def _walk_on(task: DesignTask, game: Game, counter: CountingPredictor, choose: Chooser) -> None:
    while True:
        start = fresh_walks(task, counter, bases(_WALKS), game.rng)
        run_episodes(task, counter, start, choose, game.rng)
