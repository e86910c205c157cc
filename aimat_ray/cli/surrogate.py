"""`aimat surrogate`: fit, show and compare surrogate models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.benchmark import EPILOG, benchmark
from aimat_ray.cli.console import console, emit_json, friendly_errors

if TYPE_CHECKING:
    from aimat_ray.problem import DesignProblem
    from aimat_ray.surrogate.bundle import SurrogateBundle
    from aimat_ray.surrogate.manifest import BundleManifest, TargetRecord

app = typer.Typer(no_args_is_help=True)
app.command("benchmark", epilog=EPILOG)(benchmark)

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

    bundle = get_bundle(data, name, seed, load_problem(problem))
    if out is not None:
        bundle.save(out)
    _report(bundle.manifest, as_json)


@app.command(epilog="Example: aimat surrogate show runs/surrogate --json")
@friendly_errors
def show(
    folder: Annotated[Path, typer.Argument(help="Folder of a stored surrogate.")],
    as_json: Json = False,
) -> None:
    """Verify a stored surrogate and print how its models were chosen, with their scores."""
    from aimat_ray.surrogate.bundle import SurrogateBundle

    _report(SurrogateBundle.load(folder).manifest, as_json)


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


def _report(manifest: BundleManifest, as_json: bool) -> None:
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
