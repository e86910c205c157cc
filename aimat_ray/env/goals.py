"""What counts as success, per episode: bounds on quantities, and where they come from.

A goal is data, not code: per quantity a smallest and a largest acceptable value (infinite where free) and a largest
allowed change from the start. Fixed goals per base, goals drawn at random and goals relative to the start all become
the same arrays at the start of an episode, so that one environment and one policy serve them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.errors import ProblemError

SATISFACTION_FLOOR = -1.0


@dataclass(frozen=True, slots=True)
class GoalBatch:
    """Goals of a batch of episodes.

    Attributes:
        at_least: Smallest acceptable value, [B, Q]; -inf where free.
        at_most: Largest acceptable value, [B, Q]; +inf where free.
        max_change: Largest allowed sum of |x - start| / 2 (fraction of atoms exchanged), [B]; +inf where free.
    """

    at_least: FloatArray
    at_most: FloatArray
    max_change: FloatArray

    def rows(self, index: NDArray[np.intp] | BoolArray) -> GoalBatch:
        """The goals at `index`."""
        return GoalBatch(self.at_least[index], self.at_most[index], self.max_change[index])

    def put(self, index: NDArray[np.intp] | BoolArray, other: GoalBatch) -> None:
        """Overwrite the goals at `index`."""
        self.at_least[index], self.at_most[index], self.max_change[index] = (
            other.at_least,
            other.at_most,
            other.max_change,
        )

    @property
    def asked(self) -> BoolArray:
        """Which quantities the goal constrains, [B, Q]."""
        return np.isfinite(self.at_least) | np.isfinite(self.at_most)


def harder(goals: GoalBatch, aim: float) -> GoalBatch:
    """The same goals with their bounds moved inwards by a factor: lower bounds times `aim`, upper bounds over it."""
    return GoalBatch(goals.at_least * aim, goals.at_most / aim, goals.max_change)


def free_goals(n: int, n_quantities: int) -> GoalBatch:
    """Goals that ask for nothing, to be filled in."""
    shape = (n, n_quantities)
    return GoalBatch(np.full(shape, -np.inf), np.full(shape, np.inf), np.full(n, np.inf))


def satisfaction(quantities: FloatArray, goals: GoalBatch) -> FloatArray:
    """How far each constrained quantity is met, [B, Q]: 1 when met, value / threshold below it, 0 where free.

    Args:
        quantities: Values, [B, Q], in the units of the keys.
        goals: Goals of the rows.
    """
    with np.errstate(invalid="ignore"):
        below = np.where(np.isfinite(goals.at_least), goals.at_least - quantities, 0.0)
        above = np.where(np.isfinite(goals.at_most), quantities - goals.at_most, 0.0)
    reference = np.where(np.isfinite(goals.at_least), goals.at_least, goals.at_most)
    scale = np.where(goals.asked, np.maximum(np.abs(reference), 1e-9), 1.0)
    missing = np.maximum(np.maximum(below, above), 0.0) / scale
    return np.where(goals.asked, np.maximum(1.0 - missing, SATISFACTION_FLOOR), 0.0)


def closeness(quantities: FloatArray, change: FloatArray, goals: GoalBatch) -> FloatArray:
    """Sum of the satisfactions, less what exceeds the allowed change from the start, [B].

    Args:
        quantities: Values, [B, Q].
        change: Fraction of atoms exchanged since the start, [B].
        goals: Goals of the rows.
    """
    limited = np.isfinite(goals.max_change)
    excess = np.where(limited, np.maximum(change / np.where(limited, goals.max_change, 1.0) - 1.0, 0.0), 0.0)
    return np.nan_to_num(satisfaction(quantities, goals)).sum(axis=1) - np.minimum(excess, 2.0)


def thresholds_met(quantities: FloatArray, goals: GoalBatch) -> BoolArray:
    """Which constrained quantities are within their bounds, [B, Q]; True where free. NaN never meets a bound."""
    met = (quantities >= goals.at_least) & (quantities <= goals.at_most)
    return met | ~goals.asked


def goal_margin(quantities: FloatArray, goals: GoalBatch) -> FloatArray:
    """Smallest relative distance to a bound of the goal, [B]; positive inside, infinite where nothing is asked."""
    asked_low, asked_high = np.isfinite(goals.at_least), np.isfinite(goals.at_most)
    low = np.where(asked_low, goals.at_least, 0.0)
    high = np.where(asked_high, goals.at_most, 0.0)
    above = np.where(asked_low, (quantities - low) / np.maximum(np.abs(low), 1e-9), np.inf)
    below = np.where(asked_high, (high - quantities) / np.maximum(np.abs(high), 1e-9), np.inf)
    return np.asarray(np.minimum(above, below).min(axis=1))


class GoalSource(Protocol):
    """Hands out the goals of new episodes."""

    def draw(self, base: NDArray[np.intp], start_quantities: FloatArray, rng: np.random.Generator) -> GoalBatch:
        """Draw one goal per episode.

        Args:
            base: Position of each episode's base in the environment's list of bases, [B].
            start_quantities: Predicted quantities of the start compositions, [B, Q].
            rng: Source of randomness.
        """


@dataclass(frozen=True, slots=True)
class FixedGoals:
    """One goal per base.

    Attributes:
        at_least: [NB, Q] bounds of the bases.
        at_most: [NB, Q].
    """

    at_least: FloatArray
    at_most: FloatArray

    def draw(self, base: NDArray[np.intp], start_quantities: FloatArray, rng: np.random.Generator) -> GoalBatch:
        """The goals of the bases; nothing is random."""
        return GoalBatch(self.at_least[base], self.at_most[base], np.full(len(base), np.inf))


@dataclass(frozen=True, slots=True)
class HarderGoals:
    """Goals of another source, made harder: an agent that aims beyond the goal does not stop at its border."""

    source: GoalSource
    aim: float

    def draw(self, base: NDArray[np.intp], start_quantities: FloatArray, rng: np.random.Generator) -> GoalBatch:
        """Draw from the source, then move the bounds."""
        return harder(self.source.draw(base, start_quantities, rng), self.aim)


@dataclass(frozen=True, slots=True)
class MixedGoals:
    """Each episode draws from one of several sources, all equally likely."""

    sources: tuple[GoalSource, ...]

    def draw(self, base: NDArray[np.intp], start_quantities: FloatArray, rng: np.random.Generator) -> GoalBatch:
        """Draw a source per episode, then its goal."""
        goals = free_goals(len(base), start_quantities.shape[1])
        source = rng.integers(len(self.sources), size=len(base))
        for i, drawn_from in enumerate(self.sources):
            rows = np.flatnonzero(source == i)
            if rows.size:
                goals.put(rows, drawn_from.draw(base[rows], start_quantities[rows], rng))
        return goals


@dataclass(frozen=True, slots=True)
class RandomGoals:
    """Goals drawn per episode: a random subset of quantities, each at a random percentile of the base's rows.

    Attributes:
        values: Measured values of the rows that stand behind each base and quantity: values[base][quantity] is a sorted
            array, empty where the quantity has no evidence.
        maximize: Direction per quantity, [Q].
        percentiles: Range that percentiles are drawn from, for a quantity that should grow.
        max_objectives: Largest number of quantities in one goal.
    """

    values: Sequence[Sequence[FloatArray]]
    maximize: BoolArray
    percentiles: tuple[float, float] = (60.0, 90.0)
    max_objectives: int = 3

    def draw(self, base: NDArray[np.intp], start_quantities: FloatArray, rng: np.random.Generator) -> GoalBatch:
        """Draw subsets and percentiles."""
        goals = free_goals(len(base), len(self.maximize))
        for row, b in enumerate(base):
            known = [q for q, column in enumerate(self.values[b]) if len(column)]
            if not known:
                raise ProblemError(f"base number {b}: no measured quantity to draw a goal from; leave the base out")
            size = int(rng.integers(1, min(self.max_objectives, len(known)) + 1))
            for q in rng.choice(known, size=size, replace=False):
                percentile = rng.uniform(*self.percentiles)
                if self.maximize[q]:
                    goals.at_least[row, q] = np.percentile(self.values[b][q], percentile)
                else:
                    goals.at_most[row, q] = np.percentile(self.values[b][q], 100 - percentile)
        return goals


@dataclass(frozen=True, slots=True)
class RelativeGoals:
    """Improve the start: raise (or lower) one quantity by a factor, keep another, change little.

    Attributes:
        improve: Quantities of which one is drawn per episode, [N].
        keep: Quantities of which one other is drawn per episode and held at its start value, [M]; empty for none.
        maximize: Direction per quantity, [Q].
        gain: Range of the relative improvement.
        max_change: Largest fraction of atoms exchanged.
        keep_tolerance: Relative loss of the kept quantity that is accepted.
    """

    improve: tuple[int, ...]
    keep: tuple[int, ...]
    maximize: BoolArray
    gain: tuple[float, float] = (0.05, 0.15)
    max_change: float = 0.08
    keep_tolerance: float = 0.02

    def draw(self, base: NDArray[np.intp], start_quantities: FloatArray, rng: np.random.Generator) -> GoalBatch:
        """Turn the start's predictions into bounds."""
        goals = free_goals(len(base), len(self.maximize))
        goals.max_change[:] = self.max_change
        for row in range(len(base)):
            q = int(rng.choice(self.improve))
            self._bound(goals, row, q, start_quantities[row, q], rng.uniform(*self.gain))
            others = [k for k in self.keep if k != q]
            if others:
                k = int(rng.choice(others))
                self._bound(goals, row, k, start_quantities[row, k], -self.keep_tolerance)
        return goals

    def _bound(self, goals: GoalBatch, row: int, q: int, start: float, gain: float) -> None:
        if self.maximize[q]:
            goals.at_least[row, q] = start + gain * abs(start)
        else:
            goals.at_most[row, q] = start - gain * abs(start)
