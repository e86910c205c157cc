"""What Ray Tune adds to a run, and what a second remote runner is worth.

    python benchmarks/sweep_overhead.py

Overhead: a sweep of 12 runs that do nothing, on two cores: seconds per run, by the clock. It is measured with the
plan, resources, callbacks and state files of `aimat sweep`; only the run itself is replaced. Runners: env steps per
second of sampling with one and with two remote runners, same surrogate, no updates. Other work on the machine counts
in both: repeated, and the best is taken.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import sys
import tempfile
import time
from typing import Any

from _parts import data_spec, entry, say

OVERHEAD_BAR_S = 2.5
RUNNERS_BAR = 1.7
N_RUNS = 12
ROUNDS = 3
SAMPLED_STEPS = 16_384


def nothing(config: dict[str, Any], plan: Any, storage: Any) -> None:
    """The run that is taken out: it reports as a finished run does."""
    from ray import tune

    tune.report({"finished": True, "run": "nothing", "env_steps": 1, "trial_seconds": 0.0, "done": True})


def overhead() -> dict[str, Any]:
    from aimat_ray.data.sources import load_data
    from aimat_ray.problem import load_problem
    from aimat_ray.registry.runtime import ray_running
    from aimat_ray.sweep.plan import make_plan
    from aimat_ray.sweep.run import tune_runs
    from aimat_ray.sweep.settings import SweepSettings
    from aimat_ray.sweep.storage import SweepStorage

    settings = SweepSettings.model_validate(
        {"bases": ["Zr"], "seeds": list(range(N_RUNS)), "design": {"data": "oracle"}}
    )
    problem = load_problem()
    plan = make_plan(settings, problem, load_data("oracle", problem))
    seconds = []
    with ray_running(num_cpus=2):
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                outcome = tune_runs(plan, SweepStorage(folder), lambda line: None, False, nothing)
                seconds.append((time.monotonic() - began) / N_RUNS)
                assert outcome["finished"] == N_RUNS, outcome
            say(f"  {seconds[-1]:.2f} s per run")
    detail = {"runs": N_RUNS, "seconds_per_run": [round(value, 2) for value in seconds], "cores": 2}
    best = min(seconds)
    return entry("sweep_overhead", best, "s per run", OVERHEAD_BAR_S, best <= OVERHEAD_BAR_S, detail)


def runners() -> dict[str, Any]:
    from aimat_ray.config import load_settings
    from aimat_ray.registry.runtime import ray_running
    from aimat_ray.rl.algorithm import build_algorithm
    from aimat_ray.rl.labels import make_labeler, search_archive
    from aimat_ray.rl.prepare import prepare, read_inputs

    rates: dict[int, list[float]] = {1: [], 2: []}
    with ray_running(num_cpus=3):  # two for the runners; this process only waits for them
        for _ in range(ROUNDS):
            for n, found in rates.items():
                settings = load_settings(None, {"data": data_spec(), "runners": n})
                bench = prepare(read_inputs(settings, lambda line: None), lambda line: None)
                archive = search_archive(bench, lambda line: None)
                algorithm = build_algorithm(bench, make_labeler(bench, archive))
                try:
                    found.append(sampling_rate(algorithm))
                finally:
                    algorithm.stop()
                say(f"  {n} runners: {found[-1]:.0f} env steps/s")
    ratio = max(rates[2]) / max(rates[1])
    detail = {
        "env_steps_per_s": {str(n): [round(rate) for rate in found] for n, found in rates.items()},
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
    }
    return entry("sweep_second_runner", ratio, "x one runner", RUNNERS_BAR, ratio >= RUNNERS_BAR, detail)


def sampling_rate(algorithm: Any) -> float:
    """Env steps per second of the remote runners, by the clock, after one round of warming up."""
    from ray.rllib.execution.rollout_ops import synchronous_parallel_sample

    def sample(steps: int) -> int:
        taken = 0
        while taken < steps:
            rollouts = synchronous_parallel_sample(
                worker_set=algorithm.env_runner_group, concat=True, _uses_new_env_runners=True
            )
            taken += sum(len(rollout) for rollout in rollouts)
        return taken

    sample(1_024)
    began = time.monotonic()
    return sample(SAMPLED_STEPS) / (time.monotonic() - began)


def main() -> int:
    print(json.dumps([overhead(), runners()], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
