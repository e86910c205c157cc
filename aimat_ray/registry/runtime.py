"""Starting Ray, or joining a cluster, without Ray talking to the user."""

from __future__ import annotations

import gc
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aimat_ray.errors import ServiceError

_ADDRESS_VARIABLE = "RAY_ADDRESS"
_NICENESS_VARIABLE = "RAY_worker_niceness"
_KNOCK_TIMEOUT_S = 10.0
_CLUSTER_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def connect_ray(num_cpus: int | None = None, address: str | None = None, **options: Any) -> bool:
    """Make sure that this process is connected to Ray.

    Joins the cluster at `address` or RAY_ADDRESS; without either, starts a local Ray that ends with this process.
    Does nothing where Ray runs already. Ray's own lines are kept off the terminal: some of them go to stdout, where
    they would corrupt a JSON document.

    Args:
        num_cpus: Cores of a local Ray; all by default.
        address: Address of a cluster.
        **options: Further arguments of `ray.init`.

    Returns:
        Whether Ray was started (or joined) here; the caller then ends it with `ray.shutdown()`.

    Raises:
        ServiceError: The cluster can't be reached, or the local Ray did not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent out unless the user asks for it
    target = address or os.environ.get(_ADDRESS_VARIABLE)
    import ray

    if ray.is_initialized():
        return False
    quiet_ray()
    if not target:
        _stay_on_loopback()
    local: dict[str, Any] = {"num_cpus": num_cpus, "include_dashboard": False}
    try:
        if target:
            _knock(target)
        ray.init(
            address=target or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if target else local),
            **options,
        )
    except Exception as error:  # Ray raises plain Exceptions too, for one when its processes start too slowly
        where = f"joining the Ray cluster at {target}" if target else "starting Ray on this machine"
        raise ServiceError(f"{where} failed: {error}") from error
    return True


def quiet_ray() -> None:
    """Keep Ray's and Serve's lines off stdout and stderr in this process, errors of Ray's own logger excepted."""
    import ray._private.worker as worker

    logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray prints cluster events ("Task ... failed ...") on stdout even with log_to_driver=False; this is the switch
    # its own debugger uses.
    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = False


def full_priority() -> None:
    """Let the workers of a local Ray that is started from now on run at the priority of this process.

    Ray starts them 15 steps nicer, which suits long computing; a service would wait for everybody else on the machine.
    """
    os.environ.setdefault(_NICENESS_VARIABLE, "0")


def spare_collector() -> None:
    """Keep Python's garbage collector from walking over everything that this process loaded, again and again.

    For processes that answer requests: what is loaded at the start stays, and a reply for a thousand alloys makes so
    many objects that the collector would run several times within it (measured: 50 ms of 80).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _stay_on_loopback() -> None:
    """Let a local Ray listen on 127.0.0.1 only.

    By default its processes listen on every interface, and `_node_ip_address="127.0.0.1"` is translated back. What
    works is the switch for machines without clusters, which Ray itself uses on macOS. (One port of each Serve
    replica stays open on all interfaces; Ray's token authentication guards it.)
    """
    from ray._private import ray_constants

    os.environ[_CLUSTER_VARIABLE] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def _knock(address: str) -> None:
    """Fail at once where nobody listens; Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_TIMEOUT_S).close()


@contextmanager
def ray_running(num_cpus: int | None = None, address: str | None = None, **options: Any) -> Iterator[None]:
    """Ray for the length of a `with` block; ended afterwards only if it was started here."""
    started = connect_ray(num_cpus, address, **options)
    try:
        yield
    finally:
        if started:
            import ray

            ray.shutdown()
