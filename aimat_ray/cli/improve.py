"""`aimat improve`: a better alloy near a given one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors

if TYPE_CHECKING:
    from aimat_ray.config import DesignSettings
    from aimat_ray.rl.improve import ImprovedAlloy, Improvements
    from aimat_ray.surrogate.bundle import SurrogateBundle

EPILOG = (
    "Examples: aimat improve Zr65Cu15Al10Ni10 --raise yield_strength_mpa=10% --keep dmax_mm --max-change 8  |  "
    "aimat improve Fe43Cr16Mo16C15B10 --raise dmax_mm=1.5 --keep youngs_modulus_gpa=5% --method greedy --json"
)


@friendly_errors
def improve(
    formula: Annotated[str, typer.Argument(help="The alloy to improve, at% or any amounts.")],
    raise_: Annotated[
        list[str] | None, typer.Option("--raise", metavar="KEY=AMOUNT", help="Grow by at least 10% or 100 (its unit).")
    ] = None,
    lower: Annotated[
        list[str] | None, typer.Option("--lower", metavar="KEY=AMOUNT", help="Fall by at least this much.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="KEY[=5%]", help="Not worse by more than 2 %, or as given.")
    ] = None,
    max_change: Annotated[float, typer.Option("--max-change", help="Share of atoms exchanged at most, at%.")] = 8.0,
    method: Annotated[
        str | None, typer.Option("--method", help="evolution (default), greedy, local, or policy with --run.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run whose policy walks; its data and surrogate are used.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="auto, oracle, oracle:SEED, or a folder of tables.")] = None,
    budget: Annotated[int, typer.Option(min=1, help="Surrogate predictions that a search may spend.")] = 8_000,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Designs to show.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    problem: Annotated[str, typer.Option(help="Design problem: a built-in name or a YAML file.")] = "bmg",
    out: Annotated[Path | None, typer.Option("--out", help="CSV file to write the designs to.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Find alloys near a given one that are better in what you ask for, and check them with a second model."""
    from aimat_ray.config import EnvSettings
    from aimat_ray.data.composition import parse_formula
    from aimat_ray.data.improvement import parse_improvement
    from aimat_ray.data.sources import load_data
    from aimat_ray.problem import load_problem
    from aimat_ray.registry.store import SurrogateStore
    from aimat_ray.rl.improve import improve_alloy
    from aimat_ray.rl.prepare import BUNDLE_SEED
    from aimat_ray.search.improve import task_around

    settings = _settings_of(run, method)
    design = load_problem(settings.problem if settings else problem)
    at_frac = parse_formula(formula, design.elements)
    wish = parse_improvement(design, raise_ or (), lower or (), keep or (), max_change)
    _check_out(out)
    alloys = load_data(data or (settings.data if settings else "auto"), design)
    task = task_around(design, alloys, at_frac, wish, settings.env if settings else EnvSettings())
    actor = _actor_of(run, settings, task.bases[0]) if run is not None and settings is not None else None
    store = SurrogateStore()

    def fitted(name: str) -> SurrogateBundle:
        with console.status(f"surrogate {name} ..."):
            return store.get_or_fit(name, alloys, design, BUNDLE_SEED, lambda text, share: console.print(text))

    surrogate, judge = fitted(settings.bundle if settings else "default"), fitted("judge")
    with console.status("searching ..."):
        result = improve_alloy(
            alloys,
            design,
            surrogate,
            judge,
            at_frac,
            wish,
            method=method or "evolution",
            budget=budget,
            n_designs=number,
            seed=seed,
            policy=actor,
            settings=task.settings,
        )
    if out is not None:
        write_designs(result, out)
    if json_:
        emit_json(result.as_dict())
    else:
        show(result)
        if out is not None:
            console.print(f"written to {out}")


def _settings_of(run: Path | None, method: str | None) -> DesignSettings | None:
    """Settings of the run that the policy is from, if one is asked for."""
    from aimat_ray.cli.design import resolve_settings
    from aimat_ray.errors import ConfigError
    from aimat_ray.search.improve import METHODS

    if method is not None and method not in (*METHODS, "policy"):
        raise ConfigError(f"unknown method {method!r}; expected one of: {', '.join(METHODS)}, policy")
    if run is None:
        if method == "policy":
            raise ConfigError("--method policy needs --run RUN: the run that trained it")
        return None
    if method not in (None, "policy"):
        raise ConfigError(f"--run takes the policy of a run, --method {method} searches; give only one of them")
    return resolve_settings(None, {}, run)


def _actor_of(run: Path, settings: DesignSettings, base: str) -> Any:
    """The policy of a run."""
    from aimat_ray.errors import RunError
    from aimat_ray.problem import load_problem
    from aimat_ray.rl.prepare import asked_bases
    from aimat_ray.rl.run_dir import RunDirectory

    bases = asked_bases(settings.base, load_problem(settings.problem))
    if base not in bases:
        if len(bases) == 1:
            raise RunError(f"the policy of {run} was trained on {bases[0]} alone, not on {base}; take another run")
        console.print(f"note: the policy of {run} was not trained on {base}", style="yellow")
    checkpoint = RunDirectory(run).last_checkpoint()
    if checkpoint is None:
        raise RunError(f"{run} holds no checkpoint: it trained no policy, or was interrupted before the first one")
    from aimat_ray.rl.td3 import load_actor

    return load_actor(checkpoint)


