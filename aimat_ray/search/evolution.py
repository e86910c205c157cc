"""Evolutionary search for compositions at the goal of each walk: the ceiling that other methods are read beside.

It forgets the walk's rules on the way (no steps, no feasible path) and keeps only those of the goal: window, and
allowed change from the start. See evolution-design.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.episodes import CountingPredictor
from aimat_ray.env.legality import MIN_FRACTION, BoolArray, FloatArray, Limits, check_legality
from aimat_ray.env.start import sample_starts
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import exchanged, project, simplex_step
from aimat_ray.env.walk import WalkState, judge, limits_of
from aimat_ray.errors import ProblemError
from aimat_ray.search.merit import Candidates, assess, best_of, merit_of
from aimat_ray.search.proposals import simplex_proposals

_CROSSED = 0.5  # share of children with two parents
_STRIDES = (1.0, 2.0, 4.0)  # mutations, in units of the largest step: a population may jump where a walk can't
_NEAR_MOVES = 2  # moves from the start to the first population, where the goal limits the change

Watcher = Callable[[Candidates, NDArray[np.intp]], None]
Bonus = Callable[[Candidates, NDArray[np.intp]], FloatArray]


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """Size of a search.

    Attributes:
        population: Compositions alive per walk.
        generations: Generations at most; the first one counts.
        stop_at_goal: Whether a walk's search ends when its goal is reached.
    """

    population: int = 36
    generations: int = 150
    stop_at_goal: bool = True


@dataclass(frozen=True, slots=True)
class Evolved:
    """What the searches found.

    Attributes:
        goal: Whether a composition at the goal was found, [B].
        best: The walks, standing at the best composition found.
        merit: Merit of the best, [B].
        predictions: Predictions spent per walk, [B].
    """

    goal: BoolArray
    best: WalkState
    merit: FloatArray
    predictions: NDArray[np.intp]


def evolve(
    task: DesignTask,
    predictor: CountingPredictor,
    start: WalkState,
    rng: np.random.Generator,
    settings: EvolutionSettings | None = None,
    watch: Watcher | None = None,
    bonus: Bonus | None = None,
) -> Evolved:
    """Search for every walk at once, each with a population of its own.

    Args:
        task: What is designed, in `simplex` mode.
        predictor: The surrogate, counting; asked once per generation for all walks.
        start: The walks; their starts and goals count, not where they stand.
        rng: Source of randomness.
        settings: Size of the search.
        watch: Called with the candidates of each generation and the walk that each belongs to.
        bonus: What is added to the merit of each candidate, [N], for searches that want more than the goal.

    Raises:
        ProblemError: The task is in another mode.
    """
    if task.settings.mode != "simplex":
        raise ProblemError("evolutionary search works in mode 'simplex'; mode 'paper' has no legal region to search")
    settings = settings or EvolutionSettings()
    n, size = len(start), settings.population
    best, best_merit = start, merit_of(task, start)
    goal, spent = judge(task, start).goal.copy(), np.zeros(n, dtype=np.intp)
    searching = np.flatnonzero(~goal) if settings.stop_at_goal else np.arange(n)
    at_frac, merit = np.empty((0, size, start.at_frac.shape[1])), np.empty((0, size))

    for generation in range(settings.generations):
        if searching.size == 0:
            break
        if generation == 0:
            children = _first_population(task, start, size, rng)[searching]
        else:
            children = _breed(task, start.base[searching], at_frac, merit, rng)
        walks = np.repeat(searching, size)
        walkers = start.rows(walks)
        children = pull_back(task, walkers, children.reshape(len(walks), -1)).reshape(children.shape)
        found = assess(task, predictor, walkers, children.reshape(len(walks), -1))
        spent[searching] += size
        if watch is not None:
            watch(found, walks)
        value = found.merit if bonus is None else found.merit + bonus(found, walks)
        top = best_of(value, size)
        better = value[top] > best_merit[searching]
        best = best.updated(searching[better], found.state.rows(top[better]))
        best_merit[searching[better]] = value[top[better]]
        goal[searching] |= found.verdict.goal.reshape(-1, size).any(axis=1)
        at_frac, merit = _survivors(at_frac, merit, children, value.reshape(-1, size))
        if settings.stop_at_goal:
            left = ~goal[searching]
            searching, at_frac, merit = searching[left], at_frac[left], merit[left]
    return Evolved(goal, best, best_merit, spent)


def _first_population(task: DesignTask, start: WalkState, size: int, rng: np.random.Generator) -> FloatArray:
    """Random compositions of the window, or of the start's surroundings where the goal limits the change, [B, M, E]."""
    rows = np.repeat(np.arange(len(start)), size)
    limits = limits_of(task, start.base[rows])
    near = _mutate(start.start[rows], limits, task.max_step, 1.0, rng)
    for _ in range(_NEAR_MOVES - 1):
        near = _mutate(near, limits, task.max_step, 1.0, rng)
    free = np.flatnonzero(~np.isfinite(start.goals.max_change[rows]))
    drawn, kept = sample_starts(limits.rows(free), rng)
    near[free[kept]] = drawn
    return near.reshape(len(start), size, -1)


