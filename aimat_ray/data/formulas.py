"""Many formulas to compositions and back, a thousand at a time.

Both directions give what `data.composition` gives for one alloy; plain formulas and amounts go through a quick path in
batches, everything else (brackets, hyphens, subscripts, mistakes) through `data.composition` itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.composition import from_mapping, parse_formula, round_at_pct, to_at_pct
from aimat_ray.errors import CompositionError
from aimat_ray.prediction import FloatArray

Alloy = str | Mapping[str, float]

_PART = r"[A-Z][a-z]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)?"
_PLAIN = re.compile(rf"(?:{_PART})+", re.ASCII)
_AMOUNT = re.compile(r"([A-Z][a-z]?)([0-9.]*)", re.ASCII)
_LONGEST_PLAIN = 200
_UNITS_PER_AT_PCT = 10
_AMOUNTS = tuple(f"{units / _UNITS_PER_AT_PCT:.1f}".removesuffix(".0") for units in range(1001))


class AlloyReader:
    """Reads alloys in the order of a problem's elements.

    Args:
        elements: Symbols of the E axis.
    """

    def __init__(self, elements: Sequence[str]) -> None:
        self._elements = tuple(elements)
        self._index = {symbol: i for i, symbol in enumerate(elements)}

    def read(self, alloys: Sequence[Alloy]) -> FloatArray:
        """Compositions of the alloys, [B, E].

        Raises:
            CompositionError: Names the position of the alloy that can't be read.
        """
        amounts = np.zeros((len(alloys), len(self._elements)))
        slow = [i for i, alloy in enumerate(alloys) if not self._read_plain(alloy, amounts[i])]
        with np.errstate(over="ignore"):
            usable = np.isfinite(amounts.sum(axis=1)) & (amounts.max(axis=1, initial=0.0) > 0)
        at_frac = np.zeros_like(amounts)
        # The order of operations is that of data.composition, so that results agree to the last digit.
        scaled = amounts[usable] / amounts[usable].max(axis=1, keepdims=True)
        at_frac[usable] = scaled / scaled.sum(axis=1, keepdims=True)
        for i in sorted({*slow, *np.flatnonzero(~usable).tolist()}):
            at_frac[i] = self._read_one(i, alloys[i])
        return at_frac

    def _read_plain(self, alloy: Alloy, row: FloatArray) -> bool:
        """Fill in the amounts of a plain alloy, [E]; False for anything that needs the full reader."""
        index = self._index
        if isinstance(alloy, str):
            if len(alloy) > _LONGEST_PLAIN or not _PLAIN.fullmatch(alloy):
                return False
            parts: Iterable[tuple[str, str | float]] = _AMOUNT.findall(alloy)
        else:
            parts = alloy.items()
        for symbol, text in parts:
            amount = 1.0 if text == "" else float(text)
            if symbol not in index or not amount >= 0:
                return False
            row[index[symbol]] += amount
        return True

    def _read_one(self, position: int, alloy: Alloy) -> FloatArray:
        try:
            return read_alloy(alloy, self._elements)
        except CompositionError as error:
            raise CompositionError(f"alloys[{position}]: {error.message}") from error


def read_alloy(alloy: Alloy, elements: Sequence[str]) -> FloatArray:
    """One alloy, [E].

    Raises:
        CompositionError: The alloy can't be used.
    """
    return parse_formula(alloy, elements) if isinstance(alloy, str) else from_mapping(alloy, elements)


def format_formulas(at_frac: FloatArray, elements: Sequence[str]) -> list[str]:
    """Formulas in at% with one decimal, largest amount first; see `data.composition.format_formula`.

    Args:
        at_frac: Atomic fractions, [B, E].
        elements: Symbols of the E axis.
    """
    units: NDArray[np.int64] = np.rint(round_at_pct(at_frac) * (100 * _UNITS_PER_AT_PCT)).astype(np.int64)
    order = np.argsort(-units, axis=1, kind="stable")
    counts = (units > 0).sum(axis=1).tolist()
    widest = max(counts, default=0)
    order = order[:, :widest]
    sorted_units = np.take_along_axis(units, order, axis=1).tolist()
    return [
        "".join(elements[e] + _AMOUNTS[u] for e, u in zip(columns[:n], amounts[:n], strict=True))
        for columns, amounts, n in zip(order.tolist(), sorted_units, counts, strict=True)
    ]


def amounts_at_pct(at_frac: FloatArray, elements: Sequence[str]) -> list[dict[str, float]]:
    """Amounts in at% of the elements that each composition contains, in the order of the E axis.

    Args:
        at_frac: Atomic fractions, [B, E].
        elements: Symbols of the E axis.
    """
    rows, columns = np.nonzero(at_frac)
    symbols = [elements[e] for e in columns.tolist()]
    amounts = to_at_pct(at_frac[rows, columns]).tolist()
    edges = np.searchsorted(rows, np.arange(len(at_frac) + 1)).tolist()
    return [dict(zip(symbols[a:b], amounts[a:b], strict=True)) for a, b in pairwise(edges)]
