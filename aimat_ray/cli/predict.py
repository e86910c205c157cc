"""`aimat predict`: class probability and properties with intervals for formulas or a file of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors

if TYPE_CHECKING:
    from aimat_ray.problem import DesignProblem
    from aimat_ray.surrogate.bundle import SurrogateBundle

EPILOG = "Examples: aimat predict Zr65Cu17.5Ni10Al7.5 '(Cu50Zr50)94Al6'  |  aimat predict --file in.csv --out out.csv"


@friendly_errors
def predict(
    formulas: Annotated[list[str] | None, typer.Argument(help="Formulas, at% or any amounts.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="CSV with a column 'formula'.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="CSV to write; needed with --file.")] = None,
    data: Annotated[
        str, typer.Option("--data", help="Measured alloys to learn from: a folder, 'oracle' or 'auto'.")
    ] = "auto",
    surrogate: Annotated[str, typer.Option("--surrogate", help="default, paper or judge.")] = "default",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the fit, if it must be made first.")] = 0,
    problem: Annotated[str, typer.Option("--problem", help="Design problem: a built-in name or a YAML file.")] = "bmg",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Predict alloys: properties with 90 % intervals, whether to believe them, and the nearest measured alloy."""
    from aimat_ray.data.composition import parse_formula
    from aimat_ray.errors import ConfigError
    from aimat_ray.problem import load_problem

    if bool(formulas) == (file is not None):
        raise ConfigError("give either formulas or --file FILE, not both and not neither; see aimat predict --help")
    if file is not None and out is None and not as_json:
        raise ConfigError("--file needs --out FILE (or --json for stdout)")
    if file is None and out is not None:
        raise ConfigError("--out goes with --file; formulas on the command line are printed")
    design = load_problem(problem)
    for text in formulas or ():
        parse_formula(text, design.elements)  # a wrong formula ends here, before anything is fitted
    if file is not None:
        _predict_file(file, out, as_json, data, surrogate, seed, design)
    else:
        _predict_formulas(formulas or [], as_json, _bundle(data, surrogate, seed, design), design)


def _bundle(data: str, surrogate: str, seed: int, problem: DesignProblem) -> SurrogateBundle:
    from aimat_ray.cli.surrogate import get_bundle

    return get_bundle(data, surrogate, seed, problem)


def _predict_formulas(formulas: list[str], as_json: bool, bundle: SurrogateBundle, problem: DesignProblem) -> None:
    from aimat_ray.surrogate.table import ERROR, predict_texts

    rows = [
        {"formula": text} | row for text, row in zip(formulas, predict_texts(bundle, formulas, problem), strict=True)
    ]
    for row in rows:
        row.pop(ERROR)
    if as_json:
        emit_json(rows)
        return
    for row in rows:
        _print_row(row, problem)
    if bundle.manifest.synthetic:
        console.print("[yellow]synthetic:[/] learnt from the synthetic world, not from measured alloys")


def _print_row(row: dict[str, Any], problem: DesignProblem) -> None:
    from rich.table import Table

    inside = "in domain" if row["in_domain"] else f"NOT in domain ({row['domain_reason']})"
    table = Table(
        title=f"{row['composition']}   {problem.feasibility.key} {row[problem.feasibility.key]:.3f}   {inside}"
    )
    for heading in ("property", "mean", "90 % interval", "unit"):
        table.add_column(heading, justify="left" if heading in ("property", "unit") else "right")
    for spec in problem.properties:
        low, high = row[f"{spec.key}_lower"], row[f"{spec.key}_upper"]
        span = f"{low:.{spec.decimals}f} – {high:.{spec.decimals}f}"
        table.add_row(spec.label, f"{row[spec.key]:.{spec.decimals}f}", span, spec.unit)
    table.caption = (
        f"nearest measured alloy {row['nearest_formula']} at {row['nearest_distance_at_pct']:.1f} at%; "
        f"surrogate {row['surrogate_version']}"
    )
    console_out().print(table)
    for key, text in problem.cautions.items():
        if key in row:
            console.print(f"[yellow]caution:[/] {text}", soft_wrap=True)


def console_out() -> Any:
    """A console on stdout, for results."""
    from rich.console import Console

    return Console(highlight=False)


def _predict_file(
    file: Path, out: Path | None, as_json: bool, data: str, surrogate: str, seed: int, problem: DesignProblem
) -> None:
    from aimat_ray.errors import DataError
    from aimat_ray.surrogate.table import predict_rows, read_rows, write_csv

    header, source = read_rows(file)
    if out is not None and out.exists() and out.samefile(file):
        raise DataError(f"--out {out} is the input file; it is read while the output is written: choose another file")
    rows = predict_rows(_bundle(data, surrogate, seed, problem), source, problem)
    n_errors = _stream_json(rows) if out is None else write_csv(out, header, rows, problem)
    if out is not None and as_json:
        emit_json({"out": str(out), "n_errors": n_errors})
    if n_errors:
        words = "1 formula" if n_errors == 1 else f"{n_errors} formulas"
        console.print(f"[bold red]error:[/] {words} could not be read; see the column 'error'")
        raise typer.Exit(2)


def _stream_json(rows: Any) -> int:
    """Print rows as one JSON list while they are made; returns how many have an error."""
    n_errors = 0
    sys.stdout.write("[")
    for i, row in enumerate(rows):
        n_errors += bool(row["error"])
        sys.stdout.write(("," if i else "") + "\n" + json.dumps(row, ensure_ascii=False))
    sys.stdout.write("\n]\n")
    return n_errors
