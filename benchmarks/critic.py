"""What the critic adds: effect critic, critic of the raw action, and none, all with the same labels; several seeds.

One policy for a few bases with their own goals. All three imitate lookahead labels (moves scored by the distilled
surrogate), because without a critic nothing else would teach; seeds, starts and updates are the same. Differences are
paired by seed.

    python benchmarks/critic.py [--seeds 5] [--steps 12000] [--bases Zr,Cu,Fe,Mg,La] [--data DIR] [--set KEY=VALUE]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from typing import Any

import numpy as np
from _agents import mean_interval, quiet, trained_policy
from _parts import data_spec, entry, say

from aimat_ray.cli.console import read_assignments
from aimat_ray.config import load_settings
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.registry.runtime import ray_running
from aimat_ray.rl.methods import test_starts
from aimat_ray.rl.prepare import prepare, read_inputs

DEFAULT = False  # about a minute per run
CRITICS = ("effect", "raw", "none")
SETTINGS: dict[str, Any] = {
    "agent.labels": "lookahead",
    "agent.updates_per_step": 0.125,
    "evaluation.episodes": 200,
    "evaluation.seeds": 1,
}


def rate(settings: Any) -> float:
    """Strict rate of a freshly trained policy, deterministic, from fresh starts."""
    bench = prepare(read_inputs(settings, quiet), quiet)
    ((stream, start),) = test_starts(bench)
    with trained_policy(bench) as policy:
        walked = run_episodes(
            bench.task, CountingPredictor(bench.predictor), start, policy, np.random.default_rng(stream)
        )
    return float(walked.goal.mean())


def main() -> list[dict[str, Any]]:
    """One entry per rival of the effect critic."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--bases", default="Zr,Cu,Fe,Mg,La")
    parser.add_argument("--data", default=data_spec())
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    about = {"data": options.data, "base": options.bases, "steps": options.steps}
    about |= SETTINGS | read_assignments(options.set, "agent.labels=archive")
    found: dict[str, list[float]] = {critic: [] for critic in CRITICS}
    with ray_running(num_cpus=1):
        for seed in range(options.seeds):
            for critic in CRITICS:
                found[critic].append(rate(load_settings(None, about | {"seed": seed, "agent.critic": critic})))
                say(f"seed {seed}, {critic}: {found[critic][-1]:.3f}")
    rates = {critic: mean_interval(values) for critic, values in found.items()}
    detail = {"strict_rate": rates, "per_seed": found, "settings": {k: v for k, v in about.items() if k != "data"}}
    return [
        entry(
            f"critic_effect_above_{rival}",
            float(np.mean(found["effect"]) - np.mean(found[rival])),
            "strict rate",
            None,
            None,
            {"paired": mean_interval(list(np.subtract(found["effect"], found[rival])), lowest=-1.0)} | detail,
        )
        for rival in CRITICS[1:]
    ]


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
