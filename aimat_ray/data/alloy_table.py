"""AlloyTable: measured (or sampled) alloys as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Index = NDArray[np.intp] | NDArray[np.int64] | NDArray[np.bool_] | slice | Sequence[int]


@dataclass(frozen=True, eq=False)
class AlloyTable:
    """Alloys with what was measured of them. Arrays are read-only.

    Attributes:
        at_frac: Atomic fractions, [N, E], non-negative, rows summing to 1 (normalised when read).
        values: Property values, [N, P], in the units of the property keys; NaN where not measured.
        feasible: 1 in the feasible class, 0 not, NaN unknown, [N].
        label: Class name per row; "" where the table has none.
        formula: The formula as the source wrote it, per row.
        source_row: Row of the source table (the header is row 1), [N].
        sum_pct: Sum of the amounts as the source gave them, at%, [N]; 100 where all is well.
    """

    at_frac: FloatArray
    values: FloatArray
    feasible: FloatArray
    label: tuple[str, ...]
    formula: tuple[str, ...]
    source_row: IntArray
    sum_pct: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.at_frac)
        if self.sum_pct is None:
            object.__setattr__(self, "sum_pct", np.full(n, 100.0))
        for field in fields(self):
            column = getattr(self, field.name)
            if len(column) != n:
                raise ValueError(f"AlloyTable.{field.name} has {len(column)} rows, at_frac has {n}")
            if isinstance(column, np.ndarray):
                view = column.view()
                view.flags.writeable = False
                object.__setattr__(self, field.name, view)

    def __len__(self) -> int:
        return len(self.at_frac)

    def rows(self, index: Index) -> AlloyTable:
        """The rows at `index` (integers, mask or slice), in that order."""
        positions = np.arange(len(self))[index]

        def pick(column: FloatArray | IntArray | tuple[str, ...]) -> FloatArray | IntArray | tuple[str, ...]:
            if isinstance(column, tuple):
                return tuple(column[i] for i in positions)
            return column[positions]

        return AlloyTable(**{field.name: pick(getattr(self, field.name)) for field in fields(self)})  # type: ignore[arg-type]

    def n_elements(self) -> IntArray:
        """Number of elements present in each alloy, [N]."""
        return np.asarray((self.at_frac > 0).sum(axis=1), dtype=np.int64)
