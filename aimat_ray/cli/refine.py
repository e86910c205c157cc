"""`aimat refine`: what the refinement loop of a run decided, and would decide again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors, read_assignments
from aimat_ray.config import load_settings
from aimat_ray.errors import RunError

app = typer.Typer(no_args_is_help=True)


@app.command()
@friendly_errors
def replay(
    run: Annotated[Path, typer.Argument(help="Folder of a run made with --amr.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Other limits, to see what they change: verdict.min_gain=0.1")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Decide again what a run decided, from its audit log alone; exit code 1 where a decision differs.

    Example: aimat refine replay runs/zr --set verdict.min_gain=0.1
    """
    from aimat_ray.refine.replay import replay as decide_again

    steps = decide_again(run, _settings(run, set_ or []).refine)
    if json_:
        emit_json(
            [{"seq": s.entry.seq, "event": s.summary, "decisions": list(s.decisions), "same": s.same} for s in steps]
        )
    else:
        for step in steps:
            mark = "" if step.same else "  DIFFERS from the log"
            console.print(
                f"{step.entry.seq:>3}  {step.entry.at[:19]}  {step.summary}{mark}", markup=False, soft_wrap=True
            )
            for words in step.decisions:
                console.print(f"       -> {words}", markup=False, soft_wrap=True, style="dim")
        n_other = sum(not step.same for step in steps)
        console.print(
            f"{len(steps)} events; {n_other} decided otherwise" if n_other else f"{len(steps)} events, all as logged"
        )
    if not all(step.same for step in steps):
        raise typer.Exit(1)


def _settings(run: Path, texts: list[str]) -> Any:
    stored = run / "settings.yaml"
    if not stored.is_file():
        raise RunError(f"{run} holds no run (no settings.yaml)")
    given = read_assignments(texts, "verdict.min_gain=0.1")
    return load_settings(stored, {f"refine.{key.removeprefix('refine.')}": value for key, value in given.items()})
