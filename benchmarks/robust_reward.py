"""True success on OracleWorld of agents trained for the same budget with three rewards: paper, progress, robust.

Every world has its own tables and surrogate; seeds take the worlds in turn. Agents of a seed differ in their reward
only; nothing else teaches them (no labels, no trusted pool). An episode delivers the composition where its walk ends,
and counts where that is truly feasible and truly at the goal, whatever the surrogate believes; `claimed_and_true`
counts only what the surrogate takes for a success too, as a run's ledger does.

World 0 is left out: `env.reward.caution` was chosen there.

    python benchmarks/robust_reward.py [--seeds 5] [--worlds 1 2] [--steps 10000] [--base Zr]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from typing import Any

import numpy as np
from _agents import mean_interval, trained_policy, walk_ends, workbench
from _parts import entry, say

from aimat_ray.config import DesignSettings, load_settings
from aimat_ray.registry.runtime import ray_running
from aimat_ray.rl.methods import test_starts

DEFAULT = False  # an hour, not minutes
BAR = 2.0
REWARDS: dict[str, dict[str, Any]] = {
    "paper": {"env.reward.kind": "paper"},
    "progress": {"env.reward.kind": "progress"},
    "robust": {"env.reward.kind": "progress", "env.reward.robust": True},
}
_PLAIN = {"agent.labels": "none", "agent.offline_mode": "none", "agent.updates_per_step": 0.25}


def settings_of(reward: str, seed: int, options: argparse.Namespace) -> DesignSettings:
    world = options.worlds[seed % len(options.worlds)]
    about = {"data": f"oracle:{world}", "seed": seed, "base": options.base, "steps": options.steps}
    return load_settings(None, about | _PLAIN | REWARDS[reward])


def ratio_interval(above: list[float], below: list[float]) -> tuple[float, float, float]:
    """Ratio of the means and its 95 % interval over bootstrap samples of seeds (pairs stay together)."""
    a, b = np.array(above), np.array(below)
    draws = np.random.default_rng(0).integers(len(a), size=(4000, len(a)))
    ratios = a[draws].mean(axis=1) / np.maximum(b[draws].mean(axis=1), 1e-3)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(a.mean() / max(b.mean(), 1e-3)), float(low), float(high)


def main() -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--base", default="Zr")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {reward: [] for reward in REWARDS}
    with ray_running(num_cpus=2):
        for seed in range(options.seeds):
            starts = [start for _, start in test_starts(workbench(settings_of("progress", seed, options)))]
            for reward in REWARDS:
                bench = workbench(settings_of(reward, seed, options))
                with trained_policy(bench) as policy:
                    found[reward].append(walk_ends(bench, policy, starts))
                say(f"seed {seed}, {reward}: {found[reward][-1]}")
    true = {reward: [result["true"] for result in results] for reward, results in found.items()}
    ratio, low, high = ratio_interval(true["robust"], true["paper"])
    detail = {
        "steps": options.steps,
        "worlds": options.worlds,
        "base": options.base,
        "ratio_interval": [round(low, 2), round(high, 2)],
        "true_success": {reward: mean_interval(values) for reward, values in true.items()},
        "claimed_and_true": {
            reward: mean_interval([result["claimed_and_true"] for result in results])
            for reward, results in found.items()
        },
        "per_seed": {reward: [{k: round(v, 3) for k, v in r.items()} for r in found[reward]] for reward in found},
    }
    return [entry("robust_reward_true_success", ratio, "x the paper's reward", BAR, ratio >= BAR, detail)]


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
