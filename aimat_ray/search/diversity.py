"""Choosing few different compositions out of many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.composition import from_at_pct
from aimat_ray.env.legality import FloatArray

SAME_WITHIN_AT_PCT = 1.0
FAMILY_WITHIN_AT_PCT = 5.0  # of the atoms exchanged: what a laboratory would call variants of one alloy


def distinct_rows(
    at_frac: FloatArray, value: FloatArray, n: int | None = None, within_at_pct: float = SAME_WITHIN_AT_PCT
) -> NDArray[np.intp]:
    """The best compositions of which no two are the same.

    Args:
        at_frac: Compositions, [N, E].
        value: What the better one of two equal ones has more of, [N].
        n: Most rows to return; None for all.
        within_at_pct: Two are the same when no amount differs by more, at%.

    Returns:
        Rows, best first.
    """
    tolerance = from_at_pct(np.asarray(within_at_pct, dtype=np.float64)) + 1e-12
    left = np.argsort(-value, kind="stable")
    kept: list[int] = []
    while left.size and (n is None or len(kept) < n):
        best = left[0]
        kept.append(int(best))
        left = left[np.abs(at_frac[left] - at_frac[best]).max(axis=1) > tolerance]
    return np.array(kept, dtype=np.intp)


def spread_rows(at_frac: FloatArray, n: int, first: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows that lie far from each other: the one farthest from all chosen so far, again and again.

    Args:
        at_frac: Compositions, [N, E].
        n: Rows to return, those of `first` included.
        first: Rows that are chosen already; row 0 when there are none.

    Returns:
        Rows, those of `first` at the head; copies of chosen compositions are never added.
    """
    if len(at_frac) == 0:
        return np.zeros(0, dtype=np.intp)
    chosen = [int(row) for row in first] or [0]
    gap = np.min([np.abs(at_frac - at_frac[row]).sum(axis=1) for row in chosen], axis=0)
    while len(chosen) < n:
        farthest = int(gap.argmax())
        if gap[farthest] <= 0:
            break
        chosen.append(farthest)
        gap = np.minimum(gap, np.abs(at_frac - at_frac[farthest]).sum(axis=1))
    return np.array(chosen[:n], dtype=np.intp)


def families(
    at_frac: FloatArray, order: NDArray[np.intp], within_at_pct: float = FAMILY_WITHIN_AT_PCT
) -> NDArray[np.intp]:
    """Sort compositions into families around the best ones.

    Args:
        at_frac: Compositions, [N, E].
        order: Rows, best first: whoever is in no family yet founds one.
        within_at_pct: Largest distance to the founder, at% of the atoms exchanged.

    Returns:
        Number of each row's family, [N], counted from 0 in the order of the founders.
    """
    family = np.full(len(at_frac), -1, dtype=np.intp)
    n = 0
    for row in order:
        if family[row] < 0:
            away = 50.0 * np.abs(at_frac - at_frac[row]).sum(axis=1)
            family[(family < 0) & (away <= within_at_pct + 1e-9)] = n
            n += 1
    return family
