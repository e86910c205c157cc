"""`aimat compare`: a contest of design methods at equal budgets of surrogate predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.console import INTERRUPTED, console, emit_json, friendly_errors, read_assignments

if TYPE_CHECKING:
    from aimat_ray.contest.tables import Results

EPILOG = (
    "Examples: aimat compare tune_configs/compare.yaml --quick  |  "
    "aimat compare --from benchmarks/results/compare --page RESULTS.md"
)


@friendly_errors
def compare(
    file: Annotated[Path | None, typer.Argument(help="YAML file of the contest: tune_configs/compare.yaml.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The same at a tiny budget: shows that all of it runs.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of cells, tables and page; runs/compare[-quick].")] = None,
    stored: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Write the page from the tables in this folder (or several); compute nothing."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Where the page goes; RESULTS.md in the folder.")] = None,
    finished: Annotated[bool, typer.Option("--finished", help="Report the finished cells; compute nothing.")] = False,
    methods: Annotated[str, typer.Option(help="Only these methods, separated by commas.")] = "",
    problems: Annotated[str, typer.Option(help="Only these problems (or entries of starts).")] = "",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One setting of the contest by its dotted key: --set seeds=2")
    ] = None,
    cpus: Annotated[int | None, typer.Option("--cpus", min=1, help="Cells at a time; one per core by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as one JSON document on stdout.")] = False,
) -> None:
    """Let design methods compete at equal numbers of surrogate predictions; a referee judges what they hand in.

    An interrupted contest goes on where it was: give the same command again.
    """
    from aimat_ray.contest.tables import merged, read_tables, write_tables
    from aimat_ray.errors import ConfigError
    from aimat_ray.report.contest_page import write_contest_page

    if (file is None) == (not stored):
        raise ConfigError("give the file of a contest, or --from with the folder of a finished one")
    if stored:
        folder, results = out or stored[0], merged([read_tables(part) for part in stored])
        if out is not None:
            write_tables(results, out)
    else:
        assert file is not None
        folder = out or Path("runs") / ("compare-quick" if quick else "compare")
        names = [[name.strip() for name in text.split(",") if name.strip()] for text in (methods, problems)]
        given = read_assignments(set_, "seeds=2")
        results = _play(file, folder, given, quick, finished, names[0], names[1], cpus)
    written = write_contest_page(results, folder, page or folder / "RESULTS.md")
    if as_json:
        cells = results.cells
        cpu = float(cells["cpu_seconds"].sum()) if len(cells) else 0.0
        emit_json({"cells": len(cells), "cpu_seconds": cpu, "folder": str(folder), "page": str(written)})
    console.print(f"{len(results.cells)} cells; page: {written}", soft_wrap=True, markup=False)


def _play(
    file: Path, folder: Path, given: dict[str, Any], quick: bool, finished: bool, methods: list[str],
    problems: list[str], cpus: int | None,
) -> Results:  # fmt: skip
    from aimat_ray.contest.cache import CellCache
    from aimat_ray.contest.cells import plan
    from aimat_ray.contest.run import finished_cells, run_cells
    from aimat_ray.contest.selection import only
    from aimat_ray.contest.settings import load_compare
    from aimat_ray.contest.tables import collect, write_tables
    from aimat_ray.errors import RunError

    settings = load_compare(file, given)
    if quick:
        settings = settings.at_quick_size()
    planned = plan(settings, file.parent)
    chosen = only(planned, methods, problems)
    cache = CellCache(folder / "cells")
    try:
        with console.status("contest ...") as status:
            tell = _teller(status)
            notes = finished_cells(chosen, cache)[3] if finished else run_cells(chosen, cache, tell, cpus)[1]
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    for note in notes:
        console.print(f"[yellow]left out:[/] {note}", soft_wrap=True)
    results = finished_cells(planned, cache)[0]
    if not results:
        raise RunError(f"{folder}: no finished cell of this contest")
    tables = collect(settings, planned, results, quick)
    write_tables(tables, folder)
    return tables


def _teller(status: Any) -> Any:
    def tell(done: int, total: int, what: str) -> None:
        line = f"contest: {done} of {total} cells; {what}"
        status.update(line)
        if not console.is_terminal:
            console.print(line, soft_wrap=True, markup=False)

    return tell
