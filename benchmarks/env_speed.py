"""Steps per second of the design environment: 256 sub-environments, random actions, all bases with a goal, one thread.

    python benchmarks/env_speed.py [--data auto] [--bundles default,paper] [--serve] [--steps 60]

Measured are the environment itself (a surrogate that answers a constant), the bundles in this process, with `--serve`
the first bundle through Ray Serve, and on synthetic data the labels of an archive. In-process numbers are by CPU time,
because other work on the machine would be measured otherwise; through Serve it is the clock. Bundles are fitted on
first use (minutes) and kept in the store. Prints one JSON list of {name, value, unit, bar, ok, detail}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: one thread is what the bars are about

import numpy as np

from aimat_ray.config import EnvSettings
from aimat_ray.data.goals import BaseGoal, goal_for_base
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.env.alloy_env import AlloyVectorEnv
from aimat_ray.env.task import DesignTask, fixed_goals, make_task
from aimat_ray.env.walk import fresh_walks
from aimat_ray.errors import ProblemError
from aimat_ray.prediction import Prediction, Predictor
from aimat_ray.problem import load_problem
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.search.archive_build import build_archive
from aimat_ray.search.archive_walk import ArchiveLabeler, Targets

N_ENVS = 256
BARS = {"default": 8_000.0, "paper": 2_500.0, "serve": 4_000.0}
BAR_OVERHEAD_MS = 4.0
ROUNDS = 5
Clock = Callable[[], float]


class ConstantPredictor:
    """Answers at once, and the same for every composition: what remains is the environment."""

    version = "constant"

    def predict(self, at_frac: np.ndarray) -> Prediction:
        """Feasible, and too poor for any goal."""
        n = len(at_frac)
        values = np.full((n, len(load_problem().property_keys)), 1e-3)
        nothing = np.zeros(n)
        reason = np.zeros(n, dtype=np.uint8)
        inside = np.ones(n, dtype=bool)
        return Prediction(nothing + 0.9, values, values, values, 0 * values, nothing, inside, reason, self.version)


def entry(name: str, value: float, unit: str, bar: float | None, detail: str, below: bool = False) -> dict[str, Any]:
    """One line of the report."""
    ok = True if bar is None else (value <= bar if below else value >= bar)
    return {"name": name, "value": round(value, 3), "unit": unit, "bar": bar, "ok": bool(ok), "detail": detail}


def all_bases(data: AlloyData, predictor: Predictor) -> DesignTask:
    """Every base that the data support the default goal of, and that the surrogate has feasible starts for."""
    problem = data.problem
    goals = [goal_for_base(problem, data, base) for base in problem.bases if base in data.windows]

    def task_of(known: list[BaseGoal]) -> DesignTask:
        bases = tuple(goal.base for goal in known)
        return make_task(problem, data, bases, fixed_goals(problem, tuple(known)), EnvSettings())

    return task_of([goal for goal in goals if goal is not None and has_starts(task_of([goal]), predictor)])


def has_starts(task: DesignTask, predictor: Predictor) -> bool:
    """Whether feasible starts of the first base are found."""
    try:
        fresh_walks(task, predictor, np.zeros(4, dtype=np.intp), np.random.default_rng(0))
    except ProblemError:
        return False
    return True


def seconds_per_step(task: DesignTask, predictor: Predictor, steps: int, clock: Clock) -> float:
    """Best round of several; resets included."""
    env = AlloyVectorEnv(N_ENVS, task, predictor, max_steps=task.settings.train_max_steps, seed=0)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    shape = env.action_space.shape
    actions = [rng.uniform(-1.0, 1.0, shape).astype(np.float32) for _ in range(steps)]
    env.step(actions[0])
    rounds = []
    for _ in range(ROUNDS):
        start = clock()
        for action in actions:
            env.step(action)
        rounds.append((clock() - start) / steps)
    return min(rounds)


def label_seconds(task: DesignTask, predictor: Predictor) -> float:
    """Archive labels of 256 walks."""
    archive = build_archive(task, predictor, np.random.default_rng(0), budget=600)
    walks = fresh_walks(task, predictor, np.arange(N_ENVS) % len(task.bases), np.random.default_rng(1))
    label = ArchiveLabeler(Targets(archive, task, "robust"))
    label(walks)
    laps = []
    for _ in range(20):
        start = time.process_time()
        label(walks)
        laps.append(time.process_time() - start)
    return min(laps)


def measure(data_spec: str, bundles: list[str], serve: bool, steps: int) -> list[dict[str, Any]]:
    """Measure all that was asked for."""
    data = load_data(data_spec)
    task = all_bases(data, ConstantPredictor())
    detail = f"{N_ENVS} sub-environments, random actions, all bases with a goal, data {data.name}"
    cpu = time.process_time
    overhead = 1e3 * seconds_per_step(task, ConstantPredictor(), steps, cpu)
    report = [entry("env_overhead", overhead, "ms per step of 256", BAR_OVERHEAD_MS, detail, below=True)]
    if data.oracle is not None:
        task = all_bases(data, data.oracle)
        rate = N_ENVS / seconds_per_step(task, data.oracle, steps, cpu)
        report.append(entry("env_oracle", rate, "env steps/s", None, detail))
        milliseconds = 1e3 * label_seconds(task, data.oracle)
        report.append(entry("archive_labels", milliseconds, "ms per 256 walks", None, "robust ranking, all bases"))
    for name in bundles:
        bundle = SurrogateStore().get_or_fit(name, data, data.problem, seed=0)
        rate = N_ENVS / seconds_per_step(all_bases(data, bundle), bundle, steps, cpu)
        report.append(entry(f"env_{name}", rate, "env steps/s", BARS.get(name), f"{detail}, {bundle.version}, local"))
    if serve:
        report.append(through_serve(data, bundles[0], steps, detail))
    return report


def through_serve(data: AlloyData, name: str, steps: int, detail: str) -> dict[str, Any]:
    """The same through the Serve deployment, by the clock."""
    from aimat_ray.registry.channel import Channel
    from aimat_ray.registry.client import SurrogateClient
    from aimat_ray.registry.deployment import start_surrogate_service, stop_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.registry.runtime import ray_running

    store = SurrogateStore()
    bundle = store.get_or_fit(name, data, data.problem, seed=0)
    with ray_running(num_cpus=2):
        hub = SurrogateHub.start(Channel.of(bundle.manifest, run="bench"), store.root)
        hub.publish(bundle.version)
        start_surrogate_service(hub)
        try:
            task = all_bases(data, bundle)
            rate = N_ENVS / seconds_per_step(task, SurrogateClient.serve(), steps, time.perf_counter)
        finally:
            stop_surrogate_service(shutdown=True)
    return entry("env_serve", rate, "env steps/s", BARS["serve"], f"{detail}, {bundle.version}, one replica")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="auto")
    parser.add_argument("--bundles", default="default,paper", help="names with commas; empty for none")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    bundles = [name for name in arguments.bundles.split(",") if name]
    if arguments.serve and not bundles:
        parser.error("--serve needs at least one bundle")
    report = measure(arguments.data, bundles, arguments.serve, arguments.steps)
    print(json.dumps(report, indent=1))
    return 0 if all(item["ok"] for item in report) else 1


if __name__ == "__main__":
    sys.exit(main())
