"""`aimat report`: one self-contained page about a run or a sweep, complete or interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors
from aimat_ray.errors import AimatError

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData
    from aimat_ray.problem import DesignProblem
    from aimat_ray.report.run_files import Document, Missing, RunFiles


@friendly_errors
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of a sweep.")],
    data: Annotated[str | None, typer.Option(help="Where its data are now, if they have moved.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write report.html into the folder of a run or a sweep. It opens offline and loads nothing.

    A sweep also gets its tables: runs and candidates, as .csv and .parquet.

    Example: aimat report runs/zr
    """
    from aimat_ray.sweep.results import is_sweep

    missing: tuple[Missing, ...] = ()
    if is_sweep(run):
        path = write_sweep_report(run, data)
    else:
        path, files = write_run_report(run, data)
        missing = files.missing
    if json_:
        emit_json({"report": str(path), "missing": [{"file": m.file, "reason": m.reason} for m in missing]})
    else:
        for item in missing:
            console.print(
                f"{item.file} {item.reason}: {item.consequence}", style="yellow", markup=False, soft_wrap=True
            )
        console.print(f"report: {path}", markup=False, soft_wrap=True)


def write_run_report(run: Path, data: str | None = None) -> tuple[Path, RunFiles]:
    """Write the page of a run.

    Args:
        run: Folder of the run.
        data: Where its data are now, if they have moved.

    Returns:
        The page, and what was read for it.
    """
    from aimat_ray.problem import load_problem
    from aimat_ray.report.html import write_report
    from aimat_ray.report.run_files import dig, read_run

    files = read_run(run)
    problem = load_problem(str(dig(files.run, "settings", "problem") or "bmg"))
    alloys = _data(dig(files.run, "settings", "data"), data, problem)
    return write_report(run, alloys, problem, manifests=_manifests(files.run)), files


def write_sweep_report(folder: Path, data: str | None = None) -> Path:
    """Write the page and the tables of a sweep.

    Args:
        folder: Folder of the sweep.
        data: Where its data are now, if they have moved.

    Returns:
        The page.

    Raises:
        RunError: The folder holds no sweep, or can't be written.
    """
    from aimat_ray.problem import load_problem
    from aimat_ray.report.run_files import dig
    from aimat_ray.report.sweep_html import write_sweep_page
    from aimat_ray.rl.run_dir import RunDirectory
    from aimat_ray.sweep.results import read_sweep
    from aimat_ray.sweep.storage import RUN_FILE, RUNS

    results = read_sweep(folder)
    results.write()
    shared = dig(results.document, "settings", "design")
    problem = load_problem(str(dig(shared, "problem") or "bmg"))
    names = results.runs["run"].tolist() if len(results.runs) else []
    first = RunDirectory(folder / RUNS / names[0]).read_json(RUN_FILE) if names else {}
    alloys = _data(dig(first, "settings", "data") or dig(shared, "data"), data, problem)
    return write_sweep_page(results, alloys, problem, _manifests(first))


def _data(stored: Any, spec: str | None, problem: DesignProblem) -> AlloyData | None:
    """The alloys; a report without them is still a report, unless the user named a place."""
    from aimat_ray.data.sources import load_data

    try:
        return load_data(spec or str(stored or "auto"), problem)
    except AimatError as error:
        if spec is not None:
            raise
        console.print(
            f"measured alloys are left out ({error.message}); name their place with --data",
            style="yellow",
            markup=False,
        )
        return None


def _manifests(run: Document) -> dict[str, Any]:
    """Manifests of the run's surrogate and judge, where the store holds them (the models themselves are not loaded)."""
    from aimat_ray.registry.store import SurrogateStore
    from aimat_ray.report.run_files import dig
    from aimat_ray.surrogate.artifacts import MANIFEST_FILE

    found = {}
    for role in ("surrogate", "judge"):
        version = dig(run, role, "version")
        try:
            folder = SurrogateStore().path(str(version))
            found[role] = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        except (AimatError, OSError, ValueError):
            continue  # the scores are an extra: the page says which version it was
    return found
