"""`aimat design`: one base element, from measured alloys to ranked candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aimat_ray.cli.console import INTERRUPTED, console, emit_json, friendly_errors, read_assignments, say
from aimat_ray.cli.report import write_run_report
from aimat_ray.config import DesignSettings, load_settings
from aimat_ray.errors import ConfigError, RunError

EPILOG = (
    "Examples: aimat design --base Zr --data DIR --steps 20000 --seed 0 --out runs/zr  |  "
    "aimat design --method archive --base Zr,Cu --goal 'dmax_mm>=8,yield_strength_mpa>=1900' --out runs/search"
)


@friendly_errors
def design(
    base: Annotated[str | None, typer.Option(help="Base element, several (Zr,Cu,Ti), or all.")] = None,
    method: Annotated[
        str | None, typer.Option(help="td3 trains an agent (default); archive, greedy, evolution, local search only.")
    ] = None,
    budget: Annotated[int | None, typer.Option(min=1, help="Surrogate predictions per base for a search.")] = None,
    data: Annotated[str | None, typer.Option(help="auto, oracle, oracle:SEED, or a folder of tables.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Environment steps to train.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is random.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    goal: Annotated[
        str | None,
        typer.Option(help="Named goal of the problem, or written out: 'dmax_mm>=8,yield_strength_mpa>=1900'."),
    ] = None,
    percentile: Annotated[float | None, typer.Option(help="Percentile behind the goal's thresholds.")] = None,
    mode: Annotated[str | None, typer.Option(help="simplex, or paper for the published environment.")] = None,
    reward: Annotated[str | None, typer.Option(help="progress or paper.")] = None,
    bundle: Annotated[str | None, typer.Option(help="Surrogate to train on: default or paper.")] = None,
    runners: Annotated[int | None, typer.Option(min=0, help="Remote env runners; 0 samples in this process.")] = None,
    transport: Annotated[str | None, typer.Option(help="local, or serve for the Ray Serve deployment.")] = None,
    amr: Annotated[
        str | None, typer.Option(help="Refine the surrogate while training: off (default), none, statistical or llm.")
    ] = None,
    kbr: Annotated[
        str | None, typer.Option(help="Expert knowledge in late rewards: off (default), rules or llm.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One setting by its dotted key: --set agent.gamma=0.95")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the evaluation as one JSON document.")] = False,
) -> None:
    """Train an agent (or run a search) on base elements and list the best new alloys."""
    options = {
        "base": base,
        "method": method,
        "search.budget_per_base": budget,
        "archive.budget_per_base": budget if method == "archive" else None,
        "data": data,
        "steps": steps,
        "seed": seed,
        "goal": goal,
        "percentile": percentile,
        "bundle": bundle,
        "runners": runners,
        "transport": transport,
        "env.mode": mode,
        "env.reward.kind": reward,
        "refine.adviser": amr,
        "knowledge.scorer": kbr,
    }
    overrides = {key: value for key, value in options.items() if value is not None}
    if resume and out is None:
        raise ConfigError("--resume needs --out FOLDER: the run to continue")
    overrides |= read_assignments(set_, "agent.gamma=0.95")
    settings = resolve_settings(config, overrides, out if resume else None)
    folder = out or Path("runs") / f"{settings.base.lower()}-{settings.seed}"
    try:
        document = _run(settings, folder, resume)
    except KeyboardInterrupt:
        _say_how_to_continue(folder, settings)
        raise typer.Exit(INTERRUPTED) from None
    write_run_report(folder, settings.data)
    if json_:
        emit_json(document)
    else:
        show_result(document, folder)


def _run(settings: DesignSettings, folder: Path, resume: bool) -> dict[str, Any]:
    from aimat_ray.refine.checks import check_settings

    check_settings(settings)
    if settings.method != "td3":
        from aimat_ray.rl.search_run import design_by_search

        return design_by_search(settings, folder, say, again=resume)
    from aimat_ray.refine.session import companion_for
    from aimat_ray.rl.train import design as run_design

    return run_design(settings, folder, say, resume=resume, companion=companion_for(settings, say))


def _say_how_to_continue(folder: Path, settings: DesignSettings) -> None:
    verb = "continue" if settings.method == "td3" else "repeat the search"
    if (folder / "settings.yaml").is_file():
        say(f"interrupted; {verb} with: aimat design --resume --out {folder}")
    else:
        say("interrupted before the training began; run the same command again")


def resolve_settings(config: Path | None, overrides: dict[str, Any], resumed: Path | None) -> DesignSettings:
    """Settings from file and options; a resumed run starts from its own."""
    if resumed is not None and config is None:
        config = resumed / "settings.yaml"
        if not config.is_file():
            raise RunError(f"{resumed} holds no run to resume (no settings.yaml)")
    return load_settings(config, overrides)


def show_result(document: dict[str, Any], folder: Path) -> None:
    """Print rates and the best candidates."""
    import pandas as pd

    evaluation = document["evaluation"]
    rate = evaluation["sr_goal"]
    console.print(
        f"\nstrict goal rate {rate['mean']:.2f} [{rate['lower']:.2f}, {rate['upper']:.2f}] over {rate['episodes']} "
        f"episodes; random {evaluation['controls']['random']['mean']:.2f}"
    )
    share = evaluation["confirmed_share"]
    if share is not None:
        console.print(f"share of the goals that an independent surrogate confirms: {share:.2f}")
    designs = evaluation["designs"]
    console.print(
        f"{designs['settled']} successful walks settled on {designs['distinct']} different designs "
        f"in {designs['families']} families"
    )
    if document["data"]["synthetic"]:
        console.print("SYNTHETIC data: these alloys exist in a made-up world", style="yellow")
    candidates = pd.read_csv(document["candidates"]["path"])
    _show_candidates(candidates, evaluation["goal"]["properties"], document["base"])
    for warning in _warnings(folder):
        console.print(f"WARNING {warning['signature']}: {warning['message']}", style="yellow")
    metrics = ", metrics.parquet" if document["train"] else ""
    console.print(f"everything is in {folder}: report.html, candidates.csv, evaluation.json{metrics}", soft_wrap=True)


def _show_candidates(candidates: Any, properties: list[str], base: str) -> None:
    """The best ten, two lines each: formulas and intervals are too long for a table on most terminals."""
    console.print(f"\nBest new alloys of {base} ({len(candidates)} in all)", style="bold")
    for _, row in candidates.head(10).iterrows():
        verdict = [word for word in ("in_domain", "confirmed", "new") if row[word]]
        values = "; ".join(f"{key} {_with_interval(row, key)}" for key in properties)
        nearest = f"nearest measured {row['nearest_formula']}, {row['nearest_distance_at_pct']:.1f} at% away"
        words = ", ".join(verdict).replace("_", " ") or "neither in domain, nor confirmed, nor new"
        console.print(f"{row['rank']:>3}  {row['formula']}: {words}", markup=False, soft_wrap=True)
        console.print(f"     {values}; {nearest}", markup=False, soft_wrap=True, style="dim")


def _with_interval(row: Any, key: str) -> str:
    if f"{key}_lower" not in row:
        return f"{row[key]:.3g}"
    return f"{row[key]:.4g} [{row[f'{key}_lower']:.4g}, {row[f'{key}_upper']:.4g}]"


def _warnings(folder: Path) -> list[dict[str, Any]]:
    import json

    path = folder / "warnings.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
