"""The property endpoint under load: latency, throughput, swaps, deaths, hostile and generated requests.

    python benchmarks/serving.py [--parts speed,swaps,deaths,requests] [--cases 5000]

Prints one JSON list of {name, value, unit, bar, ok, detail}. The service runs on a local Ray of two cores, the load
comes from a second process over loopback. Absolute times are the best of a few windows: what other programs do on the
machine only ever adds to them. Needs the fitted surrogate `default` (minutes the first time).
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: as in a replica

import numpy as np
from _hostile import HOSTILE, ask
from _parts import cpu_seconds, data_spec, entry, process_tree, say
from _schema_cases import run_cases

from aimat_ray.data.formulas import AlloyReader
from aimat_ray.data.sources import load_data
from aimat_ray.errors import ArtifactError
from aimat_ray.problem import load_problem
from aimat_ray.registry.canary import canary_rows, write_canary
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.files import seal_folder
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.surrogate.bundle import SurrogateBundle
from aimat_ray.surrogate.calibration import ClassCalibrator
from aimat_ray.surrogate.features import FeatureSpace

HERE = Path(__file__).parent
PARTS = ("speed", "swaps", "deaths", "requests")
P50_BAR_MS, P99_BAR_MS, RATE_PER_S = 12.0, 60.0, 50.0
THROUGHPUT_BAR = 1.2
BATCH, BATCH_BAR = 1000, 10_000.0
N_SWAPS, N_ROLLBACKS = 10, 2
CASES_BAR = 5000
EXAMPLES, DESIGN_EXAMPLES, MAX_ROUNDS = 300, 15, 4
WINDOW_S, WINDOWS = 10.0, 3
ROUND_S, ROUNDS = 6.0, 3
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


# ---- versions


def variant(bundle: SurrogateBundle, shift: float) -> SurrogateBundle:
    """A surrogate of its own version whose probabilities differ from the original's."""
    calibrator = ClassCalibrator(bundle._parts.class_calibrator.slope, shift)
    return renamed(bundle, class_calibrator=calibrator)


def renamed(bundle: SurrogateBundle, **parts: Any) -> SurrogateBundle:
    manifest = bundle.manifest.model_copy(update={"version": ""})
    return SurrogateBundle(replace(bundle._parts, **parts), manifest)


