"""Small numeric helpers that several model families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Matrix products round differently for different shapes. Every product that a prediction depends on is therefore
# made on blocks of exactly this many rows (the last one padded), so a row's result does not depend on its batch.
BLOCK_ROWS = 64


def blockwise(function: Callable[[Any], Any], rows: NDArray[Any]) -> Any:
    """Apply a row-wise function to fixed-size blocks.

    Args:
        function: Maps [BLOCK_ROWS, ...] to an array (or a tuple of arrays) of BLOCK_ROWS rows.
        rows: Input rows, [B, ...].

    Returns:
        The results for the B rows, joined.
    """
    n = len(rows)
    if n == BLOCK_ROWS:
        return function(rows)
    n_blocks = max(1, -(-n // BLOCK_ROWS))
    parts = [function(_block(rows, i * BLOCK_ROWS)) for i in range(n_blocks)]
    if isinstance(parts[0], tuple):
        return tuple(_join([part[k] for part in parts], n) for k in range(len(parts[0])))
    return _join(parts, n)


def contiguous(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays in row order, as they will be read back: BLAS rounds differently for another memory layout."""
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def squared_distances(
    x: NDArray[np.float32], rows: NDArray[np.float32], rows_sq: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Squared distances in float32, with few passes over memory; rounding may leave them slightly negative.

    Args:
        x: Points, [b, D].
        rows: Other points, transposed, [D, N].
        rows_sq: Their squared lengths, [N].

    Returns:
        [b, N].
    """
    squares: NDArray[np.float32] = x @ rows
    squares *= np.float32(-2.0)
    squares += rows_sq
    squares += np.einsum("bd,bd->b", x, x)[:, None]
    return squares


def standardise(features: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centre and scale columns; a constant column keeps scale 1.

    Returns:
        Scaled features [N, D], centre [D], scale [D].
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9 * (1.0 + np.abs(centre)), scale, 1.0)
    return (features - centre) / scale, centre, scale


def _block(rows: NDArray[Any], start: int) -> NDArray[Any]:
    block = rows[start : start + BLOCK_ROWS]
    if len(block) == BLOCK_ROWS:
        return block
    padded = np.zeros((BLOCK_ROWS, *rows.shape[1:]), rows.dtype)
    padded[: len(block)] = block
    return padded


def _join(parts: list[NDArray[Any]], n: int) -> NDArray[Any]:
    return parts[0][:n] if len(parts) == 1 else np.concatenate(parts)[:n]
