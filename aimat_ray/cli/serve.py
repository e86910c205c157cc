"""`aimat serve`: the property endpoint, on this machine or on a Ray cluster."""

from __future__ import annotations

import ipaddress
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from aimat_ray.cli.console import console, friendly_errors
from aimat_ray.errors import ConfigError

if TYPE_CHECKING:
    from aimat_ray.registry.hub import SurrogateHub

EPILOG = "Example: aimat serve --data DIR --port 8000, then: curl -d '{\"alloys\": \"Zr65Cu17.5Ni10Al7.5\"}' \
-H 'content-type: application/json' http://127.0.0.1:8000/v1/predict"


@friendly_errors
def serve(
    data: Annotated[str, typer.Option("--data", help="Folder, 'oracle' or 'auto'.", metavar="SPEC")] = "auto",
    surrogate: Annotated[str, typer.Option("--surrogate", help="default, paper or judge.")] = "default",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the fit, if it must be made first.")] = 0,
    problem: Annotated[str, typer.Option("--problem", help="Design problem: a built-in name or a YAML file.")] = "bmg",
    host: Annotated[str, typer.Option("--host", help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="Processes that predict.")] = 1,
    address: Annotated[str | None, typer.Option("--address", help="Ray cluster to use instead of a local Ray.")] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Serve the surrogate of these options even if another is current.")
    ] = False,
) -> None:
    """Serve predictions over HTTP until interrupted.

    The version that was published last is served; without one, the surrogate of these options is published first.
    """
    check_host(host)
    from aimat_ray.cli.surrogate import get_bundle
    from aimat_ray.problem import load_problem
    from aimat_ray.registry.channel import Channel
    from aimat_ray.registry.deployment import ServiceOptions, stop_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.registry.runtime import ray_running
    from aimat_ray.serving.service import start_http_service

    design = load_problem(problem)
    bundle = get_bundle(data, surrogate, seed, design)
    with ray_running(address=address):
        hub = SurrogateHub.start(Channel.of(bundle.manifest))
        _choose(hub, bundle.version, promote)
        start_http_service(hub, design, host, port, ServiceOptions(num_replicas=replicas, num_cpus=0.5))
        console.print(f"serving {hub.require_current().version} on http://{host}:{port}/docs  (Ctrl-C ends)")
        if bundle.manifest.synthetic:
            console.print("[yellow]synthetic:[/] learnt from the synthetic world, not from measured alloys")
        try:
            _wait_for_end()
        finally:
            stop_surrogate_service(shutdown=True)
    console.print("ended")


def check_host(host: str) -> None:
    """Refuse an address that other machines can reach.

    Raises:
        ConfigError: Not a loopback address.
    """
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ConfigError(f"--host {host!r} is not an IP address; use 127.0.0.1") from None
    if not loopback:
        raise ConfigError(
            f"--host {host} can be reached by other machines and this service has no access control; "
            "use 127.0.0.1, with a tunnel or a proxy that checks who asks"
        )


def _choose(hub: SurrogateHub, version: str, promote: bool) -> None:
    current = hub.current()
    if current is None or promote:
        hub.publish(version, note="aimat serve")
    elif current.version != version:
        console.print(
            f"[yellow]note:[/] {current.version} is published and served; these options give {version} "
            "(--promote serves it)"
        )


def _wait_for_end() -> None:
    ended = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: ended.set())
    while not ended.wait(0.5):
        pass
