"""The stored results of a contest: four parquet tables of scores, and a note of what was planned. No measured rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aimat_ray.contest.cells import STARTS, Cell, code_of
from aimat_ray.contest.settings import CompareSettings
from aimat_ray.errors import RunError

TABLES = ("scores", "starts", "curves", "clouds", "cells")
NOTE = "contest.json"
_CELL = ["method", "problem", "seed"]


@dataclass(frozen=True)
class Results:
    """What a report is made of.

    Attributes:
        scores: One row per list that was handed in.
        starts: One row per task, walker, budget and seed.
        curves: Returns over training.
        clouds: Visited compositions on synthetic data.
        cells: One row per finished cell: seconds, cores, date.
        note: Titles, list length, points, the seeds that were planned, and hashes of the code that ran.
    """

    scores: pd.DataFrame
    starts: pd.DataFrame
    curves: pd.DataFrame
    clouds: pd.DataFrame
    cells: pd.DataFrame
    note: dict[str, Any]


def collect(
    settings: CompareSettings, planned: Sequence[Cell], results: Mapping[Cell, dict[str, Any]], quick: bool
) -> Results:
    """Flatten finished cells."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for cell, result in results.items():
        head = {"method": cell.method, "problem": cell.problem, "seed": cell.seed}
        for name in ("scores", "curves", "clouds"):
            table = "starts" if cell.part == STARTS and name == "scores" else name
            rows[table] += [head | row for row in result[name]]
        own = {name: result[name] for name in ("seconds", "cpu_seconds", "cores", "date")}
        rows["cells"].append(head | {"part": cell.part} | own)
    note = {
        "quick": quick,
        "code": [code_of(trained=True)[:12]],
        "points": list(settings.points),
        "list_size": settings.list_size,
        "bayes_evaluations": settings.bayes_evaluations,
        "walk_share": settings.walk_share,
        "archive_share": settings.archive_share,
        "methods": {name: {"kind": m.kind, "title": m.title} for name, m in settings.methods.items()},
        "problems": {name: {"kind": p.kind, "data": p.data, "base": p.base} for name, p in settings.problems.items()},
        "planned": [[cell.part, cell.method, cell.problem, cell.seed] for cell in planned],
    }
    return Results(**{name: pd.DataFrame(rows[name]) for name in TABLES}, note=note)


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Store the tables; empty ones too, so that a folder never mixes two contests."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in TABLES:
        path = folder / f"{name}.parquet"
        getattr(results, name).to_parquet(path, index=False)
        written.append(path)
    (folder / NOTE).write_text(json.dumps(results.note, indent=1) + "\n", encoding="utf-8")
    return [*written, folder / NOTE]


def merged(parts: Sequence[Results]) -> Results:
    """One contest whose cells ran in several places; of a cell that ran twice the first result counts.

    Raises:
        RunError: The parts are not of one contest: other points, lists, methods or problems.
    """
    first = parts[0].note
    if any(part.note[key] != first[key] for part in parts for key in first if key != "code"):
        raise RunError("these folders hold results of different contests: their settings differ")
    tables = {name: pd.concat([getattr(part, name).assign(place=i) for i, part in enumerate(parts)]) for name in TABLES}
    cells = tables["cells"].drop_duplicates(_CELL)
    kept = {name: table.merge(cells[[*_CELL, "place"]]) if len(table) else table for name, table in tables.items()}
    code = sorted({code for part in parts for code in part.note["code"]})
    return Results(**{name: table.drop(columns="place") for name, table in kept.items()}, note=first | {"code": code})


def read_tables(folder: Path) -> Results:
    """Read what `write_tables` stored.

    Raises:
        RunError: The folder holds no contest.
    """
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} holds no results of a contest ({error}); run aimat compare first") from error
    return Results(**tables, note=note)


def missing_cells(results: Results) -> dict[str, int]:
    """How many planned cells have not run, by method (or entry of `starts`)."""
    done = {(row.part, row.method, row.problem, row.seed) for row in results.cells.itertuples()}
    missing: dict[str, int] = {}
    for part, method, problem, seed in results.note["planned"]:
        if (part, method, problem, seed) not in done:
            missing[method] = missing.get(method, 0) + 1
    return missing


def family_of(results: Results, problem: str) -> str:
    """`closed_form`, `synthetic` or `measured`."""
    entry = results.note["problems"][problem]
    if entry["kind"] == "closed_form":
        return "closed_form"
    return "synthetic" if str(entry["data"]).startswith("oracle") else "measured"


def of_family(results: Results, family: str) -> pd.DataFrame:
    """Scores on the problems of one family."""
    scores = results.scores
    if not len(scores):
        return scores
    return scores[[family_of(results, problem) == family for problem in scores["problem"]]]
