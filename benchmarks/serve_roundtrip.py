"""What a batch costs through Ray Serve: round trip by batch size, share of the transport, time of a swap.

    python benchmarks/serve_roundtrip.py [--data oracle] [--bundle default|paper|linear] [--calls 60]

Prints one JSON list of {name, value, unit, bar, ok, detail}. `linear` is the registry's small fake: it shows the
transport alone. Other bundles are fitted on first use (minutes) and kept in the store (AIMAT_STORE).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: as in a replica

import numpy as np

from aimat_ray.problem import load_problem
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.registry.store import SurrogateStore, load_bundle
from aimat_ray.surrogate.base import ARRAY_FIELDS

SIZES = (1, 64, 256, 1024)
VECTOR = 256  # sub-environments of the bar
BAR_MS = 50.0
BAR_STEPS_PER_S = 4000.0


def entry(name: str, value: float, unit: str, bar: float | None, ok: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "bar": bar, "ok": ok, "detail": detail}


def realistic_rows(n: int, n_elements: int, seed: int = 0) -> np.ndarray:
    """Alloys of 3 to 7 elements, [n, E]."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((n, n_elements))
    for row in rows:
        present = generator.choice(n_elements, generator.integers(3, 8), replace=False)
        row[present] = generator.dirichlet(np.ones(len(present)))
    return rows


def times_ms(predictor: Any, at_frac: np.ndarray, calls: int) -> np.ndarray:
    predictor.predict(at_frac)
    laps = np.empty(calls)
    for i in range(calls):
        start = time.perf_counter()
        predictor.predict(at_frac)
        laps[i] = 1e3 * (time.perf_counter() - start)
    return laps


def round_trips(client: SurrogateClient, bundle: Any, calls: int) -> list[dict[str, Any]]:
    report = []
    for size in SIZES:
        at_frac = realistic_rows(size, len(bundle.elements))
        remote, local = times_ms(client, at_frac, calls), times_ms(bundle, at_frac, calls)
        p50, p95, inside = np.median(remote), np.quantile(remote, 0.95), np.median(local)
        bar = BAR_MS if size == VECTOR else None
        detail = f"p95 {p95:.1f} ms; in this process {inside:.1f} ms; {calls} calls, surrogate {bundle.version}"
        ok = bar is None or bool(p50 <= bar)
        report.append(entry(f"serve_round_trip_{size}", float(p50), "ms p50", bar, ok, detail))
        if size == VECTOR:
            rate = 1e3 * VECTOR / float(p50)
            report.append(entry("serve_rows_256", rate, "rows/s", None, True, "one caller"))
    return report


def equality(client: SurrogateClient, bundle: Any) -> dict[str, Any]:
    """Largest difference between the two transports over all arrays and sizes."""
    worst = 0.0
    for size in (1, 3, 100, 256, 777):
        at_frac = realistic_rows(size, len(bundle.elements), seed=size)
        remote, local = client.predict(at_frac), bundle.predict(at_frac)
        for name in ARRAY_FIELDS:
            difference = np.abs(getattr(remote, name).astype(float) - getattr(local, name).astype(float))
            worst = max(worst, float(np.nan_to_num(difference, posinf=0.0).max()))
    return entry("serve_equals_local", worst, "max difference", 0.0, worst == 0.0, "batches of 1 to 777")


def swap(client: SurrogateClient, hub: Any, back: str, other: str) -> dict[str, Any]:
    """Time from a publication to the first reply of the new version, while asking without a pause."""
    at_frac = realistic_rows(16, len(load_problem().elements))
    hub.publish(back)
    while client.predict(at_frac).version != back:
        time.sleep(0.01)
    start, worst = time.perf_counter(), 0.0
    hub.publish(other)
    version = back
    while version != other:
        lap = time.perf_counter()
        version = client.predict(at_frac).version
        worst = max(worst, time.perf_counter() - lap)
    seconds = time.perf_counter() - start
    detail = f"slowest reply meanwhile {1e3 * worst:.0f} ms; replicas ask every 0.5 s"
    return entry("serve_swap", seconds, "s", None, True, detail)


def env_steps(client: SurrogateClient, data: Any, n_steps: int) -> dict[str, Any]:
    """Steps per second of the design environment on base Zr with the surrogate behind Serve."""
    from aimat_ray.config import EnvSettings
    from aimat_ray.data.goals import goal_for_base
    from aimat_ray.env.alloy_env import AlloyVectorEnv
    from aimat_ray.env.task import fixed_goals, make_task

    problem = load_problem()
    goal = goal_for_base(problem, data, "Zr")
    if goal is None:
        raise SystemExit("this data set has no goal for base Zr")
    task = make_task(problem, data, ("Zr",), fixed_goals(problem, (goal,)), EnvSettings())
    env = AlloyVectorEnv(VECTOR, task, client, seed=0)
    env.reset(seed=0)
    generator = np.random.default_rng(0)
    shape = env.action_space.shape
    env.step(generator.uniform(-1, 1, shape))
    start = time.perf_counter()
    for _ in range(n_steps):
        env.step(generator.uniform(-1, 1, shape))
    rate = n_steps * VECTOR / (time.perf_counter() - start)
    detail = f"{VECTOR} sub-environments, {n_steps} vector steps, random actions, base Zr"
    return entry("env_through_serve", rate, "env steps/s", BAR_STEPS_PER_S, rate >= BAR_STEPS_PER_S, detail)


def renamed(bundle: Any) -> Any:
    """The same models under another version, to swap to."""
    manifest = bundle.manifest.model_copy(update={"version": "", "data_name": "swap"})
    return type(bundle)(bundle._parts, manifest)


def measure(bundle_name: str, data_spec: str, calls: int, root: Path) -> list[dict[str, Any]]:
    from aimat_ray.registry.deployment import ServiceOptions, start_surrogate_service, stop_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.registry.runtime import ray_running

    data: Any = None
    if bundle_name == "linear":
        load: Any = LinearBundle.load
        bundle: Any = LinearBundle.random(0)
        others = [LinearBundle.random(1)]
    else:
        from aimat_ray.data.sources import load_data

        load, data = load_bundle, load_data(data_spec)
        bundle = SurrogateStore().get_or_fit(bundle_name, data, load_problem(), seed=0)
        others = [renamed(bundle)]
    store = SurrogateStore(root, load)
    for stored in [bundle, *others]:
        store.put(stored)
    with ray_running(num_cpus=2):
        hub = SurrogateHub.start(Channel.of(bundle.manifest), root, loader=load)
        hub.publish(bundle.version)
        start = time.perf_counter()
        start_surrogate_service(hub, ServiceOptions(poll_s=0.5))
        report = [entry("serve_start", time.perf_counter() - start, "s", None, True, "one replica, no proxy")]
        client = SurrogateClient.serve()
        report += [*round_trips(client, bundle, calls), equality(client, bundle)]
        if data is not None:
            report.append(env_steps(client, data, calls))
        report += [swap(client, hub, bundle.version, other.version) for other in others]
        stop_surrogate_service(shutdown=True)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="oracle")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--calls", type=int, default=60)
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        report = measure(choice.bundle, choice.data, choice.calls, Path(root))
    print(json.dumps(report, indent=1))
    return 0 if all(item["ok"] for item in report) else 1


if __name__ == "__main__":
    sys.exit(main())
