"""`aimat evaluate`: strict evaluation of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aimat_ray.cli.console import emit_json, friendly_errors, say
from aimat_ray.cli.design import resolve_settings, show_result
from aimat_ray.cli.report import write_run_report
from aimat_ray.errors import ConfigError


@friendly_errors
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    data: Annotated[str | None, typer.Option(help="Where the run's data are now, if they have moved.")] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="Episodes per seed.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Evaluation seeds.")] = None,
    base: Annotated[str | None, typer.Option(help="Other bases than the run's: one, several, or all.")] = None,
    goal: Annotated[str | None, typer.Option(help="Another goal: a name, or conditions as in aimat design.")] = None,
    goals: Annotated[
        str | None, typer.Option(help="Other goals of episodes: fixed, random, relative (to each start) or mixed.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for an evaluation with other bases or goals.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Evaluate a run again: policy (or search) on fresh starts, no restarts, beside its controls.

    With other bases or goals the run stays as it is, and --out becomes a folder like it, without training.

    Examples: aimat evaluate runs/zr --episodes 200; aimat evaluate runs/any-goal --base Zr,Cu --out runs/held-out
    """
    options = {"data": data, "evaluation.episodes": episodes, "evaluation.seeds": seeds}
    settings = resolve_settings(None, _given(options), run)
    elsewhere = _given({"base": base, "goal": goal, "goals.kind": goals})
    if bool(elsewhere) != (out is not None):
        raise ConfigError("--out goes together with --base, --goal or --goals, which never overwrite the run itself")
    if elsewhere and out is not None:
        if settings.method != "td3":
            raise ConfigError(f"{run} has no policy to try on other bases or goals: it is a search")
        from aimat_ray.rl.train import evaluate_elsewhere

        asked = resolve_settings(None, _given(options) | elsewhere | ({"hold_out": []} if base else {}), run)
        document = evaluate_elsewhere(settings, asked, run, out, say)
        run = out
    elif settings.method == "td3":
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


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}