def _breed(
    task: DesignTask, base: NDArray[np.intp], at_frac: FloatArray, merit: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """One child per member: a tournament picks the parents, half are mixtures of two, all are mutated; [B, M, E]."""
    n, size, n_elements = at_frac.shape
    limits = limits_of(task, np.repeat(base, size))
    mother, father = (_tournament(at_frac, merit, rng).reshape(-1, n_elements) for _ in range(2))
    child = mother.copy()
    crossed = np.flatnonzero(rng.random(n * size) < _CROSSED)
    child[crossed] = mix(mother[crossed], father[crossed], limits.rows(crossed), rng)
    stride = rng.choice(_STRIDES, size=(n * size, 1))
    return _mutate(child, limits, task.max_step, stride, rng).reshape(n, size, n_elements)


def _tournament(at_frac: FloatArray, merit: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The better of two random members, for every member's place, [B, M, E]."""
    n, size = merit.shape
    pair = rng.integers(size, size=(2, n, size))
    rows = np.arange(n)[:, None]
    winner = np.where(merit[rows, pair[0]] >= merit[rows, pair[1]], pair[0], pair[1])
    return at_frac[rows, winner]


def _mutate(
    at_frac: FloatArray, limits: Limits, max_step: float, stride: float | FloatArray, rng: np.random.Generator
) -> FloatArray:
    """A random move with steps `stride` times as long as a walk's."""
    return simplex_step(at_frac, simplex_proposals(at_frac, limits, max_step, rng), limits, max_step * stride)


def pull_back(task: DesignTask, walks: WalkState, at_frac: FloatArray) -> FloatArray:
    """Shorten changes that exceed what a goal allows, along the line to the start, [N, E]."""
    too_far = np.flatnonzero(exchanged(at_frac, walks.start) > walks.goals.max_change)
    if too_far.size == 0:
        return at_frac
    start, far = walks.start[too_far], at_frac[too_far]
    share = (walks.goals.max_change[too_far] / exchanged(far, start))[:, None]
    result = at_frac.copy()
    result[too_far] = fit_into(start + share * (far - start), limits_of(task, walks.base[too_far]), otherwise=start)
    return result


def mix(first: FloatArray, second: FloatArray, limits: Limits, rng: np.random.Generator) -> FloatArray:
    """A random mixture of two legal compositions of one window per row; the first where the mixture can't be legal.

    Args:
        first: Legal compositions, [N, E].
        second: Legal compositions, [N, E].
        limits: Windows of the rows.
        rng: Source of randomness.
    """
    share = rng.random((len(first), 1))
    return fit_into(share * first + (1 - share) * second, limits, otherwise=first)


def fit_into(wanted: FloatArray, limits: Limits, otherwise: FloatArray) -> FloatArray:
    """Map compositions into windows: surplus elements (the smallest optional ones) go, then the rest is projected.

    Args:
        wanted: Fractions, [N, E].
        limits: Windows of the rows.
        otherwise: What to give where the map does not end inside the window, [N, E].
    """
    rows = np.arange(len(wanted))
    needed = limits.lower > 0
    needed[rows, limits.base] = True
    rank_by = np.where(needed, np.inf, np.where(limits.upper > MIN_FRACTION, wanted, 0.0))
    order = np.argsort(-rank_by, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    kept = (rank < limits.max_elements[:, None]) & (rank_by >= MIN_FRACTION)
    low = np.where(kept, np.maximum(limits.lower, np.minimum(MIN_FRACTION, limits.upper)), 0.0)
    high = np.where(kept, limits.upper, 0.0)
    top = high[rows, limits.base][:, None]
    possible = (low.sum(axis=1) <= 1) & (np.minimum(high, top).sum(axis=1) >= 1)
    result = otherwise.copy()
    result[possible] = project(wanted[possible], low[possible], high[possible], limits.base[possible])
    legal = check_legality(result, limits).legal
    return np.where(legal[:, None], result, otherwise)


def _survivors(
    old: FloatArray, old_merit: FloatArray, new: FloatArray, new_merit: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The better half of parents and children, [B, M, E] and [B, M]; children win ties, to cross plateaus."""
    if len(old) == 0:
        return new, new_merit
    at_frac, merit = np.concatenate([new, old], axis=1), np.concatenate([new_merit, old_merit], axis=1)
    keep = np.argsort(-merit, axis=1, kind="stable")[:, : new.shape[1]]
    return np.take_along_axis(at_frac, keep[:, :, None], axis=1), np.take_along_axis(merit, keep, axis=1)
