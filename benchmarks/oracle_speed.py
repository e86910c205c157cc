"""Compositions per second of the synthetic world's truth and of the descriptors, one thread.

Best of many short rounds, by thread CPU time, because other work on the machine would be measured otherwise.

    OMP_NUM_THREADS=1 python benchmarks/oracle_speed.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from aimat_ray.data.synthetic import OracleWorld
from aimat_ray.descriptors import Descriptors

ROUNDS = 200


def best_seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Shortest CPU time of one call."""
    work()
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


def entry(name: str, value: float, unit: str, bar: float, detail: str, below: bool = False) -> dict[str, Any]:
    """One line of the report."""
    ok = value <= bar if below else value >= bar
    return {"name": name, "value": value, "unit": unit, "bar": bar, "ok": bool(ok), "detail": detail}


def measure() -> list[dict[str, Any]]:
    """Measure all claims."""
    world = OracleWorld(0)
    regression, classification = world.sample_tables(0)
    alloys = np.ascontiguousarray(classification.at_frac)
    descriptors = Descriptors(world.problem.elements)
    truth = {n: n / best_seconds(lambda n=n: world.truth(alloys[:n])) for n in (1024, 4096)}  # type: ignore[misc]
    rate = 1024 / best_seconds(lambda: descriptors.transform(alloys[:1024]))
    sampling = best_seconds(lambda: OracleWorld(0).sample_tables(0), rounds=3)
    detail = f"{len(descriptors.names)} descriptors"
    rows = f"{len(regression)} + {len(classification)} rows"
    return [
        entry("oracle_truths_4096", truth[4096], "compositions/s", 1e6, "batch 4096, one thread"),
        entry("oracle_truths_1024", truth[1024], "compositions/s", 1e6, "batch 1024, one thread"),
        entry("descriptors_1024", rate, "compositions/s", 3e5, f"{detail}, batch 1024, one thread"),
        entry("oracle_sampling", sampling, "s", 3.0, rows, below=True),
    ]


def main() -> int:
    report = measure()
    print(json.dumps(report, indent=1))
    return 0 if all(item["ok"] for item in report) else 1


if __name__ == "__main__":
    sys.exit(main())
