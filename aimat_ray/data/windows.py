"""Windows: the composition ranges in which designs of a base element may move."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.alloy_table import AlloyTable, FloatArray
from aimat_ray.errors import DataError
from aimat_ray.problem import DesignProblem

Mask = NDArray[np.bool_]

LOWER_FACTOR, UPPER_FACTOR = 0.8, 1.2
"""How far a window reaches beyond the measured range (paper, Methods; METHOD section 1)."""

TIE_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class BaseWindow:
    """Where designs of one base may move.

    Attributes:
        base: Symbol of the base element.
        lower: Least atomic fraction of each element, [E].
        upper: Largest atomic fraction of each element, [E]; 0 for an element that may not occur.
        always: Elements that every design contains, [E].
        allowed: Elements that a design may contain, [E] (includes `always`).
        max_elements: Most elements that a measured alloy of the base has.
        n_rows: Measured alloys behind the window.
    """

    base: str
    lower: FloatArray
    upper: FloatArray
    always: Mask
    allowed: Mask
    max_elements: int
    n_rows: int


def majority(at_frac: FloatArray) -> Mask:
    """Elements of largest fraction in each row, [B, E]; a tie marks every one of them."""
    return np.asarray(at_frac >= at_frac.max(axis=1, keepdims=True) - TIE_TOLERANCE)


def base_rows(table: AlloyTable, base: str, problem: DesignProblem, feasible_only: bool = False) -> Mask:
    """Rows whose majority element is `base` (a tie counts for each element).

    Args:
        table: Alloys.
        base: Element symbol.
        problem: Gives the order of the E axis.
        feasible_only: Count only rows known to be in the feasible class.

    Returns:
        Mask, [N].
    """
    mask = majority(table.at_frac)[:, problem.element_index[base]]
    return mask & (table.feasible == 1) if feasible_only else mask


def compute_windows(regression: AlloyTable, problem: DesignProblem) -> dict[str, BaseWindow]:
    """Windows from the feasible rows of a table; a base without such rows gets none.

    Always-present elements: [0.8 min, min(1.2 max, 1)]; sometimes-present ones: [0, min(1.2 max, 1)].

    Args:
        regression: Measured alloys.
        problem: Names the bases.

    Returns:
        Window per base, in the order of the problem's bases.
    """
    windows = {}
    for base in problem.bases:
        rows = regression.at_frac[base_rows(regression, base, problem, feasible_only=True)]
        if not len(rows):
            continue
        present = rows > 0
        always = np.asarray(present.all(axis=0))
        windows[base] = BaseWindow(
            base=base,
            lower=np.where(always, LOWER_FACTOR * rows.min(axis=0), 0.0),
            upper=np.minimum(UPPER_FACTOR * rows.max(axis=0), 1.0),
            always=always,
            allowed=np.asarray(present.any(axis=0)),
            max_elements=int(present.sum(axis=1).max()),
            n_rows=len(rows),
        )
    return windows


def read_windows(path: Path, problem: DesignProblem) -> dict[str, BaseWindow]:
    """Windows from a `bases.json`, for the bases of the problem.

    Raises:
        DataError: The file can't be read, or a range does not fit.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        entries = document["bases"]
        found = {base: _read_window(base, entries[base], problem) for base in problem.bases if base in entries}
    except FileNotFoundError as error:
        raise DataError(f"no windows at {path}; expected a bases.json") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: does not fit the form of bases.json ({type(error).__name__}: {error}); expected per base: "
            "n_rows_regression_bmg, max_elements, always_present, possibly_present"
        ) from error
    return found


def _read_window(base: str, entry: dict[str, Any], problem: DesignProblem) -> BaseWindow:
    n = len(problem.elements)
    lower, upper, always = np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool)
    for name in ("always_present", "possibly_present"):
        for symbol, (low, high) in entry[name].items():
            position = problem.element_index[symbol]
            if not 0 <= low <= high <= 1:
                raise ValueError(f"base {base}, {symbol}: range {low}..{high} is not within 0..1")
            lower[position], upper[position] = low, high
            always[position] = name == "always_present"
    return BaseWindow(
        base, lower, upper, always, upper > 0, int(entry["max_elements"]), int(entry["n_rows_regression_bmg"])
    )


def windows_document(
    ranges: dict[str, tuple[dict[str, Any], dict[str, Any], int]],
    regression: AlloyTable,
    classification: AlloyTable,
    problem: DesignProblem,
) -> dict[str, Any]:
    """The content of `bases.json`.

    Args:
        ranges: Per base (always present, possibly present, most elements), as atomic fractions.
        regression: Gives the row counts.
        classification: Gives the row counts.
        problem: Gives the order of the E axis.
    """
    bases: dict[str, dict[str, Any]] = {
        base: {
            "n_rows_regression_bmg": int(base_rows(regression, base, problem, True).sum()),
            "n_rows_classification_bmg": int(base_rows(classification, base, problem, True).sum()),
            "max_elements": n_max,
            "always_present": always,
            "possibly_present": possibly,
        }
        for base, (always, possibly, n_max) in ranges.items()
    }
    ordered = dict(sorted(bases.items(), key=lambda item: -item[1]["n_rows_regression_bmg"]))
    return {"units": "atomic fraction (0-1)", "bases": ordered}


def ranges_of(windows: dict[str, BaseWindow], problem: DesignProblem) -> dict[str, tuple[Any, Any, int]]:
    """Windows in the form that `windows_document` takes."""
    document = {}
    for base, window in windows.items():
        always: dict[str, list[float]] = {}
        possibly: dict[str, list[float]] = {}
        for i in np.flatnonzero(window.allowed):
            target = always if window.always[i] else possibly
            target[problem.elements[i]] = [float(window.lower[i]), float(window.upper[i])]
        document[base] = (always, possibly, window.max_elements)
    return document
