"""Entry point of `aimat`: collects the verbs. Each verb's module stays light and imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from aimat_ray import __version__
from aimat_ray.cli import (
    bench,
    compare,
    dashboard,
    data,
    design,
    evaluate,
    improve,
    key,
    pool,
    predict,
    refine,
    report,
    serve,
    surrogate,
    sweep,
)
from aimat_ray.cli.console import set_up_logging

app = typer.Typer(
    name="aimat",
    help="Design alloys backwards: from wanted properties to compositions. Exit codes: 0 done, 1 failed, 2 bad input.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data.app, name="data", help="Fetch, import and look at tables of measured alloys.")
app.add_typer(surrogate.app, name="surrogate", help="Train, compare and inspect surrogate models.")
app.add_typer(pool.app, name="pool", help="The trusted experience pool.")
app.add_typer(key.app, name="key", help="API keys of the property endpoint.")
app.add_typer(refine.app, name="refine", help="What the refinement loop of a run decided.")
app.command("predict", epilog=predict.EPILOG)(predict.predict)
app.command("design", epilog=design.EPILOG)(design.design)
app.command("improve", epilog=improve.EPILOG)(improve.improve)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(report.report)
app.command("sweep", epilog=sweep.EPILOG)(sweep.sweep)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("dashboard", epilog=dashboard.EPILOG)(dashboard.dashboard)
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.command("bench")(bench.bench)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"aimat-ray {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, on stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    set_up_logging(verbose)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
