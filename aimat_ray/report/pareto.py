"""Which alloys no other one beats in two quantities at once, and how much of the plane they cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def pareto_front(points: ArrayLike) -> NDArray[np.intp]:
    """Rows that no other row beats; larger is better in both columns.

    Args:
        points: Two quantities, [N, 2], finite.

    Returns:
        Indices, the largest first coordinate first; of equal points only one.
    """
    values = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    order = np.lexsort((-values[:, 1], -values[:, 0]))
    if not len(order):
        return order
    second = values[order, 1]
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(second)[:-1]])
    return order[second > best_before]


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Area between the reference and the front; larger is better in both columns.

    Args:
        points: [N, 2], finite.
        reference: The worst corner, [2]; points that are not better than it in both columns cover nothing.
    """
    values = np.asarray(points, dtype=np.float64).reshape(-1, 2) - np.asarray(reference, dtype=np.float64)
    values = values[(values > 0).all(axis=1)]
    ranked = values[pareto_front(values)]
    heights = np.diff(ranked[:, 1], prepend=0.0)
    return float((ranked[:, 0] * heights).sum())
