"""Reading a table of measured alloys: every cell is checked, and a bad one is named.

The declared cleaning stands in `cleaning.py` and is offered from here too.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aimat_ray.data.alloy_table import AlloyTable, FloatArray, IntArray
from aimat_ray.data.cleaning import CleaningAction, CleaningReport, clean
from aimat_ray.data.composition import format_formula, parse_formula, to_at_pct
from aimat_ray.errors import CompositionError, DataError
from aimat_ray.problem import DesignProblem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AlloyTable", "CleaningAction", "CleaningReport", "clean", "load_table", "table_to_cells"]

Kind = Literal["regression", "classification"]
FORMULA_COLUMNS = ("formula_raw", "formula_source", "formula", "composition")
SOURCE_ROW = "source_row"
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})

LOAD_SUM_LIMIT_PCT = 5.0
"""A row whose amounts miss 100 at% by more is refused; cleaning deals with smaller misses."""


@dataclass(frozen=True)
class _Cells:
    """A table as text, with the names that messages use."""

    name: str
    columns: dict[str, list[str]]
    row_numbers: list[int]

    @property
    def n_rows(self) -> int:
        return len(self.row_numbers)

    def error(self, row: int, column: str, message: str) -> DataError:
        return DataError(f"{self.name}, row {self.row_numbers[row]}, column {column!r}: {message}")


def load_table(source: str | Path | pd.DataFrame, problem: DesignProblem, kind: Kind) -> AlloyTable:
    """Read and check a table of alloys.

    A table has one column per element of the problem, in at% (0..100), or none of them and a column `formula`.
    A regression table also has every property column (a cell is empty where nothing was measured) and the flag
    column of the feasible class; a classification table has the label column.

    Args:
        source: CSV file (UTF-8, comma, header row) or a DataFrame of that shape.
        problem: Names the elements, properties and classes.
        kind: Which columns are required.

    Returns:
        The table in the order of the source; amounts are normalised, and their sums kept in `sum_pct`.

    Raises:
        DataError: Names the table, row, column and value, what was expected and what to do.
    """
    cells = _read_csv(Path(source)) if isinstance(source, str | Path) else _from_frame(source)
    if not cells.n_rows:
        raise DataError(f"{cells.name}: the table is empty; expected a header row and at least one alloy")
    has_elements = _check_columns(cells, problem, kind)
    at_pct = _amounts(cells, problem) if has_elements else _amounts_from_formulas(cells, problem)
    sums = _checked_sums(cells, at_pct)
    at_frac = at_pct / sums[:, None]
    label, feasible = _classes(cells, problem, kind)
    return AlloyTable(
        at_frac=at_frac,
        values=_values(cells, problem, kind),
        feasible=feasible,
        label=label,
        formula=_formulas(cells, at_frac, problem),
        source_row=_source_rows(cells),
        sum_pct=sums,
    )


def table_to_cells(table: AlloyTable, problem: DesignProblem, kind: Kind) -> dict[str, list[Any]]:
    """The columns that `load_table` reads, for writing a table to CSV (None where missing)."""
    at_pct = to_at_pct(table.at_frac)
    columns: dict[str, list[Any]] = {
        SOURCE_ROW: table.source_row.tolist(),
        "formula_raw": list(table.formula),
        "composition": [format_formula(row, problem.elements, 2) for row in table.at_frac],
    }
    columns |= {symbol: np.round(at_pct[:, i], 10).tolist() for i, symbol in enumerate(problem.elements)}
    if kind == "regression":
        for i, key in enumerate(problem.property_keys):
            columns[key] = [None if math.isnan(v) else v for v in table.values[:, i].tolist()]
    else:
        columns[problem.feasibility.label_column] = list(table.label)
    flags = [None if math.isnan(v) else int(v) for v in table.feasible.tolist()]
    return columns | {problem.feasibility.flag_column: flags}


def _read_csv(path: Path) -> _Cells:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except FileNotFoundError as error:
        raise DataError(f"no table at {path}; expected a CSV file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: can't be read as a CSV file in UTF-8: {error}") from error
    if not lines:
        raise DataError(f"{path}: the table is empty; expected a header row and at least one alloy")
    header = [name.strip() for name in lines[0][1]]
    _check_header(str(path), header)
    for number, line in lines[1:]:
        if len(line) != len(header):
            raise DataError(f"{path}, row {number}: {len(line)} cells, the header has {len(header)}")
    columns = {name: [line[i].strip() for _, line in lines[1:]] for i, name in enumerate(header)}
    return _Cells(str(path), columns, [number for number, _ in lines[1:]])


def _from_frame(frame: pd.DataFrame) -> _Cells:
    header = [str(name).strip() for name in frame.columns]
    _check_header("table", header)
    columns = {}
    for i, name in enumerate(header):
        cells = frame.iloc[:, i].tolist()
        columns[name] = ["" if _is_missing(cell) else str(cell).strip() for cell in cells]
    return _Cells("table", columns, list(range(2, len(frame) + 2)))


def _is_missing(cell: Any) -> bool:
    # NaN, NaT and pandas' NA are the values that do not equal themselves.
    if cell is None:
        return True
    try:
        return not bool(cell == cell)
    except TypeError:
        return True


def _check_header(name: str, header: Sequence[str]) -> None:
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{name}: duplicate column {twice[0]!r} in the header; each name may appear once")


def _check_columns(cells: _Cells, problem: DesignProblem, kind: Kind) -> bool:
    """Check that what is required is there; returns whether the elements have columns."""
    present = [symbol for symbol in problem.elements if symbol in cells.columns]
    absent = [symbol for symbol in problem.elements if symbol not in cells.columns]
    if absent and (present or "formula" not in cells.columns):
        raise DataError(
            f"{cells.name}: missing column {absent[0]!r}"
            f"{f' and {len(absent) - 1} more' if len(absent) > 1 else ''}; expected one column per element in "
            f"at% ({len(problem.elements)}: {' '.join(problem.elements[:4])} ...), or only a column 'formula'"
        )
    flag, label = problem.feasibility.flag_column, problem.feasibility.label_column
    required = (*problem.property_keys, flag) if kind == "regression" else (label,)
    missing = [column for column in required if column not in cells.columns]
    if missing:
        raise DataError(
            f"{cells.name}: missing column {missing[0]!r}; a {kind} table needs: {', '.join(required)} "
            "(leave cells empty where nothing is known)"
        )
    return not absent


def _numbers(cells: _Cells, column: str, allow_missing: bool) -> FloatArray:
    """One column as numbers, [N]; NaN where missing."""
    known: dict[str, float] = {}
    texts = cells.columns[column]
    for row, text in enumerate(texts):
        if text not in known:
            known[text] = _number(cells, row, column, text, allow_missing)
    return np.array([known[text] for text in texts])


def _number(cells: _Cells, row: int, column: str, text: str, allow_missing: bool) -> float:
    if text.lower() in MISSING:
        if allow_missing:
            return math.nan
        raise cells.error(row, column, "an amount is missing; write 0 where the element is absent")
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        hint = " (write decimals with a point)" if "," in text else ""
        raise cells.error(row, column, f"expected a number, got {text!r}{hint}")
    return number


def _amounts(cells: _Cells, problem: DesignProblem) -> FloatArray:
    """Amounts as the source gives them, at%, [N, E]."""
    at_pct = np.empty((cells.n_rows, len(problem.elements)))
    for i, symbol in enumerate(problem.elements):
        at_pct[:, i] = _numbers(cells, symbol, allow_missing=False)
        negative = np.flatnonzero(at_pct[:, i] < 0)
        if len(negative):
            row = int(negative[0])
            raise cells.error(row, symbol, f"negative amount {at_pct[row, i]:g} at%; amounts must be 0..100")
    return at_pct


def _amounts_from_formulas(cells: _Cells, problem: DesignProblem) -> FloatArray:
    rows = np.empty((cells.n_rows, len(problem.elements)))
    for row, text in enumerate(cells.columns["formula"]):
        try:
            rows[row] = parse_formula(text, problem.elements)
        except CompositionError as error:
            raise cells.error(row, "formula", error.message) from error
    return to_at_pct(rows)


def _checked_sums(cells: _Cells, at_pct: FloatArray) -> FloatArray:
    """Sum of the amounts of every row, at%, [N]."""
    # math.fsum is exact, so the sums (and the checksum over the data) are the same on every machine.
    sums = np.array([math.fsum(row) for row in at_pct.tolist()])
    off = np.flatnonzero(np.abs(sums - 100.0) > LOAD_SUM_LIMIT_PCT)
    if len(off):
        row = int(off[0])
        raise DataError(
            f"{cells.name}, row {cells.row_numbers[row]}: the amounts sum to {sums[row]:g} at%, expected 100 "
            f"(within {LOAD_SUM_LIMIT_PCT:g}); element columns must be in at% (0..100), not fractions"
        )
    return sums


def _values(cells: _Cells, problem: DesignProblem, kind: Kind) -> FloatArray:
    """Property values, [N, P]; all NaN for a classification table."""
    values = np.full((cells.n_rows, len(problem.properties)), np.nan)
    if kind == "classification":
        return values
    for i, spec in enumerate(problem.properties):
        values[:, i] = _numbers(cells, spec.key, allow_missing=True)
        low, high = spec.plausible
        wrong = np.flatnonzero((values[:, i] < low) | (values[:, i] > high))
        if len(wrong):
            row = int(wrong[0])
            raise cells.error(
                row, spec.key, f"{values[row, i]:g} {spec.unit} is outside {low:g}..{high:g}; check the unit"
            )
    return values


def _classes(cells: _Cells, problem: DesignProblem, kind: Kind) -> tuple[tuple[str, ...], FloatArray]:
    """Class name and feasibility (1, 0, NaN) of every row."""
    spec = problem.feasibility
    labels = tuple(cells.columns.get(spec.label_column, [""] * cells.n_rows))
    for row, label in enumerate(labels):
        if label not in spec.classes and (label or kind == "classification"):
            raise cells.error(row, spec.label_column, f"unknown class {label!r}; expected {', '.join(spec.classes)}")
    feasible = np.array([float(label == spec.positive) if label else math.nan for label in labels])
    if spec.flag_column not in cells.columns:
        return labels, feasible
    flags = _numbers(cells, spec.flag_column, allow_missing=True)
    for row, flag in enumerate(flags.tolist()):
        if not math.isnan(flag) and flag not in (0.0, 1.0):
            raise cells.error(row, spec.flag_column, f"expected 1, 0 or an empty cell, got {flag:g}")
        if not math.isnan(flag) and labels[row] and flag != feasible[row]:
            raise cells.error(row, spec.flag_column, f"{flag:g} contradicts {spec.label_column} {labels[row]!r}")
    return labels, np.where(np.isnan(flags), feasible, flags)


def _formulas(cells: _Cells, at_frac: FloatArray, problem: DesignProblem) -> tuple[str, ...]:
    candidates = [cells.columns[name] for name in FORMULA_COLUMNS if name in cells.columns]
    formulas = []
    for row in range(cells.n_rows):
        written = next((column[row] for column in candidates if column[row]), "")
        formulas.append(written or format_formula(at_frac[row], problem.elements, 2))
    return tuple(formulas)


def _source_rows(cells: _Cells) -> IntArray:
    if SOURCE_ROW not in cells.columns:
        return np.array(cells.row_numbers, dtype=np.int64)
    numbers = _numbers(cells, SOURCE_ROW, allow_missing=False)
    return numbers.astype(np.int64)
