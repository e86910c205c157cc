"""What one call of each shared part of a cluster costs in CPU: hub, Serve router and replica, Tune, storage.

    python benchmarks/cluster_costs.py

CPU time of the processes, read before and after many calls, so that other programs on the machine hardly matter. The
plan for 100 and 1,000 nodes in sweep/scale-design.md is made of these numbers.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _parts import cpu_seconds, data_spec, entry, process_tree, say
from serve_roundtrip import realistic_rows

from aimat_ray.data.sources import load_data
from aimat_ray.problem import DesignProblem, load_problem
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.runtime import ray_running
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.sweep.plan import SweepPlan, make_plan
from aimat_ray.sweep.settings import SweepSettings
from aimat_ray.sweep.storage import SweepStorage

DEFAULT = False  # prices for a plan, no bars
N_HUB_CALLS, N_SERVE_CALLS, VECTOR = 400, 150, 128
N_TRIALS, FEW_REPORTS, MANY_REPORTS = 6, 1, 101


def processes(words: str) -> list[int]:
    """This process's descendants whose command line begins with some words."""
    found = []
    for pid in process_tree(os.getpid()):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(words.encode()):
                found.append(pid)
        except OSError:
            continue  # it ended meanwhile
    return found


def cost(call: Callable[[], Any], n_calls: int, words: str) -> dict[str, float]:
    """Milliseconds that a call takes (median), and CPU of caller and of the processes that answer."""
    call()
    servants = processes(words)
    laps, mine, theirs = [], time.process_time(), cpu_seconds(servants)
    for _ in range(n_calls):
        began = time.perf_counter()
        call()
        laps.append(time.perf_counter() - began)
    return {
        "wall_ms": round(1e3 * float(np.median(laps)), 2),
        "caller_cpu_ms": round(1e3 * (time.process_time() - mine) / n_calls, 2),
        "servant_cpu_ms": round(1e3 * (cpu_seconds(servants) - theirs) / n_calls, 2),
    }


def hub_and_serve(problem: DesignProblem, root: Path) -> list[dict[str, Any]]:
    from aimat_ray.registry.deployment import ServiceOptions, start_surrogate_service, stop_surrogate_service

    data = load_data(data_spec(), problem)
    bundle = SurrogateStore().get_or_fit("default", data, problem, seed=0)
    store = SurrogateStore(root)
    store.put(bundle)
    hub = SurrogateHub.start(Channel("default", problem.name, data.checksum), root)
    hub.publish(bundle.version)
    start_surrogate_service(hub, ServiceOptions(poll_s=60.0))
    try:
        say("  hub")
        asked = cost(hub.current, N_HUB_CALLS, "ray::HubActor")
        say("  Serve")
        rows = realistic_rows(VECTOR, len(bundle.elements))
        client = SurrogateClient.serve()
        predicted = cost(lambda: client.predict(rows), N_SERVE_CALLS, "ray::ServeReplica")
    finally:
        stop_surrogate_service(shutdown=True)
        hub.stop()
    size = sum(path.stat().st_size for path in store.path(bundle.version).rglob("*") if path.is_file())
    local = cost(lambda: bundle.predict(rows), N_SERVE_CALLS, "none")
    detail = (
        f"{VECTOR} rows a call; in process {local['caller_cpu_ms']} ms of CPU; surrogate on disk {size / 1e6:.1f} MB"
    )
    per_core = 1e3 / max(asked["servant_cpu_ms"], 1e-3)
    return [
        entry("cluster_hub_calls", round(per_core), "calls/s and core of the hub", None, True, asked),
        entry("cluster_serve_replica", predicted["servant_cpu_ms"], "ms of CPU a call", None, True, detail),
        entry("cluster_serve_router", predicted["caller_cpu_ms"], "ms of CPU a call", None, True, predicted),
    ]


def reporting(config: dict[str, Any], plan: Any, storage: Any, reports: int) -> None:
    """A run that does nothing but report."""
    from ray import tune

    for step in range(reports):
        last = {"done": True, "finished": True} if step == reports - 1 else {}
        numbers = {f"metric_{k}": float(step) for k in range(20)}  # a training row has as many
        tune.report(numbers | {"run": "nothing", "env_steps": step, "trial_seconds": 0.0} | last)


def driver_cpu(plan: SweepPlan, reports: int) -> float:
    """CPU seconds of the driver of a sweep whose runs only report."""
    from functools import partial

    from aimat_ray.sweep.run import tune_runs

    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        trial = partial(reporting, reports=reports)
        outcome = tune_runs(plan, SweepStorage(folder), lambda line: None, False, trial)
        assert outcome["finished"] == len(plan.cases), outcome
        return time.process_time() - began


def tune(problem: DesignProblem) -> list[dict[str, Any]]:
    settings = {"bases": ["Zr"], "seeds": list(range(N_TRIALS)), "design": {"data": "oracle"}}
    plan = make_plan(SweepSettings.model_validate(settings), problem, load_data("oracle", problem))
    say("  Tune")
    few, many = (driver_cpu(plan, reports) for reports in (FEW_REPORTS, MANY_REPORTS))
    per_report = (many - few) / (N_TRIALS * (MANY_REPORTS - FEW_REPORTS))
    detail = {"driver_cpu_s": {str(FEW_REPORTS): round(few, 2), str(MANY_REPORTS): round(many, 2)}, "runs": N_TRIALS}
    return [
        entry("cluster_tune_report", 1e3 * per_report, "ms of driver CPU", None, True, detail),
        entry("cluster_tune_run", few / N_TRIALS, "s of driver CPU", None, True, "start to end, one report"),
    ]


def storage(problem: DesignProblem) -> list[dict[str, Any]]:
    """What a run of the default budget writes."""
    from _agents import quiet, workbench

    from aimat_ray.config import load_settings
    from aimat_ray.rl.algorithm import build_algorithm
    from aimat_ray.rl.labels import make_labeler, search_archive
    from aimat_ray.rl.run_dir import RunDirectory
    from aimat_ray.rl.train import CHECKPOINTS_PER_RUN, train_agent

    say("  storage")
    bench = workbench(load_settings(None, {"data": data_spec(), "steps": 4_000}))
    algorithm = build_algorithm(bench, make_labeler(bench, search_archive(bench, quiet)))
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = RunDirectory(Path(folder) / "run")
            train_agent(algorithm, bench, run, quiet)
            checkpoint = run.last_checkpoint()
            assert checkpoint is not None
            sizes = [path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()]
            began = time.process_time()
            algorithm.save_to_path(str(Path(folder) / "again"))
            seconds = time.process_time() - began
    finally:
        algorithm.stop()
    detail = {"files": len(sizes), "env_steps": 4_000, "checkpoints_per_run": CHECKPOINTS_PER_RUN}
    return [
        entry("cluster_checkpoint_size", sum(sizes) / 1e6, "MB", None, True, detail),
        entry("cluster_checkpoint_cpu", seconds, "s of CPU", None, True, "writing one"),
    ]


def main() -> list[dict[str, Any]]:
    problem = load_problem()
    with ray_running(num_cpus=2), tempfile.TemporaryDirectory() as root:
        return [*hub_and_serve(problem, Path(root)), *tune(problem), *storage(problem)]


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
