"""How many compositions a second each named bundle predicts on one core, intervals and domain included.

Compositions are measured alloys moved by a few at%, which is what a design run asks about. Time is CPU time of this
thread: the median of many calls, so that neighbours on a shared machine do not count. Prints a JSON list.
"""

from __future__ import annotations

import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core; read when the numeric libraries load

import numpy as np
from _parts import data_spec, entry, say

from aimat_ray.data.sources import load_data
from aimat_ray.problem import load_problem
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.surrogate.bundle import SurrogateBundle
from aimat_ray.surrogate.table import predict_rows

BARS: dict[str, dict[int, int | None]] = {
    "default": {1: None, 64: 9_000, 256: 12_000, 1024: 20_000},
    "paper": {64: None, 256: 2_500, 1024: None},
    "judge": {64: None, 1024: None},
}
N_ROWS = 1024
SECONDS = 3.0
MOVE = 0.03


def main() -> None:
    problem = load_problem()
    data = load_data(data_spec(), problem)
    rows = _near(data.regression.at_frac)
    results = []
    for name, bars in BARS.items():
        say(f"surrogate {name} on {data.name}")
        bundle = SurrogateStore().get_or_fit(name, data, problem, seed=0)
        for batch, bar in bars.items():
            rate, calls = _rate(bundle, rows[:batch])
            ok = None if bar is None else rate >= bar
            detail = {"bundle": bundle.version, "batch": batch, "calls": calls, "data": data.name}
            results.append(entry(f"surrogate.{name}.batch_{batch}", rate, "compositions/s", bar, ok, detail))
    bundle = SurrogateStore().get_or_fit("default", data, problem, seed=0)
    formulas = [{"formula": text} for text in data.regression.formula[:1000]]
    start = time.thread_time()
    n = sum(1 for _ in predict_rows(bundle, formulas, problem))
    rate = n / (time.thread_time() - start)
    results.append(entry("surrogate.predict_file", rate, "rows/s", None, None, {"rows": n, "per_100000_s": 1e5 / rate}))
    print(json.dumps(results, indent=1))


def _near(at_frac: np.ndarray) -> np.ndarray:
    """Measured alloys with their fractions moved a little, [N_ROWS, E]."""
    rng = np.random.default_rng(0)
    rows = at_frac[rng.integers(len(at_frac), size=N_ROWS)]
    moved = np.maximum(rows + (rows > 0) * rng.normal(0.0, MOVE, rows.shape), 0.0)
    return moved / moved.sum(axis=1, keepdims=True)


def _rate(bundle: SurrogateBundle, rows: np.ndarray) -> tuple[float, int]:
    """Rows per second of CPU time (median call), and how many calls were timed."""
    for _ in range(3):
        bundle.predict(rows)
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 10:
        start = time.thread_time()
        bundle.predict(rows)
        times.append(time.thread_time() - start)
    return len(rows) / float(np.median(times)), len(times)


if __name__ == "__main__":
    main()
