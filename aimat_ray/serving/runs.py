"""Finished runs as the service sees them: found below a folder, read once per change of their files."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aimat_ray.problem import DesignProblem

CANDIDATES, EVALUATION, RECORD = "candidates.csv", "evaluation.json", "run.json"
MAX_RUNS = 1_000
_DEPTH = 2  # levels below a given folder that may hold runs: a run, a folder of runs, a folder of sweeps

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run with its evaluation and its candidates.

    Attributes:
        folder: Its folder; never told to clients.
        record: run.json.
        evaluation: evaluation.json.
        candidates: candidates.csv, best first.
    """

    folder: Path
    record: dict[str, Any]
    evaluation: dict[str, Any]
    candidates: pd.DataFrame

    @property
    def run_id(self) -> str:
        """Identity of the run."""
        return str(self.record["run_id"])

    @property
    def base(self) -> str:
        """Base, or bases, that it designed."""
        return str(self.record["base"])

    @property
    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint of its policy."""
        complete = [path for path in (self.folder / "checkpoints").glob("[0-9]*") if path.is_dir()]
        return max(complete, default=None)


class RunShelf:
    """The finished runs below a folder. Safe to use from several threads.

    Args:
        folder: A run, or a folder that holds runs; it need not be there yet.
        problem: Runs of other problems are left out.
    """

    def __init__(self, folder: Path, problem: DesignProblem) -> None:
        self._folder = folder
        self._problem = problem
        self._known: dict[Path, tuple[tuple[int, ...], FinishedRun | None]] = {}
        self._lock = threading.Lock()

    def runs(self) -> list[FinishedRun]:
        """All finished runs, newest first. A folder that can't be read is left out and named in the log."""
        with self._lock:
            found = {folder: self._read(folder) for folder in self._search()}
            self._known = {folder: self._known[folder] for folder in found}
        runs = [run for run in found.values() if run is not None]
        return sorted(runs, key=lambda run: (str(run.record.get("created", "")), run.run_id), reverse=True)

    def _search(self) -> Iterator[Path]:
        """Folders with a run's files, at most `MAX_RUNS`."""
        level, seen = [self._folder], 0
        for depth in range(_DEPTH + 1):
            below: list[Path] = []
            for folder in level:
                if (folder / CANDIDATES).is_file() and (folder / EVALUATION).is_file():
                    yield folder
                    seen += 1
                    if seen == MAX_RUNS:
                        logger.warning("more than %d runs; the others are not shown", MAX_RUNS)
                        return
                elif depth < _DEPTH:
                    below += sorted(child for child in folder.glob("[!.]*") if child.is_dir())
            level = below

    def _read(self, folder: Path) -> FinishedRun | None:
        try:
            files = [(folder / name).stat() for name in (RECORD, EVALUATION, CANDIDATES)]
            stamp = tuple(part for file in files for part in (file.st_mtime_ns, file.st_size))
            if folder not in self._known or self._known[folder][0] != stamp:
                self._known[folder] = (stamp, self._load(folder))
        except (OSError, ValueError, KeyError) as error:
            logger.warning("run %s can't be read and is not shown: %s", folder, error)
            self._known[folder] = ((), None)
        return self._known[folder][1]

    def _load(self, folder: Path) -> FinishedRun | None:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        evaluation = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
        if not isinstance(evaluation, dict) or not dig(record, "run_id") or not dig(record, "base"):
            raise ValueError(f"{RECORD} or {EVALUATION} is not that of a run")
        if dig(record, "settings", "problem") != self._problem.name:
            return None
        table = pd.read_csv(folder / CANDIDATES)
        missing = {"rank", "formula"} - set(table.columns)
        if missing:
            raise ValueError(f"{CANDIDATES} has no column {sorted(missing)}")
        table = table[table["formula"].notna()]
        return FinishedRun(folder, record, evaluation, table.sort_values("rank", kind="stable"))


def candidate_table(runs: list[FinishedRun], problem: DesignProblem) -> pd.DataFrame:
    """The candidates of several runs in one table; nothing measured is in it but the name of the nearest alloy.

    Args:
        runs: The runs.
        problem: Names the quantities.

    Returns:
        One row per candidate with the columns of `candidate_columns`, NaN where a run does not say.
    """
    columns = candidate_columns(problem)
    tables = [run.candidates.assign(run_id=run.run_id) for run in runs if len(run.candidates)]
    if not tables:
        return pd.DataFrame(columns=list(columns))
    table = pd.concat(tables, ignore_index=True).reindex(columns=list(columns))
    for name, kind in columns.items():
        if kind == "number":
            table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
        elif kind == "flag":
            table[name] = table[name].map(flag)
        else:  # a version or a name of digits only was read as a number
            table[name] = table[name].map(lambda value: None if pd.isna(value) else str(value)).astype(object)
    return table


def candidate_columns(problem: DesignProblem) -> dict[str, str]:
    """Columns of the table of candidates and their kinds: number, flag or text."""
    p = problem.feasibility.key
    numbers = ["rank", p]
    for spec in problem.properties:
        numbers += [spec.key, f"{spec.key}_lower", f"{spec.key}_upper"]
    numbers += [spec.key for spec in problem.derived] + ["confirmed_margin", f"judge_{p}"]
    numbers += [f"judge_{key}" for key in problem.property_keys] + ["nearest_distance_at_pct", "steps"]
    flags = ["in_domain", "confirmed", "new", "true", "synthetic"]
    texts = [
        "formula",
        "base",
        "domain_reason",
        "nearest_formula",
        "method",
        "surrogate_version",
        "judge_version",
        "run_id",
    ]
    kinds = dict.fromkeys(texts[:2], "text") | dict.fromkeys(numbers, "number")
    return kinds | dict.fromkeys(flags, "flag") | dict.fromkeys(texts[2:], "text")


def dig(document: Any, *path: str) -> Any:
    """The entry at a path of keys, or None where any level is absent or not a mapping."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def flag(value: Any) -> bool | None:
    """True, False, or None where it is not said."""
    known = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
    return known.get(str(value).strip().lower())


def plain(value: Any) -> Any:
    """A cell as JSON: None for NaN and missing values."""
    if hasattr(value, "item"):
        value = value.item()
    return None if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)) else value
