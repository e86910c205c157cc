"""Start compositions: random legal alloys of a base."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.legality import MIN_ELEMENTS, MIN_FRACTION, BoolArray, FloatArray, Limits, check_legality
from aimat_ray.env.transition import project

PAPER_MAX_ELEMENTS = 7
_SMALLEST_START_FRACTION = 5 * MIN_FRACTION


def sample_starts(limits: Limits, rng: np.random.Generator) -> tuple[FloatArray, BoolArray]:
    """Draw one random composition per row: the always-present elements and a random number of optional ones.

    Args:
        limits: Windows, one row per wanted composition.
        rng: Source of randomness.

    Returns:
        Legal fractions, [N, E], and which rows they are for, [B]: draws that can't be made legal (say, the chosen
        elements can't fill the sum) are left out.
    """
    chosen = _choose_elements(limits, rng, limits.max_elements)
    low = np.where(chosen, np.maximum(limits.lower, np.minimum(_SMALLEST_START_FRACTION, limits.upper)), 0.0)
    high = np.where(chosen, limits.upper, 0.0)
    rows = np.arange(len(low))
    top = high[rows, limits.base][:, None]
    possible = (low.sum(axis=1) <= 1) & (np.minimum(high, top).sum(axis=1) >= 1)
    low, high, kept = low[possible], high[possible], limits.rows(possible)
    drawn = rng.uniform(low, np.maximum(high, low))
    drawn /= np.maximum(drawn.sum(axis=1, keepdims=True), 1e-12)
    starts = project(drawn, low, high, kept.base)
    legal = check_legality(starts, kept).legal
    possible[np.flatnonzero(possible)[~legal]] = False
    return starts[legal], possible


def sample_paper_starts(limits: Limits, rng: np.random.Generator, swap_columns: list[int]) -> FloatArray:
    """Draw starts as published: uniform in the window, normalised; half the time the smallest element is swapped.

    Args:
        limits: Windows, one row per wanted composition.
        rng: Source of randomness.
        swap_columns: Positions of the elements that may take the smallest element's place.

    Returns:
        Fractions, [B, E], each row summing to 1.
    """
    chosen = _choose_elements(limits, rng, np.minimum(limits.max_elements, PAPER_MAX_ELEMENTS))
    low = np.where(chosen, np.maximum(limits.lower, MIN_FRACTION), 0.0)
    drawn = np.where(chosen, rng.uniform(low, np.where(chosen, np.maximum(limits.upper, low), 0.0)), 0.0)
    starts = drawn / drawn.sum(axis=1, keepdims=True)
    for row in np.flatnonzero(rng.random(len(starts)) < 0.5):
        free = [column for column in swap_columns if starts[row, column] == 0]
        smallest = int(np.argmin(np.where(starts[row] > 0, starts[row], np.inf)))
        if free:
            column = int(rng.choice(free))
            starts[row, column], starts[row, smallest] = starts[row, smallest], 0.0
    return starts


def _choose_elements(limits: Limits, rng: np.random.Generator, most: NDArray[np.intp]) -> BoolArray:
    """The always-present elements, the base, and a random number of the optional ones, [B, E] bool."""
    always = limits.lower > 0
    always[np.arange(len(always)), limits.base] = True
    optional = (limits.upper > MIN_FRACTION) & ~always
    n_always = always.sum(axis=1)
    least = np.maximum(MIN_ELEMENTS, n_always)
    total = rng.integers(least, np.maximum(most, least) + 1)
    priority = np.where(optional, rng.random(optional.shape), np.inf)
    rank = np.argsort(np.argsort(priority, axis=1, kind="stable"), axis=1, kind="stable")
    return always | (optional & (rank < (total - n_always)[:, None]))
