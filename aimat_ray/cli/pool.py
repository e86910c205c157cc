"""`aimat pool`: the trusted experience pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _pool() -> None:
    """The trusted experience pool: transitions between measured alloys."""


@app.command()
@friendly_errors
def build(
    data: Annotated[str, typer.Option(help="auto, oracle, oracle:SEED, or a folder of tables.")] = "auto",
    bundle: Annotated[str, typer.Option(help="Surrogate that imputes unmeasured properties.")] = "default",
    clean: Annotated[bool, typer.Option(help="Apply the declared cleaning first.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for pool.json and the picture.")] = Path("runs/pool"),
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build the pool and show its size, provenance and rewards.

    Example: aimat pool build --data DIR --no-clean
    """
    from aimat_ray.report.figures import pool_figure
    from aimat_ray.rl.pool_summary import summarise_pool

    document, rewards = summarise_pool(data, bundle, clean, out, lambda line: console.print(line, markup=False))
    pool_figure(rewards, Path(document["picture"]))
    if document["picture"]:
        _draw(out, Path(document["picture"]))
    if json_:
        emit_json(document)
    else:
        _show(document)


def _draw(folder: Path, picture: Path) -> None:
    import pandas as pd

    from aimat_ray.report.figures import pool_figure
    from aimat_ray.rl.pool_summary import REWARDS

    pool_figure(pd.read_parquet(folder / REWARDS)["reward"].to_numpy(), picture)


def _show(document: dict[str, Any]) -> None:
    console.print(
        f"{document['n_transitions']:,} transitions between {document['n_compositions']:,} measured alloys "
        f"(largest |s + a - s'|: {document['max_abs_residual']:.1e})"
    )
    for key, share in document["share_measured"].items():
        console.print(f"  {key:>20} measured at both ends: {share:.1%}")
    if not document["picture"]:
        console.print("no base of these data has a window and a goal, so nothing can be rewarded")
        return
    reward = document["reward"]
    console.print(
        f"published reward: mean {reward['mean']:.3f}, p5 {reward['p5']:.3f}, p95 {reward['p95']:.3f}; "
        f"{reward['share_04_06']:.1%} in 0.4..0.6, {reward['share_negative']:.1%} negative"
    )
    console.print(f"picture: {document['picture']}")
