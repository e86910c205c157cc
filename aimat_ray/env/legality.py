"""Which compositions are legal designs of a base, and which are not, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MIN_ELEMENTS = 3
MIN_FRACTION = 0.001  # 0.1 at%: below it an element counts as gone
SUM_TOLERANCE = 1e-9
PAPER_SUM_TOLERANCE = 0.025  # of the published environment
WINDOW_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Limits:
    """Legal region of each row: the window of its base.

    Attributes:
        lower: Smallest fraction of each element, [B, E]; positive marks an element that is always present.
        upper: Largest fraction, [B, E]; zero marks an element that the base does not admit.
        base: Position of the base element, [B].
        max_elements: Largest number of elements, [B].
    """

    lower: FloatArray
    upper: FloatArray
    base: NDArray[np.intp]
    max_elements: NDArray[np.intp]

    def rows(self, index: NDArray[np.intp] | BoolArray) -> Limits:
        """The limits of the rows at `index`."""
        return Limits(self.lower[index], self.upper[index], self.base[index], self.max_elements[index])


@dataclass(frozen=True, slots=True)
class LegalityReport:
    """One flag per rule, [B] each; a composition is legal when every rule holds."""

    finite: BoolArray
    sum_ok: BoolArray
    in_window: BoolArray
    element_count_ok: BoolArray
    base_is_largest: BoolArray

    @property
    def legal(self) -> BoolArray:
        """Whether every rule holds, [B]."""
        return self.finite & self.sum_ok & self.in_window & self.element_count_ok & self.base_is_largest


def check_legality(at_frac: FloatArray, limits: Limits) -> LegalityReport:
    """Check compositions against the window of their base.

    Args:
        at_frac: Atomic fractions, [B, E].
        limits: The windows, one row per composition.
    """
    count = (at_frac > 0).sum(axis=1)
    rows = np.arange(len(at_frac))
    return LegalityReport(
        finite=np.asarray(np.isfinite(at_frac).all(axis=1)),
        sum_ok=np.abs(at_frac.sum(axis=1) - 1) <= SUM_TOLERANCE,
        in_window=np.asarray(
            ((at_frac >= limits.lower - WINDOW_TOLERANCE) & (at_frac <= limits.upper + WINDOW_TOLERANCE)).all(axis=1)
        ),
        element_count_ok=(count >= MIN_ELEMENTS) & (count <= limits.max_elements),
        base_is_largest=at_frac[rows, limits.base] >= at_frac.max(axis=1) - WINDOW_TOLERANCE,
    )


def legal_in_paper_mode(at_frac: FloatArray) -> BoolArray:
    """The published rule, [B]: every fraction in [0, 1] and the sum within 0.025 of 1."""
    in_range = ((at_frac >= 0) & (at_frac <= 1)).all(axis=1)
    return in_range & (np.abs(at_frac.sum(axis=1) - 1) <= PAPER_SUM_TOLERANCE)
