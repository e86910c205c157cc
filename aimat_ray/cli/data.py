"""`aimat data`: fetch, import and look at tables of measured alloys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DataSpec = Annotated[str, typer.Option("--data", help="Folder, 'oracle', 'oracle:SEED' or 'auto'.", metavar="SPEC")]
ProblemName = Annotated[str, typer.Option("--problem", help="Built-in design problem, or the path of a YAML file.")]


@app.command(epilog="Example: aimat data fetch --to data/measured")
@friendly_errors
def fetch(
    to: Annotated[Path | None, typer.Option("--to", help="Target folder; your user data folder by default.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Mirror of the published files.")] = None,
    as_json: Json = False,
) -> None:
    """Download the published tables at a pinned commit, check their sha256, and convert them to CSV."""
    from aimat_ray.data import upstream

    console.print(upstream.LICENCE_NOTICE, soft_wrap=True)
    with console.status("downloading ..."):
        folder = upstream.fetch(to, base_url=base_url or upstream.BASE_URL)
    _report_folder(folder, as_json)


@app.command("import", epilog="Example: aimat data import --from ~/AIMatDesign/data --to data/measured")
@friendly_errors
def import_(
    source: Annotated[Path, typer.Option("--from", help="Folder with the published workbooks, or with CSV tables.")],
    to: Annotated[Path | None, typer.Option("--to", help="Target folder; your user data folder by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace tables that are already there.")] = False,
    problem: ProblemName = "bmg",
    as_json: Json = False,
) -> None:
    """Convert workbooks or CSV tables to regression.csv, classification.csv and bases.json; no value is changed."""
    from aimat_ray.data.upstream import import_folder, user_data_folder
    from aimat_ray.problem import load_problem

    folder = import_folder(source, to or user_data_folder(), load_problem(problem), overwrite)
    _report_folder(folder, as_json)


@app.command(epilog="Example: aimat data show --data oracle --json")
@friendly_errors
def show(
    data: DataSpec = "auto",
    goal: Annotated[str | None, typer.Option(help="Goal whose thresholds are shown.")] = None,
    percentile: Annotated[float | None, typer.Option(help="Percentile of the thresholds, 0 to 100.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave out the declared cleaning.")] = False,
    problem: ProblemName = "bmg",
    as_json: Json = False,
) -> None:
    """Show table sizes, the cleaning report, missing values, and rows, window and goal of every base."""
    from aimat_ray.data.overview import describe_data
    from aimat_ray.data.sources import load_data
    from aimat_ray.problem import load_problem

    loaded = load_data(data, load_problem(problem), clean=not raw)
    document = describe_data(loaded, goal, percentile)
    if as_json:
        emit_json(document)
    else:
        _print(document, loaded)


def _report_folder(folder: Path, as_json: bool) -> None:
    from aimat_ray.data.upstream import checksums

    if as_json:
        emit_json({"folder": str(folder), "files": checksums(folder)})
    else:
        console.print(f"wrote {', '.join(checksums(folder))} to {folder}", soft_wrap=True)


def _print(document: dict[str, Any], data: AlloyData) -> None:
    """Print the overview on stdout as tables."""
    from rich.console import Console

    out = Console(highlight=False)
    kind = "SYNTHETIC" if document["synthetic"] else "measured"
    where = f" in {document['location']}" if document["location"] else ""
    out.print(f"[bold]{document['name']}[/] ({kind}{where})", soft_wrap=True)
    out.print(f"checksum {document['checksum']}", soft_wrap=True)
    for name, sizes in document["tables"].items():
        classes = "".join(f", {label or 'no class'} {n}" for label, n in sizes.get("classes", {}).items())
        out.print(f"{name}: {sizes['rows']} rows, {sizes['feasible']} feasible{classes}")
    out.print("\n[bold]Cleaning[/] (source rows with --json)")
    out.print(data.cleaning.summary(), soft_wrap=True, markup=False)
    out.print(_property_table(document))
    out.print(_base_table(document))
    for key, text in document["cautions"].items():
        out.print(f"Caution, {key}: {text}", soft_wrap=True)


def _property_table(document: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title="Properties")
    for name in ("quantity", "unit", "measured", "feasible", "missing", "least", "median", "largest"):
        table.add_column(name, no_wrap=name == "quantity")
    for entry in document["properties"]:
        numbers = ["" if entry[k] is None else f"{entry[k]:.4g}" for k in ("least", "median", "largest")]
        missing = "" if entry["missing_share"] is None else f"{100 * entry['missing_share']:.0f} %"
        table.add_row(entry["key"], entry["unit"], str(entry["n"]), str(entry["n_feasible"]), missing, *numbers)
    return table


def _base_table(document: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table("base", "rows", "window", f"goal {document['goal']}", title="Bases (feasible rows)")
    for entry in document["bases"]:
        window = entry["window"]
        text = "none" if window is None else f"{window['n_allowed']} elements, at most {window['max_elements']}"
        goal = entry["goal_text"].partition(": ")[2] or entry["goal_text"]
        table.add_row(entry["base"], str(entry["rows_regression"]), text, goal)
    return table
