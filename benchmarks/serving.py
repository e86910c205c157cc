"""The property endpoint under load: latency, throughput, swaps, deaths, hostile and generated requests.

    python benchmarks/serving.py [--parts speed,swaps,deaths,requests] [--cases 5000]

Prints one JSON list of {name, value, unit, bar, ok, detail}. The service runs on a local Ray of two cores, the load
comes from a second process over loopback. Absolute times are the best of a few windows: what other programs do on the
machine only ever adds to them. Needs the fitted surrogate `default` (minutes the first time).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: as in a replica

import numpy as np
from _hostile import HOSTILE, ask
from _parts import cpu_seconds, data_spec, entry, process_tree, say
from _schema_cases import run_cases
from _serving import HERE, bodies, failed, free_port, measure, n_replies, wait_until_ready
from _serving_deaths import deaths
from _serving_versions import swaps

from aimat_ray.data.sources import load_data
from aimat_ray.problem import load_problem
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.store import SurrogateStore

PARTS = ("speed", "swaps", "deaths", "requests")
P50_BAR_MS, P99_BAR_MS, RATE_PER_S = 12.0, 60.0, 50.0
THROUGHPUT_BAR = 1.2
BATCH, BATCH_BAR = 1000, 10_000.0
CASES_BAR = 5000
EXAMPLES, DESIGN_EXAMPLES, MAX_ROUNDS = 300, 15, 4
WINDOW_S, WINDOWS = 10.0, 3
ROUND_S, ROUNDS = 6.0, 3


# ---- speed


def replica_cpu_s() -> float:
    """CPU time that the service's replicas have used so far; unlike wall time it hardly depends on other programs."""
    replicas = []
    for pid in process_tree(os.getpid()):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                replicas.append(pid)
        except OSError:
            continue  # it ended meanwhile
    return cpu_seconds(replicas)


def latency(url: str) -> list[dict[str, Any]]:
    windows, cpu = [], []
    for _ in range(WINDOWS):
        before = replica_cpu_s()
        outcome = measure(url=url, bodies=bodies(50, 1), connections=8, seconds=WINDOW_S, rate=RATE_PER_S)
        cpu.append(1e3 * (replica_cpu_s() - before) / n_replies(outcome))
        times = 1e3 * np.array(outcome["times_s"])
        windows.append((float(np.median(times)), float(np.quantile(times, 0.99)), failed(outcome)))
        say(f"  50 requests/s: p50 {windows[-1][0]:.1f} ms, p99 {windows[-1][1]:.1f} ms, load {os.getloadavg()[0]:.1f}")
    detail = f"{RATE_PER_S:g} requests/s of one alloy, 8 connections; windows of {WINDOW_S:g} s (p50, p99, failed): "
    detail += ", ".join(f"({p50:.1f}, {p99:.1f}, {lost})" for p50, p99, lost in windows)
    p50, p99 = min(w[0] for w in windows), min(w[1] for w in windows)
    lost = sum(w[2] for w in windows)
    return [
        entry("serving_p50", p50, "ms", P50_BAR_MS, p50 <= P50_BAR_MS and not lost, detail),
        entry("serving_p99", p99, "ms", P99_BAR_MS, p99 <= P99_BAR_MS and not lost, detail),
        entry("serving_cpu_per_request", min(cpu), "ms of CPU", None, True, "all replicas together, best window"),
    ]


def throughput(url: str, bare_url: str) -> list[dict[str, Any]]:
    """Alternating rounds, so that what else happens on the machine meets both."""
    rates: dict[str, list[float]] = {url: [], bare_url: []}
    for _ in range(ROUNDS):
        for target, found in rates.items():
            outcome = measure(url=target, bodies=bodies(50, 1), connections=32, seconds=ROUND_S, rate=None)
            found.append((n_replies(outcome) - failed(outcome)) / outcome["seconds"])
    served, bare = rates[url], rates[bare_url]
    say(f"  32 connections, requests/s: Serve {served}, bare {bare}")
    ratio = float(np.median(served) / np.median(bare))
    detail = f"requests/s at 32 connections, {ROUNDS} alternating rounds of {ROUND_S:g} s: "
    detail += f"Serve {[round(x) for x in served]}, bare uvicorn {[round(x) for x in bare]}; medians compared"
    return [entry("serving_throughput_ratio", ratio, "x bare", THROUGHPUT_BAR, ratio >= THROUGHPUT_BAR, detail)]


