"""`aimat surrogate`: fit, show and compare surrogate models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.benchmark import EPILOG, benchmark
from aimat_ray.cli.console import console, emit_json, friendly_errors
from aimat_ray.cli.versions import promote, publish, rollback, versions

if TYPE_CHECKING:
    from aimat_ray.problem import DesignProblem
    from aimat_ray.surrogate.bundle import SurrogateBundle
    from aimat_ray.surrogate.manifest import BundleManifest, TargetRecord

app = typer.Typer(no_args_is_help=True)
app.command("benchmark", epilog=EPILOG)(benchmark)
app.command("publish", epilog="Example: aimat surrogate publish runs/surrogate --note 'refitted in May'")(publish)
app.command("promote", epilog="Example: aimat surrogate promote default-0a1b2c3d4e5f")(promote)
app.command("rollback", epilog="Example: aimat surrogate rollback default --data auto")(rollback)
app.command("versions", epilog="Example: aimat surrogate versions default --json")(versions)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DataSpec = Annotated[str, typer.Option("--data", help="Folder, 'oracle', 'oracle:SEED' or 'auto'.", metavar="SPEC")]
Name = Annotated[str, typer.Argument(help="default, paper or judge.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of folds and models.")]
ProblemName = Annotated[str, typer.Option("--problem", help="Design problem: a built-in name or a YAML file.")]


@app.command(epilog="Example: aimat surrogate train default --data auto")
@friendly_errors
def train(
    name: Name = "default",
    data: DataSpec = "auto",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the artifact to this folder.")] = None,
    problem: ProblemName = "bmg",
    as_json: Json = False,
) -> None:
    """Fit a named surrogate (or take it from the store) and print its scores on unseen chemical systems."""
    from aimat_ray.problem import load_problem

    design = load_problem(problem)
    bundle = get_bundle(data, name, seed, design)
    if out is not None:
        bundle.save(out)
    _report(bundle.manifest, design.cautions, as_json)


@app.command(epilog="Example: aimat surrogate show runs/surrogate --json")
@friendly_errors
def show(
    folder: Annotated[Path, typer.Argument(help="Folder of a stored surrogate.")],
    problem: ProblemName = "bmg",
    as_json: Json = False,
) -> None:
    """Verify a stored surrogate and print how its models were chosen, with their scores."""
    from aimat_ray.problem import load_problem
    from aimat_ray.surrogate.bundle import SurrogateBundle

    _report(SurrogateBundle.load(folder).manifest, load_problem(problem).cautions, as_json)


@app.command(epilog="Example: aimat surrogate distil default --data auto --answers 300000")
@friendly_errors
def distil(
    name: Name = "default",
    data: DataSpec = "auto",
    answers: Annotated[int | None, typer.Option(min=1_000, help="Predictions to learn from.")] = None,
    led_answers: Annotated[int | None, typer.Option(min=0, help="More of them, along the net's own walks.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over them.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of walks and weights.")] = 0,
    problem: ProblemName = "bmg",
    again: Annotated[bool, typer.Option("--again", help="Make it anew even if the store has it.")] = False,
    as_json: Json = False,
) -> None:
    """Distil a surrogate into a small net that scores moves quickly; stored beside it, measured on unseen walks.

    The net never judges a design. Runs use it where it exists: as a control, and where their settings ask for it.
    """
    from aimat_ray.config import DistilSettings
    from aimat_ray.data.sources import load_data
    from aimat_ray.problem import load_problem
    from aimat_ray.registry.store import SurrogateStore
    from aimat_ray.rl.distil import get_or_distil, teaching_task
    from aimat_ray.rl.prepare import BUNDLE_SEED

    given = {"answers": answers, "led_answers": led_answers, "epochs": epochs}
    settings = DistilSettings(**{key: value for key, value in given.items() if value is not None})
    design = load_problem(problem)
    bundle = get_bundle(data, name, BUNDLE_SEED, design)
    alloys = load_data(data, design)
    net = get_or_distil(
        SurrogateStore(),
        name,
        lambda: teaching_task(design, alloys, bundle),
        bundle,
        settings,
        lambda line: console.print(line, markup=False),
        again,
        seed,
    )
    if as_json:
        emit_json({"version": net.version, "teacher": net.teacher, "fidelity": net.fidelity})
    else:
        _show_fidelity(net.version, net.teacher, net.fidelity)


def _show_fidelity(version: str, teacher: str, fidelity: dict[str, Any]) -> None:
    from rich.table import Table

    kinds = {"searches": "walks of searches", "led": "walks that the net leads"}
    shown = [kind for kind in kinds if kind in fidelity]
    table = Table(title=f"{version} imitates {teacher}: agreement on held-out answers")
    table.add_column("")
    for kind in shown:
        table.add_column(kinds[kind], justify="right")
    measured = [fidelity[kind] for kind in shown]
    for key in measured[0]["r2"]:
        table.add_row(f"R² {key}", *(f"{m['r2'][key]:.3f}" for m in measured))
    for key, words in (("p_agreement", "same side of the threshold of p"), ("domain_agreement", "same domain verdict")):
        table.add_row(words, *(f"{m[key]:.3f}" for m in measured))
    for key, words in (
        ("agreement", "same goal verdict"),
        ("precision", "true of its goals"),
        ("recall", "goals seen"),
    ):
        table.add_row(words, *("-" if m["goal"][key] is None else f"{m['goal'][key]:.3f}" for m in measured))
    table.add_row("answers compared", *(f"{m['n']:,}" for m in measured))
    _stdout().print(table)


def get_bundle(data: str, name: str, seed: int, problem: DesignProblem) -> SurrogateBundle:
    """The bundle from the store, fitted first if these inputs are new; progress goes to stderr."""
    from aimat_ray.data.sources import load_data
    from aimat_ray.errors import ConfigError
    from aimat_ray.registry.store import SurrogateStore
    from aimat_ray.surrogate.bundle import BUNDLE_NAMES

    if name not in BUNDLE_NAMES:
        raise ConfigError(f"unknown surrogate {name!r}; expected one of: {', '.join(BUNDLE_NAMES)}")
    loaded = load_data(data, problem)
    with console.status(f"surrogate {name} ...") as status:
        return SurrogateStore().get_or_fit(name, loaded, problem, seed, progress=_teller(status))


def _teller(status: Any) -> Callable[[str, float], None]:
    def tell(what: str, share: float) -> None:
        status.update(f"fitting surrogate {what} ({100 * share:.0f} %)")
        if not console.is_terminal:
            console.print(f"fitting surrogate {what} ({100 * share:.0f} %)")

    return tell


def _report(manifest: BundleManifest, cautions: dict[str, str], as_json: bool) -> None:
    if as_json:
        emit_json(manifest.model_dump(mode="json"))
        return
    from rich.table import Table

    origin = "SYNTHETIC" if manifest.synthetic else "measured"
    table = Table(title=f"{manifest.version} on {manifest.data_name} ({origin}): scores on unseen chemical systems")
    for heading in ("property", "R² [95 % interval]", "RMSE", "n / systems", "R² feasible", "90 % covers"):
        table.add_column(heading, justify="left" if heading == "property" else "right", no_wrap=heading[0] in "pR")
    for key, record in manifest.targets.items():
        table.add_row(key, *_score_cells(record))
    out = _stdout()
    out.print(table)
    for key, record in manifest.targets.items():
        out.print(f"{key}: {' + '.join(record.members) or 'not modelled, too few values'}", style="dim")
    for score in manifest.classifier.scores:
        out.print(
            f"class, {score.rows}: AUC {score.auc:.3f} ({score.lower:.3f} to {score.upper:.3f}), "
            f"Brier {score.brier:.3f}, n {score.n}, unseen systems"
        )
    for text in cautions.values():
        console.print(f"[yellow]caution:[/] {text}", soft_wrap=True)


def _score_cells(record: TargetRecord) -> list[str]:
    score, feasible = record.score, record.feasible_score
    if score is None:
        return ["-", "-", str(record.n_rows), "-", "-"]
    return [
        f"{score.r2:.3f} [{score.lower:.2f}, {score.upper:.2f}]",
        f"{score.rmse:.3g}",
        f"{score.n} / {score.n_systems}",
        "-" if feasible is None else f"{feasible.r2:.3f}",
        "-" if record.coverage_90 is None else f"{record.coverage_90:.3f}",
    ]


def _stdout() -> Any:
    from rich.console import Console

    return Console(highlight=False)