def _check_out(out: Path | None) -> None:
    """Refuse a file that can't be written before anything takes long."""
    from aimat_ray.errors import RunError

    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise RunError(f"output {out} can't be written: give a file in an existing folder")


def write_designs(result: Improvements, path: Path) -> None:
    """Write the start and the designs as CSV."""
    from aimat_ray.errors import RunError

    rows = [_row(0, "start", result.start)]
    rows += [_row(rank, "design", design) for rank, design in enumerate(result.designs, start=1)]
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(row | {"surrogate_version": result.surrogate_version} for row in rows)
    except OSError as error:
        raise RunError(f"output {path} can't be written: {error.strerror or error}") from error


def _row(rank: int, kind: str, alloy: ImprovedAlloy) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rank": rank,
        "kind": kind,
        "formula": alloy.formula,
        "change_at_pct": alloy.change_at_pct,
        "moves": json.dumps(alloy.moves),
        "path": " > ".join(alloy.path),
        "p_feasible": alloy.p_feasible,
        "confirmed": alloy.confirmed,
        "in_domain": alloy.in_domain,
        "nearest_formula": alloy.nearest_formula,
        "nearest_distance_at_pct": alloy.nearest_distance_at_pct,
    }
    for key, estimate in alloy.quantities.items():
        suffixes = {"value": key} | {name: f"{key}_{name}" for name in estimate if name != "value"}
        row |= {suffixes[name]: value for name, value in estimate.items()}
    return row | {"surrogate_version": ""}


def show(result: Improvements) -> None:
    """Print the start and the designs, a few lines each."""
    say = _stdout().print
    say(f"{result.start.formula} ({result.base} base): {result.wish.describe()}", style="bold")
    if result.synthetic:
        console.print("SYNTHETIC data: these alloys exist in a made-up world", style="yellow")
    say(f"  start   {_values(result, result.start)}")
    if result.start.nearest_distance_at_pct <= 0.1 and result.start.nearest_measured:
        known = "; ".join(f"{key} {value:g}" for key, value in result.start.nearest_measured.items())
        say(f"          measured: {known}", style="dim")
    if not result.designs:
        say(f"No design found with {result.predictions:,} predictions ({result.method}).", style="bold")
        say("Ask for less, allow more change, or raise --budget. Nearest miss:")
    for rank, design in enumerate(result.designs or [result.nearest_miss], start=1):
        if design is not None:
            _show_design(result, rank, design)
    say(
        f"{result.n_found} different designs from {result.predictions:,} predictions ({result.method}); "
        f"surrogate {result.surrogate_version}",
        style="dim",
    )
    if any(_overlaps(result, design) for design in result.designs):
        console.print(
            "caution: the 90 % intervals of start and design overlap; the differences rest on the models' sense of "
            "direction more than on their accuracy",
            style="yellow",
            soft_wrap=True,
        )


def _show_design(result: Improvements, rank: int, design: ImprovedAlloy) -> None:
    say = _stdout().print
    verdict = {True: "confirmed by the judge", False: "NOT confirmed by the judge", None: "no judge"}[design.confirmed]
    domain = "in domain" if design.in_domain else f"NOT in domain ({design.domain_reason})"
    say(f"{rank:>3}  {design.formula}: {verdict}, {domain}, {design.change_at_pct:.1f} at% exchanged", soft_wrap=True)
    say(f"     {_values(result, design)}", soft_wrap=True)
    moves = " ".join(f"{element} {change:+.1f}" for element, change in design.moves.items())
    steps = " > ".join(
        formula + ("" if good else " (not feasible)")
        for formula, good in zip(design.path, design.path_feasible, strict=True)
    )
    say(f"     moves {moves}; path {steps}", style="dim", soft_wrap=True)


def _values(result: Improvements, alloy: ImprovedAlloy) -> str:
    """The wished quantities with intervals, differences and what the judge says."""
    parts = []
    for key in result.wish.keys:
        item = alloy.quantities[key]
        text = f"{key} {item['value']:g}"
        if item["lower"] is not None:
            text += f" [{item['lower']:g}, {item['upper']:g}]"
        if alloy is not result.start:
            text += f" ({item['difference']:+g}"
            text += f"; judge {item['judge_difference']:+g})" if "judge_difference" in item else ")"
        parts.append(text)
    return "; ".join(parts)


def _overlaps(result: Improvements, design: ImprovedAlloy) -> bool:
    """Whether a wished difference is smaller than the intervals are wide."""
    for key in (*result.wish.raised, *result.wish.lowered):
        before, after = result.start.quantities[key], design.quantities[key]
        ends = before["lower"], before["upper"], after["lower"], after["upper"]
        if all(end is not None for end in ends) and before["upper"] >= after["lower"]:  # type: ignore[operator]
            return True
    return False


def _stdout() -> Any:
    from rich.console import Console

    return Console(highlight=False, markup=False, soft_wrap=True)
