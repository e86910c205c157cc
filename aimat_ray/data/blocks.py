"""Matrix products whose rows do not depend on the batch.

BLAS chooses its kernels by the shape of the product and may add up the last rows or columns of a shape in another
order. So batches are cut into zero-padded blocks of BLOCK rows, and matrices are padded to a multiple of WIDTH
columns; with these sizes a row came out with the same bits in every place of a block on all kernels of OpenBLAS
tried (SkylakeX, Haswell, Zen, Sandybridge, Prescott), which 64 rows of 516 columns did not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

BLOCK = 32
WIDTH = 32


def pad_columns(matrix: FloatArray) -> FloatArray:
    """Append zero columns until the width is a multiple of WIDTH, [M, N'] from [M, N]."""
    return np.ascontiguousarray(np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % WIDTH))))


def padded_blocks(rows: FloatArray, at_once: int = 16) -> Iterator[tuple[slice, FloatArray]]:
    """Cut rows into runs of zero-padded blocks.

    Args:
        rows: [B, M]. Not modified.
        at_once: Blocks per run: enough to amortise numpy calls, few enough to stay in the cache.

    Yields:
        Where the run lies in `rows`, and its blocks, [n_blocks, BLOCK, M]; the last rows of the last block are zero.
    """
    step = BLOCK * at_once
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        if len(part) % BLOCK:
            padded = np.zeros((-(-len(part) // BLOCK) * BLOCK, rows.shape[1]))
            padded[: len(part)] = part
        else:
            padded = np.ascontiguousarray(part)
        yield slice(start, start + len(part)), padded.reshape(-1, BLOCK, rows.shape[1])
