"""SIGKILL of the service's processes under load; for the serving benchmark."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _parts import entry, say
from _serving import alloy, bodies, failed, load, served_version

from aimat_ray.errors import AimatError
from aimat_ray.serving import Client

N_CLIENTS = 4


def deaths(base_url: str) -> list[dict[str, Any]]:
    from ray import serve

    from aimat_ray.registry.deployment import APP_NAME, DEPLOYMENT_NAME

    handle: Any = serve.get_deployment_handle(DEPLOYMENT_NAME, APP_NAME)
    url = f"{base_url}/v1/predict"
    with load(url=url, bodies=bodies(12, 1), connections=8, seconds=30, rate=40.0) as raw:
        time.sleep(3.0)
        pid = handle.status.remote().result()["pid"]
        os.kill(pid, signal.SIGKILL)
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        until = time.monotonic() + 25.0
        clients = [pool.submit(client_failures, base_url, until, seed) for seed in range(N_CLIENTS)]
        time.sleep(3.0)
        os.kill(http_pid(base_url), signal.SIGKILL)
        asked, failures = zip(*(client.result() for client in clients), strict=True)
    told = [failure for found in failures for failure in found]
    say(f"  surrogate killed: {raw['statuses']}; HTTP process killed: {sum(asked)} calls of the client, failed: {told}")
    lost = failed(raw)
    back = served_version(base_url)
    return [
        entry(
            "serving_replica_killed",
            lost,
            "failed requests",
            8,
            lost <= 8 and bool(back),
            f"SIGKILL of the only predicting replica under 40 requests/s, no retries by the client: {raw['statuses']}, "
            f"slowest reply {max(raw['times_s']):.1f} s; at most the 8 in flight may fail",
        ),
        entry(
            "serving_http_killed_with_client",
            len(told),
            "failed calls",
            0,
            not told,
            f"SIGKILL of the only HTTP process under {N_CLIENTS} threads of aimat_ray.serving.Client, "
            f"{sum(asked)} calls; {'; '.join(told[:3]) or 'its retries hide the death'}",
        ),
    ]


def client_failures(base_url: str, until: float, seed: int) -> tuple[int, list[str]]:
    """Ask through the Python client until a time; number of calls, and what failed."""
    generator, failures, n_asked = random.Random(seed), [], 0
    with Client(base_url, patience_s=60.0) as client:
        while time.monotonic() < until:
            n_asked += 1
            try:
                client.predict([alloy(generator) for _ in range(3)])
            except AimatError as error:
                failures.append(error.message)
    return n_asked, failures


def http_pid(base_url: str) -> int:
    """Process that listens on the service's port."""
    port = int(base_url.rpartition(":")[2])
    inodes = {
        fields[9]
        for fields in (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        if int(fields[1].split(":")[1], 16) == port and fields[3] == "0A"
    }
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(place.readlink())
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            return int(place.parts[2])
    raise RuntimeError(f"nobody listens on port {port}")
