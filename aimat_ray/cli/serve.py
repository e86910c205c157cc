"""`aimat serve`: the property endpoint, on this machine or on a Ray cluster."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aimat_ray.cli.console import console, friendly_errors, read_assignments

if TYPE_CHECKING:
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.serving.settings import ServingSettings

EPILOG = "Example: aimat serve --data DIR --port 8000, then: curl -d '{\"alloys\": \"Zr65Cu17.5Ni10Al7.5\"}' \
-H 'content-type: application/json' http://127.0.0.1:8000/v1/predict"


@friendly_errors
def serve(
    config: Annotated[
        Path | None, typer.Option("--config", help="Serve config file, such as serve/surrogate.yaml.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Folder, 'oracle' or 'auto'.", metavar="SPEC")] = None,
    surrogate: Annotated[str | None, typer.Option("--surrogate", help="default, paper or judge.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the fit, if it must be made first.")] = None,
    problem: Annotated[
        str | None, typer.Option("--problem", help="Design problem: a built-in name or a YAML file.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option("--runs", help="Folder of finished runs to offer, or of one run; ./runs by default.")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; beyond loopback needs a key.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.")] = None,
    replicas: Annotated[int | None, typer.Option("--replicas", help="Processes that predict.")] = None,
    keys: Annotated[Path | None, typer.Option("--keys", help="File of API keys (aimat key).")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, as key=value.", metavar="KEY=VALUE")
    ] = None,
    address: Annotated[str | None, typer.Option("--address", help="Ray cluster to use instead of a local Ray.")] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Serve the surrogate of these options even if another is current.")
    ] = False,
) -> None:
    """Serve predictions, candidates and the page over HTTP until interrupted.

    The version that was published last is served; without one, the surrogate of these options is published first.
    """
    from aimat_ray.errors import RunError
    from aimat_ray.serving.config_file import load_serving_settings

    if runs is not None and not runs.is_dir():
        raise RunError(f"--runs {runs}: no such folder; expected the folder of a run, or one that holds such folders")
    given = {
        "data": data, "bundle": surrogate, "seed": seed, "problem": problem, "runs": runs, "http.host": host,
        "http.port": port, "surrogate.num_replicas": replicas, "access.keys": keys,
    }  # fmt: skip
    chosen = {key: value for key, value in given.items() if value is not None}
    told = load_serving_settings(config, read_assignments(settings, "limits.batch_rows=128") | chosen)
    # The processes that serve may have another working directory.
    paths = {"runs": told.runs.absolute(), "data": str(Path(told.data).absolute()) if _is_folder(told) else told.data}
    _run(told.model_copy(update=paths), address, promote)


def _is_folder(settings: ServingSettings) -> bool:
    """Whether the data are a folder, not 'auto', 'oracle' or 'oracle:SEED'."""
    return settings.data.partition(":")[0] not in ("auto", "oracle")


def _run(settings: ServingSettings, address: str | None, promote: bool) -> None:
    from aimat_ray.problem import load_problem
    from aimat_ray.registry.deployment import APP_NAME, stop_surrogate_service
    from aimat_ray.registry.runtime import full_priority, ray_running
    from aimat_ray.serving.access import check_access
    from aimat_ray.serving.listener import bind
    from aimat_ray.serving.service import published_hub, start_http_service

    check_access(settings)
    load_problem(settings.problem)  # says what is wrong with it before anything starts
    host, port = settings.http.host, settings.http.port
    if address is None:
        bind(host, port, shared=False).close()  # says at once when the port is taken
    full_priority()
    with ray_running(address=address), console.status("starting ...") as status:
        hub = published_hub(settings, promote, _teller(status))
        status.update("starting the service ...")
        start_http_service(hub, settings)
        try:
            status.stop()
            _greet(hub, settings)
            _wait_for_end()
        finally:
            stop_surrogate_service(APP_NAME, shutdown=address is None)
    console.print("ended")


def _greet(hub: SurrogateHub, settings: ServingSettings) -> None:
    shown = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
    console.print(
        f"serving {hub.require_current().version} on http://{shown}:{settings.http.port}/ (API: /docs; Ctrl-C ends)",
        markup=False,
    )
    if settings.data == "oracle":
        console.print("[yellow]synthetic:[/] learnt from the synthetic world, not from measured alloys")


def _teller(status: Any) -> Any:
    return lambda what, share: status.update(f"fitting surrogate {what} ({100 * share:.0f} %)")


def _wait_for_end() -> None:
    ended = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: ended.set())
    while not ended.wait(0.5):
        pass
