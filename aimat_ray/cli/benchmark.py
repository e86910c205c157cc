"""`aimat surrogate benchmark`: every model family under one set of folds, in parallel, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimat_ray.comparison.cells import Cell
    from aimat_ray.problem import DesignProblem

EPILOG = (
    "Examples: aimat surrogate benchmark --quick --json  |  aimat surrogate benchmark --out runs/comparison --seeds 3"
)
_LISTED = 6  # single families per printed table; the files hold all


@friendly_errors
def benchmark(
    quick: Annotated[
        bool, typer.Option("--quick", help="A few families, in about three minutes on two cores.")
    ] = False,
    data: Annotated[str, typer.Option("--data", help="Folder, 'oracle', 'oracle:SEED' or 'auto'.")] = "auto",
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder of results and finished cells; an interrupted comparison goes on there."),
    ] = Path("runs/surrogate_benchmark"),
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=20, help="Fold seeds that scores are averaged over.")] = 3,
    models: Annotated[str, typer.Option("--models", help="Only these families or bundles, separated by commas.")] = "",
    finished: Annotated[bool, typer.Option("--finished", help="Report the finished cells; compute nothing.")] = False,
    cpus: Annotated[int | None, typer.Option("--cpus", min=1, help="Cores to use; all by default.")] = None,
    problem: Annotated[str, typer.Option("--problem", help="Design problem: a built-in name or a YAML file.")] = "bmg",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare model families on random folds and on unseen chemical systems; settings nested, folds audited."""
    from aimat_ray.comparison.cache import CellCache
    from aimat_ray.comparison.plan import full_plan, only, quick_plan
    from aimat_ray.comparison.report import finite, write_report
    from aimat_ray.comparison.run import cpu_seconds, finished_cells, run_cells, timer
    from aimat_ray.comparison.scores import Bench
    from aimat_ray.comparison.summary import summarise
    from aimat_ray.data.sources import load_data
    from aimat_ray.errors import RunError
    from aimat_ray.problem import load_problem

    design = load_problem(problem)
    cells: tuple[Cell, ...] = (quick_plan if quick else full_plan)(seeds)
    if models:
        cells = only(cells, [name.strip() for name in models.split(",")])
    bench = Bench(load_data(data, design), design)
    cache, seconds = CellCache(out / "cells"), timer()
    with console.status("comparison ...") as status:
        if finished:
            results = finished_cells(cells, bench.data, cache)
        else:
            results = run_cells(cells, bench.data, design, cache, _teller(status, seconds), cpus)
        if not results:
            raise RunError(f"{out}: no finished cell of this comparison; start it without --finished")
        status.update("scoring")
        document = summarise(results, bench)
        document["run"] = {
            "quick": quick, "cells": len(results), "planned": len(cells), "seconds": seconds(),
            "cpu_seconds": cpu_seconds(results), "out": str(out),
        }  # fmt: skip
        files = write_report(document, results, bench, out)
    if as_json:
        emit_json(finite(document))
    else:
        _show(document, design)
    console.print("written: " + ", ".join(str(path) for path in files), soft_wrap=True)


def _teller(status: Any, seconds: Callable[[], float]) -> Callable[[int, int, str], None]:
    def tell(done: int, total: int, what: str) -> None:
        line = f"comparison: {done} of {total} cells, {seconds():.0f} s; {what}"
        status.update(line)
        if not console.is_terminal:
            console.print(line, soft_wrap=True)

    return tell


def _show(document: dict[str, Any], problem: DesignProblem) -> None:
    from rich.console import Console
    from rich.table import Table

    from aimat_ray.comparison.tables import class_table, target_table

    out = Console(highlight=False)
    origin = "SYNTHETIC" if document["data"]["synthetic"] else "measured"
    tables = {key: target_table(document, key, _LISTED) for key in document["targets"]}
    if document["classifier"]:
        tables[problem.feasibility.key] = class_table(document, _LISTED)
    for key, (head, rows) in tables.items():
        table = Table(*head, title=f"{key} on {document['data']['name']} ({origin})")
        for row in rows:
            table.add_row(*row)
        out.print(table)
        if key in problem.cautions:
            console.print(f"[yellow]caution:[/] {problem.cautions[key]}", soft_wrap=True)
    out.print(f"leakage audit: {len(document['audit']['fold_maps'])} sets of folds, {document['audit']['leaks']} leaks")
