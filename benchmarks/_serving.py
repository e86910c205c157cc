"""Load on a running endpoint from a second process, and what it says about itself; for the serving benchmark."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ELEMENTS = ["Zr", "Cu", "Ni", "Al", "Ti", "Ag", "Fe", "Nb", "Mg", "La", "Ca", "Ce", "Pd", "B", "Si", "P", "Co"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alloy(generator: random.Random) -> str:
    symbols = generator.sample(ELEMENTS, generator.randint(3, 5))
    amounts = [generator.randint(1, 60) for _ in symbols]
    return "".join(f"{s}{100 * a / sum(amounts):.1f}" for s, a in zip(symbols, amounts, strict=True))


def bodies(n_bodies: int, n_alloys: int) -> list[str]:
    generator = random.Random(n_alloys)
    return [json.dumps({"alloys": [alloy(generator) for _ in range(n_alloys)]}) for _ in range(n_bodies)]


@contextmanager
def load(**job: Any) -> Iterator[dict[str, Any]]:
    """Load from a second process while the body runs; the outcome is in the dictionary afterwards."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "_load.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(job))
    process.stdin.close()
    process.stdin = None
    outcome: dict[str, Any] = {}
    try:
        yield outcome
        out, _ = process.communicate(timeout=job["seconds"] + 300)
        outcome.update(json.loads(out))
    finally:
        if process.poll() is None:
            process.kill()


def measure(**job: Any) -> dict[str, Any]:
    with load(**job) as outcome:
        pass
    return outcome


def failed(outcome: dict[str, Any]) -> int:
    return sum(count for status, count in outcome["statuses"].items() if status != "200")


def n_replies(outcome: dict[str, Any]) -> int:
    return sum(outcome["statuses"].values())


def wait_until_ready(url: str, process: subprocess.Popen[Any] | None = None) -> None:
    import httpx

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the server at {url} ended with {process.returncode}")
        try:
            if httpx.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"the server at {url} did not become ready")


def served_version(base_url: str) -> str:
    import httpx

    return str(httpx.get(f"{base_url}/health/ready", timeout=60).json().get("surrogate_version"))
