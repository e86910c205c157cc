"""Wishes relative to an alloy at hand: raise one property by 10 %, keep another, change at most 8 at%."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from aimat_ray.data.alloy_table import FloatArray
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem

KEEP_TOLERANCE = 0.02  # relative loss that counts as kept, where none is given
LARGEST_CHANGE_AT_PCT = 50.0
_AMOUNT = re.compile(r"([a-z_]\w*)\s*=\s*(\d+\.?\d*|\.\d+)\s*(%?)")
_HOW = "write for example yield_strength_mpa=10% (relative) or yield_strength_mpa=100 (in the property's unit)"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much a quantity shall change.

    Attributes:
        value: Positive; a share (0.1 for 10 %) when relative, else in the unit of the quantity.
        relative: Whether it is a share of the start's value.
    """

    value: float
    relative: bool = True

    def of(self, start: FloatArray) -> FloatArray:
        """The amount in the quantity's unit, for start values of any shape."""
        return self.value * np.abs(start) if self.relative else np.full_like(start, self.value)

    def __str__(self) -> str:
        return f"{100 * self.value:g} %" if self.relative else f"{self.value:g}"


@dataclass(frozen=True)
class Improvement:
    """What shall become better than at the start.

    Attributes:
        raised: Quantity -> by how much it shall grow at least.
        lowered: Quantity -> by how much it shall fall at least.
        kept: Quantity -> by how much it may become worse at most.
        max_change_at_pct: Largest share of atoms exchanged, at%: half the sum of absolute differences.
    """

    raised: Mapping[str, Amount]
    lowered: Mapping[str, Amount]
    kept: Mapping[str, Amount]
    max_change_at_pct: float

    def bounds(self, problem: DesignProblem, start: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest acceptable values for starts with the given quantities.

        Args:
            problem: Order and directions of the quantities.
            start: Quantities of the starts, [B, Q].

        Returns:
            at_least and at_most, [B, Q]; infinite where free.
        """
        at_least, at_most = np.full_like(start, -np.inf), np.full_like(start, np.inf)
        for key, amount in self.raised.items():
            q = problem.quantity_index(key)
            at_least[:, q] = start[:, q] + amount.of(start[:, q])
        for key, amount in self.lowered.items():
            q = problem.quantity_index(key)
            at_most[:, q] = start[:, q] - amount.of(start[:, q])
        for key, amount in self.kept.items():
            q = problem.quantity_index(key)
            if problem.maximize[q]:
                at_least[:, q] = start[:, q] - amount.of(start[:, q])
            else:
                at_most[:, q] = start[:, q] + amount.of(start[:, q])
        return at_least, at_most

    @property
    def keys(self) -> tuple[str, ...]:
        """Quantities that the wish is about."""
        return (*self.raised, *self.lowered, *self.kept)

    def describe(self) -> str:
        """In one line."""
        parts = [f"raise {key} by {amount}" for key, amount in self.raised.items()]
        parts += [f"lower {key} by {amount}" for key, amount in self.lowered.items()]
        parts += [f"keep {key} within {amount}" for key, amount in self.kept.items()]
        return ", ".join(parts) + f", change at most {self.max_change_at_pct:g} at%"


def parse_improvement(
    problem: DesignProblem,
    raised: Iterable[str] = (),
    lowered: Iterable[str] = (),
    kept: Iterable[str] = (),
    max_change_at_pct: float = 8.0,
) -> Improvement:
    """Read and check a wish.

    Args:
        problem: Knows the quantities.
        raised: `KEY=10%` or `KEY=100`, one per quantity that shall grow.
        lowered: The same for quantities that shall fall.
        kept: `KEY`, or `KEY=5%` for another tolerance than 2 %.
        max_change_at_pct: Largest share of atoms exchanged, at%.

    Raises:
        ProblemError: A part can't be read, names an unknown quantity, asks for nothing or for contradictions.
    """
    groups = {
        "raise": _amounts("raise", raised, problem),
        "lower": _amounts("lower", lowered, problem),
        "keep": _amounts("keep", (text if "=" in text else f"{text}={KEEP_TOLERANCE:%}" for text in kept), problem),
    }
    if not groups["raise"] and not groups["lower"]:
        raise ProblemError(f"nothing shall improve: give at least one quantity to raise or lower; {_HOW}")
    for first, second in (("raise", "lower"), ("raise", "keep"), ("lower", "keep")):
        for key in groups[first].keys() & groups[second].keys():
            raise ProblemError(f"{first} {key} and {second} {key} contradict each other; give only one of them")
    for key, amount in groups["lower"].items():
        if amount.relative and amount.value >= 1:
            raise ProblemError(f"lower {key}={amount}: nothing would remain; give less than 100 %")
    if not 0 < max_change_at_pct <= LARGEST_CHANGE_AT_PCT:
        raise ProblemError(f"largest change: expected above 0 and up to 50 at%, got {max_change_at_pct:g}")
    return Improvement(groups["raise"], groups["lower"], groups["keep"], float(max_change_at_pct))


def _amounts(verb: str, texts: Iterable[str], problem: DesignProblem) -> dict[str, Amount]:
    amounts: dict[str, Amount] = {}
    for text in texts:
        found = _AMOUNT.fullmatch(text.strip())
        if found is None:
            raise ProblemError(f"{verb} {text!r} can't be read; {_HOW}")
        key, number, percent = found.groups()
        problem.quantity_index(key)
        if key in amounts:
            raise ProblemError(f"{verb} {key} is given twice; give it once")
        value = float(number) / (100.0 if percent else 1.0)
        if verb != "keep" and not (value > 0 and math.isfinite(value)):
            raise ProblemError(f"{verb} {text!r}: the amount must be above 0")
        amounts[key] = Amount(value, bool(percent))
    return amounts
