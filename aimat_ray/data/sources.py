"""Where alloy data come from: a folder, a fetched copy, or the synthetic world; always the same `AlloyData`."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.cleaning import CleaningReport
from aimat_ray.data.cleaning import clean as clean_tables
from aimat_ray.data.measurements import load_table
from aimat_ray.data.upstream import (
    TABLES,
    WINDOWS_FILE,
    check_sums,
    fetch,
    import_folder,
    user_data_folder,
)
from aimat_ray.data.windows import BaseWindow, compute_windows, read_windows
from aimat_ray.errors import DataError
from aimat_ray.problem import DesignProblem, load_problem

if TYPE_CHECKING:
    from aimat_ray.data.synthetic import OracleWorld

__all__ = ["DATA_DIR_VARIABLE", "AlloyData", "fetch", "import_folder", "load_data"]

DATA_DIR_VARIABLE = "AIMAT_DATA_DIR"
ORACLE = "oracle"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class AlloyData:
    """Both tables, the windows of the bases, and where all of it comes from.

    Attributes:
        name: Short name: that of the folder, or "oracle-SEED".
        checksum: sha256 over the content that is used (tables after cleaning, windows, names of the axes).
        synthetic: True for the oracle's tables.
        regression: Property values.
        classification: Class labels; its `values` are all NaN.
        windows: Window per base; a base without evidence has none.
        cleaning: What the cleaning did.
        problem: The design problem that the axes belong to.
        oracle: The known truth behind synthetic tables.
        location: The folder that was read, or "" for the oracle.
    """

    name: str
    checksum: str
    synthetic: bool
    regression: AlloyTable
    classification: AlloyTable
    windows: dict[str, BaseWindow]
    cleaning: CleaningReport
    problem: DesignProblem
    oracle: OracleWorld | None = None
    location: str = ""

    @property
    def problem_name(self) -> str:
        """Name of the design problem."""
        return self.problem.name


def load_data(spec: str | Path = "auto", problem: DesignProblem | None = None, clean: bool = True) -> AlloyData:
    """Load alloy data.

    Args:
        spec: A folder with regression.csv and optionally classification.csv and bases.json; "oracle" or "oracle:SEED"
            for the synthetic world; "auto" for AIMAT_DATA_DIR, else the fetched copy, else the oracle (with a
            warning in the log).
        problem: The built-in problem by default.
        clean: Apply the declared cleaning (data/cleaning-design.md).

    Raises:
        DataError: The folder, a file, a column or a value is missing or wrong.
    """
    problem = problem or load_problem()
    text = str(spec)
    if text == "auto":
        text = _automatic()
    if text == ORACLE or text.startswith(f"{ORACLE}:"):
        return _from_oracle(_seed(text), problem, clean)
    return _from_folder(Path(text), problem, clean)


def _automatic() -> str:
    configured = os.environ.get(DATA_DIR_VARIABLE, "")
    if configured:
        return configured
    fetched = user_data_folder()
    if (fetched / TABLES["regression"]).is_file():
        return str(fetched)
    logger.warning(
        "No measured alloys found: %s is not set and nothing was fetched. Using the SYNTHETIC world; every result is "
        "synthetic. For measured alloys: aimat data fetch, or --data FOLDER.",
        DATA_DIR_VARIABLE,
    )
    return ORACLE


def _seed(text: str) -> int:
    seed = text.partition(":")[2]
    if seed and not (seed.isascii() and seed.isdigit() and len(seed) < 10):
        raise DataError(f"data {text!r}: the seed after 'oracle:' must be a whole number from 0, got {seed!r}")
    return int(seed or 0)


def _from_oracle(seed: int, problem: DesignProblem, clean: bool) -> AlloyData:
    from aimat_ray.data.synthetic import OracleWorld

    world = OracleWorld(seed, problem)
    regression, classification = world.sample_tables(seed)
    name = f"{ORACLE}-{seed}"
    return _assemble(name, regression, classification, None, problem, clean, oracle=world)


def _from_folder(folder: Path, problem: DesignProblem, clean: bool) -> AlloyData:
    if not folder.is_dir():
        raise DataError(
            f"no data folder {str(folder)!r}; expected a folder with {TABLES['regression']}, or 'oracle', or 'auto'"
        )
    if not (folder / TABLES["regression"]).is_file():
        raise DataError(
            f"{folder} holds no {TABLES['regression']}; for the published workbooks use: "
            f"aimat data import --from {folder} --to FOLDER"
        )
    check_sums(folder)
    regression = load_table(folder / TABLES["regression"], problem, "regression")
    labelled = folder / TABLES["classification"]
    if labelled.is_file():
        classification = load_table(labelled, problem, "classification")
    else:
        classification = _classes_of(regression, problem, folder)
    windows = read_windows(folder / WINDOWS_FILE, problem) if (folder / WINDOWS_FILE).is_file() else None
    name = folder.resolve().name
    return _assemble(name, regression, classification, windows, problem, clean, location=str(folder.resolve()))


def _classes_of(regression: AlloyTable, problem: DesignProblem, folder: Path) -> AlloyTable:
    """Class table of a folder that has none: the regression rows whose flag is known, without their values."""
    rows = regression.rows(~np.isnan(regression.feasible))
    if not len(rows):
        raise DataError(
            f"{folder}: no {TABLES['classification']}, and column {problem.feasibility.flag_column!r} of "
            f"{TABLES['regression']} is empty; one of them must say which alloys are {problem.feasibility.positive}"
        )
    label = tuple(problem.feasibility.positive if flag else "" for flag in rows.feasible.tolist())
    values = np.full(rows.values.shape, np.nan)
    return AlloyTable(rows.at_frac, values, rows.feasible, label, rows.formula, rows.source_row, rows.sum_pct)


def _assemble(
    name: str,
    regression: AlloyTable,
    classification: AlloyTable,
    windows: dict[str, BaseWindow] | None,
    problem: DesignProblem,
    clean: bool,
    oracle: OracleWorld | None = None,
    location: str = "",
) -> AlloyData:
    report = CleaningReport(applied=False)
    if clean:
        regression, classification, report = clean_tables(regression, classification, problem)
    if windows is None:
        windows = compute_windows(regression, problem)
    checksum = _checksum(regression, classification, windows, problem)
    synthetic = oracle is not None
    return AlloyData(name, checksum, synthetic, regression, classification, windows, report, problem, oracle, location)


def _checksum(
    regression: AlloyTable,
    classification: AlloyTable,
    windows: dict[str, BaseWindow],
    problem: DesignProblem,
) -> str:
    """sha256 over what later stages see; independent of file names, formatting and platform."""
    digest = hashlib.sha256()

    def add(part: object) -> None:
        content = repr(part).encode()
        digest.update(f"{len(content)}:".encode() + content)

    def add_numbers(array: np.ndarray) -> None:
        # Rounded, because the last bits may differ between platforms; NaN and -0 get one form each.
        rounded = np.where(np.isnan(array), np.nan, np.round(array, 10) + 0.0)
        add(rounded.shape)
        digest.update(np.ascontiguousarray(rounded, dtype="<f8").tobytes())

    add((problem.elements, problem.property_keys, problem.feasibility.classes))
    for table in (regression, classification):
        for numbers in (table.at_frac, table.values, table.feasible):
            add_numbers(numbers)
        add((table.label, table.formula, table.source_row.tolist()))
    for base, window in windows.items():
        add((base, window.max_elements, window.n_rows, window.always.tolist(), window.allowed.tolist()))
        add_numbers(window.lower)
        add_numbers(window.upper)
    return digest.hexdigest()