def bad_versions(bundle: SurrogateBundle, store: SurrogateStore) -> dict[str, str]:
    """Stored versions that must never answer, by what is wrong with them."""
    corrupt = store.put(variant(bundle, 5.0))
    largest = max((p for p in store.path(corrupt).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(content)

    ensemble = copy.copy(bundle._parts.ensemble)
    ensemble.space = FeatureSpace(ensemble.space.elements, tuple(reversed(ensemble.space.names)))
    reordered = with_files_of(store, variant(bundle, 6.0), renamed(bundle, ensemble=ensemble))
    not_numbers = np.full_like(bundle._parts.fallback, np.nan)
    calibrator = ClassCalibrator(float("nan"), 0.0)
    nan = with_files_of(store, variant(bundle, 7.0), renamed(bundle, class_calibrator=calibrator, fallback=not_numbers))
    return {"corrupt file": corrupt, "wrong feature order": reordered, "NaN output": nan}


def with_files_of(store: SurrogateStore, promised: SurrogateBundle, actual: SurrogateBundle) -> str:
    """A version with valid checksums whose reference answers are of one bundle and whose models are of another."""
    version = store.put(promised)
    folder = store.path(version)
    shutil.rmtree(folder)
    actual.save(folder)
    write_canary(folder, promised, canary_rows(len(promised.elements)))
    seal_folder(folder, promised.name, version)
    return version


def expected_answers(bundles: list[SurrogateBundle], texts: list[str]) -> dict[str, list[list[float]]]:
    reader = AlloyReader(load_problem().elements)
    rows = [reader.read(json.loads(text)["alloys"]) for text in texts]
    return {b.version: [b.predict(at_frac).p_feasible.tolist() for at_frac in rows] for b in bundles}


def swaps(base_url: str, hub: Any, store: SurrogateStore, bundle: SurrogateBundle) -> list[dict[str, Any]]:
    good = [variant(bundle, 0.1 * (i + 1)) for i in range(N_SWAPS)]
    bad = bad_versions(bundle, store)
    for one in good:
        store.put(one)
    texts = bodies(12, 3)
    expected = expected_answers([bundle, *good], texts)
    refused, times = [], []
    with load(
        url=f"{base_url}/v1/predict", bodies=texts, connections=8, seconds=600, rate=None, expected=expected,
        stop_file=str(store.root / "stop"),
    ) as outcome:  # fmt: skip
        time.sleep(1.0)
        for i, one in enumerate(good):
            times.append(swap_to(base_url, lambda one=one: hub.publish(one.version), one.version))
            say(f"  swap {i + 1}: served after {times[-1]:.1f} s")
            if i % 3 == 2:
                what, version = list(bad.items())[i // 3]
                refused.append(refuses(hub, store, version))
                say(f"  {what}: refused {refused[-1]}")
        for i in range(N_ROLLBACKS):
            swap_to(base_url, hub.rollback, good[-2 - i].version)
        time.sleep(1.0)
        (store.root / "stop").touch()
    n_lost, n_mixed, n_unknown = failed(outcome), outcome["mixed"], outcome["unknown"]
    n_versions = len(set(outcome["versions"]))
    detail = f"{n_replies(outcome)} requests from 8 connections during {N_SWAPS} swaps, {len(bad)} bad versions, "
    detail += f"{N_ROLLBACKS} rollbacks; {n_versions} versions answered; "
    detail += f"slowest reply {1e3 * max(outcome['times_s']):.0f} ms; "
    detail += (
        f"publication to first reply {min(times):.1f} to {max(times):.1f} s (check in a process of its own included)"
    )
    return [
        entry("serving_swaps_failed", n_lost, "requests", 0, n_lost == 0 and n_versions == N_SWAPS + 1, detail),
        entry("serving_swaps_mixed", n_mixed, "replies", 0, n_mixed == 0, "every value compared with its version's"),
        entry(
            "serving_bad_versions_served",
            n_unknown + refused.count(False),
            "replies",
            0,
            n_unknown == 0 and all(refused) and len(refused) == len(bad),
            f"{', '.join(bad)}: refused at publication, and by the replicas where published without a check",
        ),
    ]


def swap_to(base_url: str, change: Any, version: str) -> float:
    """Make a change and wait until it answers; seconds."""
    began = time.monotonic()
    change()
    while served_version(base_url) != version:
        if time.monotonic() - began > 120:
            raise RuntimeError(f"{version} was not served in time")
        time.sleep(0.05)
    return time.monotonic() - began


def served_version(base_url: str) -> str:
    import httpx

    return str(httpx.get(f"{base_url}/health/ready", timeout=60).json().get("surrogate_version"))


def refuses(hub: Any, store: SurrogateStore, version: str) -> bool:
    """Whether a bad version is refused when published, and taken back when the pointer is moved without a check."""
    before = hub.current().version
    try:
        hub.publish(version)
        return False
    except ArtifactError as error:
        say(f"    at publication: {error.message[:110]}")
    try:
        store.set_current(hub.channel, version)
    except ArtifactError:
        return hub.current().version == before  # a corrupt file can't even be pointed at
    deadline = time.monotonic() + 60
    while hub.current().version != before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


# ---- deaths


def deaths(base_url: str) -> list[dict[str, Any]]:
    from ray import serve

    from aimat_ray.registry.deployment import APP_NAME, DEPLOYMENT_NAME

    handle: Any = serve.get_deployment_handle(DEPLOYMENT_NAME, APP_NAME)
    url = f"{base_url}/v1/predict"
    with load(url=url, bodies=bodies(12, 1), connections=8, seconds=30, rate=40.0) as raw:
        time.sleep(3.0)
        pid = handle.status.remote().result()["pid"]
        os.kill(pid, signal.SIGKILL)
    with load(url=url, bodies=bodies(12, 1), connections=8, seconds=30, rate=40.0, retry=True) as retried:
        time.sleep(3.0)
        os.kill(http_pid(base_url), signal.SIGKILL)
    say(f"  surrogate killed: {raw['statuses']}; HTTP process killed, with retries: {retried['statuses']}")
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
            "serving_http_killed_with_retries",
            failed(retried),
            "failed requests",
            0,
            failed(retried) == 0,
            f"SIGKILL of the only HTTP process under 40 requests/s, client repeats: {retried['statuses']}, "
            f"{retried['retries']} repetitions, slowest {max(retried['times_s']):.1f} s",
        ),
    ]


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
