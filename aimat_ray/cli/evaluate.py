"""`aimat evaluate`: strict evaluation of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimat_ray.cli.console import emit_json, friendly_errors, say
from aimat_ray.cli.design import resolve_settings, show_result
from aimat_ray.cli.report import write_run_report


@friendly_errors
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[str | None, typer.Option(help="Where the run's data are now, if they have moved.")] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="Episodes per seed.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Evaluation seeds.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Evaluate a run again: policy (or search) on fresh starts, no restarts, beside its controls.

    Example: aimat evaluate runs/zr --episodes 200
    """
    options = {"data": data, "evaluation.episodes": episodes, "evaluation.seeds": seeds}
    settings = resolve_settings(None, {key: value for key, value in options.items() if value is not None}, run)
    if settings.method == "td3":
        from aimat_ray.rl.train import evaluate_again

        document = evaluate_again(settings, run, say)
    else:
        from aimat_ray.rl.search_run import design_by_search

        document = design_by_search(settings, run, say, again=True)
    write_run_report(run, settings.data)
    if json_:
        emit_json(document)
    else:
        show_result(document, run)
