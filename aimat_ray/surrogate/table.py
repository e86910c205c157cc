"""Predictions as rows of a table: what `aimat predict` prints, and files streamed through in pieces."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.composition import format_formula, parse_formula
from aimat_ray.errors import CompositionError, DataError
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.base import DomainReason
from aimat_ray.surrogate.bundle import SurrogateBundle

FloatArray = NDArray[np.float64]
FORMULA = "formula"
ERROR = "error"
CHUNK_ROWS = 2048
RENAMED = "_input"
_SIGNIFICANT = 6


def output_columns(problem: DesignProblem) -> tuple[str, ...]:
    """The columns that a prediction adds, in order."""
    values = [f"{key}{end}" for key in problem.property_keys for end in ("", "_lower", "_upper")]
    return (
        "composition", problem.feasibility.key, *values, "in_domain", "domain_reason",
        "nearest_formula", "nearest_distance_at_pct", "surrogate_version", ERROR,
    )  # fmt: skip


def prediction_rows(bundle: SurrogateBundle, at_frac: FloatArray, problem: DesignProblem) -> list[dict[str, Any]]:
    """One row per composition, [B, E], with the keys of `output_columns` except the error."""
    answer = bundle.predict(at_frac)
    index, distance = bundle.neighbours(at_frac, 1)
    rows = []
    for i, composition in enumerate(at_frac):
        row: dict[str, Any] = {
            "composition": format_formula(composition, problem.elements),
            problem.feasibility.key: _number(answer.p_feasible[i]),
        }
        for p, key in enumerate(problem.property_keys):
            row[key] = _number(answer.mean[i, p])
            row[f"{key}_lower"], row[f"{key}_upper"] = _number(answer.lower[i, p]), _number(answer.upper[i, p])
        row["in_domain"] = bool(answer.in_domain[i])
        row["domain_reason"] = DomainReason(int(answer.reason[i])).name.lower()
        row["nearest_formula"] = format_formula(bundle.measured_at_frac[index[i, 0]], problem.elements)
        row["nearest_distance_at_pct"] = round(float(distance[i, 0]), 2)
        row["surrogate_version"] = answer.version
        rows.append(row)
    return rows


def predict_texts(bundle: SurrogateBundle, texts: Sequence[str], problem: DesignProblem) -> list[dict[str, Any]]:
    """One row per formula; a formula that can't be read gets a row with only `error`."""
    parsed = [_parse(text, problem) for text in texts]
    good = [composition for composition in parsed if not isinstance(composition, str)]
    answers = iter(prediction_rows(bundle, np.array(good), problem) if good else [])
    return [{ERROR: item} if isinstance(item, str) else {**next(answers), ERROR: ""} for item in parsed]


def read_rows(path: Path) -> tuple[list[str], Iterator[dict[str, str]]]:
    """The header and the rows of a CSV file, read as they are asked for.

    Raises:
        DataError: The file can't be read, is not text, or has no `formula` column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            header = next(csv.reader(handle), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: can't be read as a CSV file ({error})") from error
    if FORMULA not in header:
        found = ", ".join(header[:8]) or "nothing"
        raise DataError(f"{path}: expected a column {FORMULA!r}, found: {found}; rename the column with the formulas")
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{path}: column {twice!r} appears more than once; rename one of them")
    return header, _rows(path)


def predict_rows(
    bundle: SurrogateBundle, rows: Iterable[dict[str, str]], problem: DesignProblem, chunk: int = CHUNK_ROWS
) -> Iterator[dict[str, Any]]:
    """Every input row with its columns kept and the prediction added, in order, holding one chunk in memory.

    An input column named like one that is added is kept as `<name>_input`.
    """
    clash, source = set(output_columns(problem)), iter(rows)
    while batch := list(islice(source, chunk)):
        answers = predict_texts(bundle, [row[FORMULA] or "" for row in batch], problem)
        for row, answer in zip(batch, answers, strict=True):
            yield {kept_name(key, clash): value for key, value in row.items()} | answer


def kept_name(column: str, added: set[str] | tuple[str, ...]) -> str:
    """Under which name an input column is kept."""
    return column + RENAMED if column in added else column


def write_csv(path: Path, header: Sequence[str], rows: Iterable[dict[str, Any]], problem: DesignProblem) -> int:
    """Write rows as they come.

    Args:
        path: File to write.
        header: Columns of the input file.
        rows: Rows of `predict_rows`.
        problem: Names the added columns.

    Returns:
        How many rows have an error.

    Raises:
        DataError: The file can't be written.
    """
    added = output_columns(problem)
    names = [kept_name(column, added) for column in header]
    n_errors = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, [*names, *added], restval="", lineterminator="\n")
            writer.writeheader()
            for row in rows:
                n_errors += bool(row[ERROR])
                writer.writerow(_text_row(row))
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror}); choose another file with --out") from error
    return n_errors


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as handle:
        try:
            for number, row in enumerate(csv.DictReader(handle), start=2):
                if None in row:
                    raise DataError(f"{path}, row {number}: more cells than columns; quote cells that hold commas")
                yield {key: value or "" for key, value in row.items()}
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: can't be read as a CSV file ({error})") from error


def _parse(text: str, problem: DesignProblem) -> FloatArray | str:
    try:
        return parse_formula(text, problem.elements)
    except CompositionError as error:
        return error.message


def _number(value: float) -> float:
    return float(f"{float(value):.{_SIGNIFICANT}g}")


def _text_row(row: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in row.items()}
