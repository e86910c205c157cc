"""The packaged element table and liquid pair enthalpies; what is unknown is NaN.

Written by `scripts/build_element_table.py` from published compilations; `tables/sources.yaml` names the
source of every column.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from aimat_ray.errors import CompositionError, DataError

FloatArray = NDArray[np.float64]
TABLES = "aimat_ray.data.tables"


@dataclass(frozen=True)
class ElementTable:
    """Properties of elements.

    Attributes:
        symbols: Element symbols, [E].
        columns: Column keys, [C].
        values: [E, C], in the units of `units`; NaN where the source gives no value. Read-only.
        units: Unit of each column, [C]; "1" for plain numbers.
        sources: Source of each column, "package: field (note)".
    """

    symbols: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray
    units: tuple[str, ...]
    sources: dict[str, str]

    def column(self, name: str) -> FloatArray:
        """One property of every element, [E].

        Raises:
            DataError: No such column.
        """
        if name not in self.columns:
            raise DataError(f"element table: no column {name!r}; expected one of: {', '.join(self.columns)}")
        return self.values[:, self.columns.index(name)]


def load_element_table(elements: Sequence[str] | None = None) -> ElementTable:
    """Read the packaged element table.

    Args:
        elements: Which elements, in which order; all packaged ones in atomic-number order by default.

    Raises:
        CompositionError: An element that the table does not hold.
    """
    table = _packaged_table()
    if elements is None:
        return table
    index = _positions(table.symbols, elements)
    values = table.values[index]
    values.flags.writeable = False
    return ElementTable(tuple(elements), table.columns, values, table.units, table.sources)


def load_pair_enthalpies(elements: Sequence[str] | None = None) -> FloatArray:
    """Mixing enthalpies of liquid binary alloys at equal amounts.

    The enthalpy of an alloy is H = sum over pairs i < j of 4 c_i c_j H_ij.

    Args:
        elements: Which elements, in which order; as `load_element_table`.

    Returns:
        [E, E] in kJ/mol, symmetric, zero diagonal, NaN where no value is known (all pairs with S).

    Raises:
        CompositionError: An element that the table does not hold.
    """
    symbols, matrix = _packaged_pairs()
    if elements is None:
        return matrix.copy()
    index = _positions(symbols, elements)
    return matrix[np.ix_(index, index)]


def _positions(symbols: tuple[str, ...], elements: Sequence[str]) -> list[int]:
    unknown = [e for e in elements if e not in symbols]
    if unknown:
        raise CompositionError(f"no element data for {', '.join(unknown)}; the table holds: {' '.join(symbols)}")
    return [symbols.index(e) for e in elements]


def _read(name: str) -> str:
    return (resources.files(TABLES) / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _packaged_table() -> ElementTable:
    header, *rows = csv.reader(_read("elements.csv").splitlines())
    columns = tuple(header[1:])
    values = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
    values.flags.writeable = False
    described: dict[str, dict[str, Any]] = yaml.safe_load(_read("sources.yaml"))["columns"]
    units = tuple(str(described[c]["unit"]) for c in columns)
    sources = {c: _source_line(described[c]) for c in columns}
    return ElementTable(tuple(row[0] for row in rows), columns, values, units, sources)


def _source_line(entry: dict[str, Any]) -> str:
    field = f": {entry['field']}" if "field" in entry else ""
    note = f" ({entry['note']})" if "note" in entry else ""
    return f"{entry['source']}{field}{note}"


@lru_cache(maxsize=1)
def _packaged_pairs() -> tuple[tuple[str, ...], FloatArray]:
    symbols = _packaged_table().symbols
    position = {symbol: i for i, symbol in enumerate(symbols)}
    matrix = np.full((len(symbols), len(symbols)), np.nan)
    np.fill_diagonal(matrix, 0.0)
    for first, second, value in list(csv.reader(_read("pair_enthalpy.csv").splitlines()))[1:]:
        i, j = position[first], position[second]
        matrix[i, j] = matrix[j, i] = float(value)
    matrix.flags.writeable = False
    return symbols, matrix
