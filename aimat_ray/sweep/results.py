"""What came out of a sweep, as tables. Everything is read from the folders of the runs; Tune is not asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import EmptyDataError, ParserError

from aimat_ray.errors import RunError
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.sweep.attempts import core_hours, read_attempts
from aimat_ray.sweep.storage import FINISHED_FILE, RUN_FILE, RUNS, SWEEP_FILE

_LEDGER = "ledger_"


@dataclass(frozen=True)
class SweepResults:
    """A sweep that was run, or is under way.

    Attributes:
        folder: Of the sweep.
        document: Its `sweep.json`: settings, cases, bases without a goal, data, version.
        runs: One row per run that has begun: name, base, seed, variant, status, rates with their intervals, controls,
            ledger, cost (predictions, seconds, attempts, core hours).
        candidates: Candidates of all runs with the run's name; those that a judge confirms first.
    """

    folder: Path
    document: dict[str, Any]
    runs: pd.DataFrame
    candidates: pd.DataFrame

    def write(self) -> None:
        """Write `runs.parquet`, `runs.csv`, `candidates.parquet` and `candidates.csv` into the folder."""
        directory = RunDirectory(self.folder)
        for name, frame in (("runs", self.runs), ("candidates", self.candidates)):
            rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
            for ending in ("parquet", "csv"):
                directory.write_table(f"{name}.{ending}", rows)


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep."""
    return (folder / SWEEP_FILE).is_file()


def read_sweep(folder: Path) -> SweepResults:
    """Read the results of a sweep.

    Raises:
        RunError: The folder holds no sweep.
    """
    if not is_sweep(folder):
        raise RunError(f"{folder} holds no {SWEEP_FILE}; is this the folder of a sweep?")
    document = RunDirectory(folder).read_json(SWEEP_FILE)
    seeds = {case["name"]: case for case in document["cases"]}
    rows, tables = [], []
    for path in sorted((folder / RUNS).glob("*")):
        if not (path / RUN_FILE).is_file():
            continue
        rows.append(_run_row(path, seeds))
        tables.append(_candidates(path))
    runs = pd.DataFrame(rows)
    filled = [table for table in tables if len(table)]
    candidates = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
    if len(candidates):
        order = ["confirmed", "confirmed_margin"]
        candidates = candidates.sort_values(order, ascending=False, kind="stable").reset_index(drop=True)
    return SweepResults(folder, document, runs, candidates)


def _run_row(path: Path, cases: dict[str, Any]) -> dict[str, Any]:
    run = RunDirectory(path)
    record = run.read_json(RUN_FILE)
    case = cases.get(path.name, {})
    row: dict[str, Any] = {
        "run": path.name,
        "base": record["base"],
        "seed": record["seed"],
        "variant": case.get("variant", ""),
        "status": "unfinished",
    }
    if attempts := read_attempts(path):
        row |= {"attempts": len(attempts), "core_hours": core_hours(attempts)}
    if not (path / FINISHED_FILE).is_file():
        return row
    document = run.read_json(FINISHED_FILE)
    evaluation, train = document["evaluation"], document["train"] or {}
    row["status"] = "finished"
    for name, rate in (
        ("policy", evaluation["sr_goal"]),
        ("lookahead", evaluation.get("sr_goal_lookahead")),
        *sorted(evaluation["controls"].items()),
        ("confirmed", evaluation.get("confirmed")),
    ):
        if rate:
            row |= {name: rate["mean"], f"{name}_lower": rate["lower"], f"{name}_upper": rate["upper"]}
    row |= {f"{_LEDGER}{stage}": count for stage, count in evaluation["ledger"].items()}
    row |= {
        "predictions_per_success": evaluation["sr_goal"].get("predictions_per_success"),
        "env_steps": train.get("env_steps"),
        "train_seconds": train.get("seconds"),
        "candidates": document["candidates"]["n"],
        "surrogate_version": document["surrogate_version"],
    }
    return row


def _candidates(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path / "candidates.csv")
    except (FileNotFoundError, EmptyDataError, ParserError):
        return pd.DataFrame()
    table.insert(0, "run", path.name)
    return table
