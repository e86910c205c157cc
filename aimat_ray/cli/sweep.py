"""`aimat sweep`: many design runs on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimat_ray.cli.console import INTERRUPTED, console, emit_json, friendly_errors, read_assignments, say
from aimat_ray.errors import TrainingError

EPILOG = "Example: aimat sweep tune_configs/bases.yaml --data DIR --out runs/bases"


@friendly_errors
def sweep(
    file: Annotated[Path, typer.Argument(help="YAML file of the sweep, for example tune_configs/bases.yaml.")],
    out: Annotated[str | None, typer.Option(help="Folder of the sweep, or an address: s3://bucket/sweep.")] = None,
    data: Annotated[str | None, typer.Option(help="auto, oracle, oracle:SEED, or a folder of tables.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One setting by its dotted key: --set design.steps=5000")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the sweep in --out.")] = False,
    address: Annotated[str | None, typer.Option(help="Address of a Ray cluster; a local Ray by default.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON document.")] = False,
) -> None:
    """Design many base elements, seeds or variants, in parallel on whatever machines there are.

    After a crash, or on another day: the same command with --resume.
    """
    from aimat_ray.cli.report import write_sweep_report
    from aimat_ray.sweep.results import read_sweep
    from aimat_ray.sweep.run import run_sweep
    from aimat_ray.sweep.settings import load_sweep
    from aimat_ray.sweep.storage import SweepStorage

    overrides = {} if data is None else {"design.data": data}
    settings = load_sweep(file, overrides | read_assignments(set_, "design.steps=5000"))
    storage = SweepStorage(out or f"runs/{file.stem}")
    try:
        outcome = run_sweep(settings, storage, say, resume, address)
    except KeyboardInterrupt:
        console.print(f"interrupted; go on with: aimat sweep {file} --out {storage.url} --resume", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    results = read_sweep(storage.fetch_all())
    results.write()
    page = write_sweep_report(results.folder, data)
    if json_:
        emit_json(
            outcome | {"folder": str(results.folder), "report": str(page), "runs": results.runs.to_dict("records")}
        )
    else:
        console.print(
            f"{outcome['finished']} of {outcome['cases']} runs finished, {outcome['stopped_early']} stopped early, "
            f"{outcome['failed']} failed, in {outcome['seconds'] / 60:.1f} min\nreport: {page}",
            markup=False,
        )
    if outcome["failed"]:
        raise TrainingError(
            f"{outcome['failed']} runs failed or ran out of time; errors are in {storage.root}/tune; try --resume"
        )
