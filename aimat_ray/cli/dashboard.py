"""`aimat dashboard`: watch a sweep or a run in the browser."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from aimat_ray.cli.console import console, friendly_errors
from aimat_ray.errors import ConfigError, RunError

EPILOG = "Example: aimat dashboard runs/bases"


@friendly_errors
def dashboard(
    folder: Annotated[Path, typer.Argument(help="Folder of a sweep, or of a run.")],
    host: Annotated[str, typer.Option(help="Address that TensorBoard listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port; 0 for any free one.")] = 6006,
) -> None:
    """Start TensorBoard on a sweep or a run, and print its address and that of Ray's dashboard. Ctrl-C ends it.

    The sweep may be running, on this machine or on a cluster that writes into the folder, or have ended.
    """
    from aimat_ray.sweep.storage import RUN_FILE, RUNS, SWEEP_FILE

    if not any((folder / name).is_file() for name in (SWEEP_FILE, RUN_FILE)):
        raise RunError(f"{folder} holds neither {SWEEP_FILE} nor {RUN_FILE}; is this the folder of a sweep or a run?")
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("TensorBoard is not installed; pip install 'aimat-ray[watch]'")
    is_sweep = (folder / SWEEP_FILE).is_file()
    port = port or _free_port(host)
    _check_free(host, port)
    if is_sweep:
        console.print(_standing(folder), markup=False, soft_wrap=True)
    logs = folder / RUNS if is_sweep else folder
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--host", host, "--port", str(port)]
    process = subprocess.Popen([*command, "--reload_interval", "10"], stdout=subprocess.DEVNULL)
    try:
        console.print(f"TensorBoard: http://{host}:{port}/\nRay's dashboard: {_ray_dashboard(folder)}", markup=False)
        code = process.wait()
    finally:
        process.terminate()
        process.wait()
    if code:
        raise RunError(f"TensorBoard ended with exit code {code}")


def _standing(folder: Path) -> str:
    """How far a sweep is."""
    from aimat_ray.sweep.results import read_sweep

    results = read_sweep(folder)
    states = results.runs["status"].value_counts().to_dict() if len(results.runs) else {}
    search = results.document["settings"]["search"]
    total = search["samples"] if search["space"] else len(results.document["cases"])
    return f"{states.get('finished', 0)} of {total} runs finished, {states.get('unfinished', 0)} begun"


def _ray_dashboard(folder: Path) -> str:
    """Its address as far as the sweep noted one, and whether somebody answers there."""
    from aimat_ray.rl.run_dir import RunDirectory
    from aimat_ray.sweep.run import SESSION_FILE

    if not (folder / SESSION_FILE).is_file():
        return "none known"
    url = RunDirectory(folder).read_json(SESSION_FILE)["dashboard"]
    if not url:
        return "none (the local Ray of `aimat sweep` runs without; a cluster has one)"
    host, _, port = url.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2.0).close()
    except (OSError, ValueError):
        return f"http://{url}/ (does not answer from here)"
    return f"http://{url}/"


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def _check_free(host: str, port: int) -> None:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise ConfigError(f"port {port} of {host} can't be used ({error.strerror}); choose another --port") from error
