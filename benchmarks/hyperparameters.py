"""What a search over hyperparameters is worth: TRUE success of the point it finds against that of the default.

Each repeat is `aimat sweep tune_configs/hyperparameters.yaml` at a small budget on a synthetic world, whose truth is
known. The finished sample with the best tuning rate is taken, as the report of a sweep does; then agents with its
settings and with the default ones are trained for the same budget with seeds that the search has not used, and walk
from the same fresh starts. A walk counts that ends truly feasible and truly at the goal and that the surrogate takes
for a success too, as in a run's ledger. The bar holds when the point found does better in two of three repeats, or
when the search can't tell the default from its best sample (tuning rates of the same starts, 95 %).

    python benchmarks/hyperparameters.py [--repeats 3] [--worlds 1 2] [--steps 6000] [--samples 8] [--seeds 2]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _agents import mean_interval, trained_policy, walk_ends, workbench
from _parts import entry, say

from aimat_ray.config import DesignSettings, EvaluationSettings
from aimat_ray.problem import load_problem
from aimat_ray.registry.runtime import full_priority, ray_running
from aimat_ray.report.sweep_facts import SweepRun, gather_sweep
from aimat_ray.rl.methods import test_starts
from aimat_ray.rl.prepare import Workbench
from aimat_ray.rl.statistics import Rate
from aimat_ray.sweep.results import read_sweep
from aimat_ray.sweep.run import run_sweep
from aimat_ray.sweep.settings import SweepSettings, load_sweep
from aimat_ray.sweep.storage import SweepStorage
from aimat_ray.sweep.trial import tuning_rate

DEFAULT = False  # an hour, not minutes
FILE = Path(__file__).parents[1] / "tune_configs" / "hyperparameters.yaml"
WINS_BAR = 2
EVALUATION = EvaluationSettings(episodes=150, seeds=2)  # of the fresh agents
FRESH_SEED = 1_000  # the search has used other ones


def small_sweep(repeat: int, options: argparse.Namespace) -> SweepSettings:
    """The sweep file at a small budget."""
    return load_sweep(
        FILE,
        {
            "seeds": [repeat],
            "design.data": f"oracle:{options.worlds[repeat % len(options.worlds)]}",
            "design.steps": options.steps,
            "design.evaluation": {"episodes": 30, "seeds": 1, "ceiling_episodes": 1},
            "search.samples": options.samples,
            "search.grace_steps": options.steps // 3,
            "tuning_times": 6,
            "max_concurrent": 1,
        },
    )


def best_sample(settings: SweepSettings, folder: Path) -> SweepRun:
    """Search, and take what the report of a sweep puts first."""
    outcome = run_sweep(settings, SweepStorage(str(folder)), lambda line: say(f"    {line}"))
    say(f"  search: {outcome}")
    runs = gather_sweep(read_sweep(folder), load_problem()).runs
    return max((run for run in runs if run.finished), key=lambda run: run.tuning_rate)


def retrained(settings: DesignSettings, seeds: list[int]) -> list[float]:
    """Share of walks that end at a goal that is true and claimed, for one fresh agent per seed."""
    found = []
    for seed in seeds:
        bench = workbench(settings.model_copy(update={"seed": seed, "evaluation": EVALUATION}))
        with trained_policy(bench) as policy:
            found.append(walk_ends(bench, policy, [start for _, start in test_starts(bench)])["claimed_and_true"])
    return found


def tuned_like_a_sample(bench: Workbench, episodes: int) -> float:
    """Tuning rate of the default settings, on the starts that the samples were compared on."""
    with trained_policy(bench) as policy:
        return tuning_rate(bench, policy, episodes)


def one_repeat(repeat: int, options: argparse.Namespace) -> dict[str, Any]:
    """One search, and what its point and the default one reach."""
    sweep = small_sweep(repeat, options)
    with tempfile.TemporaryDirectory() as folder:
        best = best_sample(sweep, Path(folder) / "sweep")
        point = DesignSettings.model_validate(best.facts.files.run["settings"])
        best_rate = best.tuning_rate
    default = sweep.design_for(point.base, repeat)
    episodes = sweep.tuning_episodes
    default_rate = tuned_like_a_sample(workbench(default), episodes)
    seeds = [FRESH_SEED + 10 * repeat + k for k in range(options.seeds)]
    found, usual = retrained(point, seeds), retrained(default, seeds)
    upper = Rate.of(round(default_rate * episodes), episodes).upper
    result = {
        "found": round(float(np.mean(found)), 4),
        "default": round(float(np.mean(usual)), 4),
        "found_better": bool(np.mean(found) > np.mean(usual)),
        "default_is_among_the_best": bool(best_rate <= upper),
        "tuning_rates": {"best_sample": round(best_rate, 3), "default": round(default_rate, 3), "starts": episodes},
        "per_seed": {"found": found, "default": usual},
        "walks_per_seed": EVALUATION.episodes * EVALUATION.seeds,
        "point": {key: point_value(point, key) for key in sweep.search.space},
    }
    say(f"  repeat {repeat}: {result}")
    return result


def point_value(settings: DesignSettings, key: str) -> Any:
    """A setting by its dotted key."""
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def main() -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    full_priority()
    with ray_running(num_cpus=1):
        repeats = [one_repeat(k, options) for k in range(options.repeats)]
    wins = sum(repeat["found_better"] for repeat in repeats)
    same = sum(repeat["default_is_among_the_best"] for repeat in repeats)
    differences = [repeat["found"] - repeat["default"] for repeat in repeats]
    detail = {
        "steps": options.steps,
        "samples": options.samples,
        "fresh_seeds": options.seeds,
        "difference": mean_interval(differences, lowest=-1.0),
        "default_among_the_best": f"{same} of {len(repeats)}",
        "repeats": repeats,
    }
    ok = wins >= WINS_BAR or same >= WINS_BAR
    return [entry("hyperparameters_true_success", wins, f"wins of {len(repeats)}", WINS_BAR, ok, detail)]


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
