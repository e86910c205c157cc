"""Env steps per second of training with the default recipe on one core, all costs in.

Counted: filling the archive, the trusted pool, sampling, surrogate, labels, updates, RLlib, metrics and checkpoints, in
this process and in Ray's own. Not counted: fitting the surrogates (once per data set) and the evaluation. The value is
steps per second of CPU time, so that other work on the machine does not count; the clock's rate is in the detail.

    python benchmarks/training_speed.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import tempfile
import time
from pathlib import Path

from _parts import cpu_seconds, data_spec, entry, process_tree, say

BAR = 1_000.0
STEPS = 20_000


def main() -> list[dict]:
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})  # Ray's processes inherit it

    from aimat_ray.config import DesignSettings
    from aimat_ray.registry.runtime import ray_running
    from aimat_ray.rl.algorithm import build_algorithm
    from aimat_ray.rl.labels import make_labeler, search_archive
    from aimat_ray.rl.prepare import prepare, read_inputs
    from aimat_ray.rl.run_dir import RunDirectory
    from aimat_ray.rl.train import train_agent

    settings = DesignSettings(data=data_spec(), steps=STEPS)
    marks = []

    def mark() -> None:
        marks.append((time.monotonic(), cpu_seconds(process_tree(os.getpid())), time.process_time()))

    with tempfile.TemporaryDirectory() as folder, ray_running(num_cpus=1):
        bench = prepare(read_inputs(settings, say), say)
        mark()
        archive = search_archive(bench, say)
        algorithm = build_algorithm(bench, make_labeler(bench, archive))
        mark()
        train = train_agent(algorithm, bench, RunDirectory(Path(folder)), say, resume=False)
        mark()
        algorithm.stop()
    (wall_0, cpu_0, own_0), (wall_1, cpu_1, _), (wall_2, cpu_2, own_2) = marks
    steps = train["env_steps"]
    value = steps / (cpu_2 - cpu_0)
    detail = {
        "data": bench.data.name,
        "steps_per_s_by_the_clock": round(steps / (wall_2 - wall_0), 1),
        "training_alone_steps_per_cpu_s": round(steps / (cpu_2 - cpu_1), 1),
        "training_alone_steps_per_s_by_the_clock": round(steps / (wall_2 - wall_1), 1),
        "archive_and_pool_cpu_s": round(cpu_1 - cpu_0, 1),
        "cpu_s": round(cpu_2 - cpu_0, 1),
        "cpu_s_of_rays_own_processes": round(cpu_2 - cpu_0 - (own_2 - own_0), 1),
        "updates": train["updates"],
        "cores": 1,
    }
    return [entry("training_steps_per_cpu_s", value, "env steps/s", BAR, value >= BAR, detail)]


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