def batches(url: str) -> list[dict[str, Any]]:
    rates, cpu = [], []
    for connections in (1, 2, 4):
        before = replica_cpu_s()
        outcome = measure(url=url, bodies=bodies(4, BATCH), connections=connections, seconds=ROUND_S, rate=None)
        rates.append(BATCH * (n_replies(outcome) - failed(outcome)) / outcome["seconds"])
        cpu.append(1e3 * (replica_cpu_s() - before) / n_replies(outcome))
    say(f"  batches of {BATCH}, alloys/s: {[round(rate) for rate in rates]}")
    best = max(rates)
    detail = f"alloys/s with 1, 2 and 4 connections: {[round(rate) for rate in rates]}"
    return [
        entry("serving_batch_1000", best, "alloys/s", BATCH_BAR, best >= BATCH_BAR, detail),
        entry("serving_cpu_per_1000_alloys", min(cpu), "ms of CPU", None, True, "all replicas together"),
    ]


@contextmanager
def bare_server(root: Path, version: str) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(HERE / "_bare_server.py"), str(root), version, str(port)])
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}/v1/predict"
    finally:
        process.terminate()
        process.wait(30)


# ---- requests that nobody means well


def requests(base_url: str, key: str, n_cases: int) -> list[dict[str, Any]]:
    wrong = []
    for hostile in HOSTILE:
        status, message = ask(base_url, hostile)
        if status != hostile.status or not message:
            wrong.append(f"{hostile.name}: {status} instead of {hostile.status}")
    report = [
        entry(
            "serving_hostile", len(wrong), "not refused", 0, not wrong, "; ".join(wrong) or f"{len(HOSTILE)} requests"
        )
    ]
    total: dict[str, Any] = {"n_cases": 0, "n_failures": 0, "failures": []}
    # A design searches for seconds, so that route gets its share apart; all others take milliseconds.
    design = ("--include-path", "/v1/design")
    rounds = [(DESIGN_EXAMPLES, design), *[(EXAMPLES, ("--exclude-path", "/v1/design"))] * MAX_ROUNDS]
    for seed, (n_examples, selection) in enumerate(rounds, 1):
        if total["n_cases"] >= n_cases:
            break
        found = run_cases(base_url, n_examples, key, seed, selection)
        for name in total:
            total[name] += found[name]
        say(f"  generated requests: {total['n_cases']}, failures {total['n_failures']}")
    bar = min(n_cases, CASES_BAR)
    detail = "; ".join(total["failures"][:5]) or "no 5xx, no reply that the OpenAPI document does not foresee"
    ok = total["n_cases"] >= bar and total["n_failures"] == 0
    report.append(entry("serving_schema_cases", total["n_cases"], "cases", bar, ok, detail))
    report.append(
        entry("serving_schema_failures", total["n_failures"], "failures", 0, total["n_failures"] == 0, detail)
    )
    return report


def run(parts: list[str], n_cases: int, root: Path) -> list[dict[str, Any]]:
    from aimat_ray.registry.deployment import stop_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.registry.runtime import full_priority, ray_running
    from aimat_ray.serving.keys import KeyFile, keys_path
    from aimat_ray.serving.service import start_http_service
    from aimat_ray.serving.settings import read_serving_settings

    problem = load_problem()
    data = load_data(data_spec(), problem)
    say("surrogate ...")
    bundle = SurrogateStore().get_or_fit("default", data, problem, seed=0)
    store = SurrogateStore(root)
    store.put(bundle)
    port = free_port()
    settings = read_serving_settings(
        {
            "data": data_spec(), "store": str(root), "runs": str(root / "runs"),
            "http": {"port": port, "num_cpus": 0}, "surrogate": {"num_cpus": 0, "poll_s": 0.3, "health_period_s": 2.0},
            "limits": {"rate_per_s": 100_000, "burst": 100_000},
        }
    )  # fmt: skip
    _, key = KeyFile(keys_path(settings)).create("benchmark", ["read", "design", "admin"])
    url = f"http://127.0.0.1:{port}"
    report: list[dict[str, Any]] = []
    full_priority()  # as aimat serve does
    with ray_running(num_cpus=2):
        hub = SurrogateHub.start(Channel("default", problem.name, data.checksum), root)
        hub.publish(bundle.version)
        start_http_service(hub, settings)
        try:
            wait_until_ready(url)
            measure(url=f"{url}/v1/predict", bodies=bodies(20, 1), connections=8, seconds=3, rate=None)
            if "speed" in parts:
                say("speed ...")
                report += latency(f"{url}/v1/predict")
                report += batches(f"{url}/v1/predict")
                with bare_server(root, bundle.version) as bare_url:
                    report += throughput(f"{url}/v1/predict", bare_url)
            if "requests" in parts:
                say("hostile and generated requests ...")
                report += requests(url, key, n_cases)
            if "swaps" in parts:
                say("swaps ...")
                report += swaps(url, hub, store, bundle)
            if "deaths" in parts:
                say("deaths ...")
                report += deaths(url)
        finally:
            stop_surrogate_service(shutdown=True)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--cases", type=int, default=CASES_BAR)
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        report = run(choice.parts.split(","), choice.cases, Path(root))
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
