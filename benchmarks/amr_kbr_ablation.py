"""What AMR and KBR change in the end at equal budget: true success on OracleWorld, confirmed success on real data.

Agents of a seed differ in nothing but the loop: without it, with AMR (statistical adviser), with KBR (rules), with
both. A walk counts on OracleWorld where it claims its goal and truth agrees, whatever version of the surrogate it
walked with; on the measured table (--data DIR) where it claims its goal and the independent judge agrees. No bar: what
is, is told.

    python benchmarks/amr_kbr_ablation.py [--data oracle] [--seeds 5] [--steps 10000] [--base Zr] [--loops without amr]
    python benchmarks/amr_kbr_ablation.py --data planted    # the world of amr_blind_spot.py, where AMR has work to do
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
from _parts import entry, say
from _planted import BASE, PROPERTY, bench_of, goal_k, lean_bundle, planted_data
from scipy import stats

from aimat_ray.config import DesignSettings, load_settings
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.refine.session import companion_for
from aimat_ray.registry.runtime import ray_running
from aimat_ray.rl.algorithm import build_algorithm
from aimat_ray.rl.labels import make_labeler, search_archive
from aimat_ray.rl.ledger import confirmed_by, true_successes
from aimat_ray.rl.methods import test_starts
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.prepare import Workbench, prepare, read_inputs
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.train import train_agent

DEFAULT = False  # minutes per agent
# Training waits for verdicts: how far it gets meanwhile must not depend on the machine.
LOOPS: dict[str, dict[str, Any]] = {
    "without": {},
    "amr": {"refine.adviser": "statistical", "refine.wait": True},
    "kbr": {"knowledge.scorer": "rules"},
    "amr+kbr": {"refine.adviser": "statistical", "refine.wait": True, "knowledge.scorer": "rules"},
}


def quiet(line: str) -> None:
    """Say nothing."""


def workbench(settings: DesignSettings, planted: bool) -> Workbench:
    """What a run works with; with `planted`, a surrogate that can't see the law behind the goal."""
    if not planted:
        return prepare(read_inputs(settings, quiet), quiet)
    data = planted_data()
    return bench_of(data, lean_bundle(data, say), settings)


def measure(settings: DesignSettings, planted: bool = False) -> dict[str, float]:
    """Train one agent and count where its walks end."""
    companion = companion_for(settings, quiet)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = RunDirectory(Path(folder) / "run")
            bench = companion.join(workbench(settings, planted), run, resume=False)
            before = bench.predictor.version
            archive = search_archive(bench, quiet)
            algorithm = build_algorithm(bench, make_labeler(bench, archive))
            try:
                train_agent(algorithm, bench, run, quiet, companion=companion, archive=archive)
                bench, archive = companion.finish(bench, archive)
                return counted(bench, Policy(bench.task, algorithm.actor()), before)
            finally:
                algorithm.stop()
    finally:
        companion.close()


def counted(bench: Workbench, policy: Policy, before: str) -> dict[str, float]:
    """Rates over the test starts, with the surrogate that the run ended with."""
    claimed, agreed = [], []
    for _, start in test_starts(bench):
        rng = np.random.default_rng(bench.settings.seed)
        walks = run_episodes(bench.task, CountingPredictor(bench.predictor), start, policy, rng)
        truth = true_successes(bench, walks.final)
        second = confirmed_by(bench.task, bench.judge, walks.final) if truth is None else truth
        claimed.append(walks.goal)
        agreed.append(walks.goal & second)
    return {
        "success": float(np.concatenate(agreed).mean()),
        "claimed": float(np.concatenate(claimed).mean()),
        "swapped": float(bench.predictor.version != before),
    }


def difference(loop: list[float], without: list[float]) -> str:
    """Mean paired difference and its 95 % interval (Student's t over seeds)."""
    pairs = np.array(loop) - np.array(without)
    half = float(stats.t.ppf(0.975, len(pairs) - 1) * stats.sem(pairs)) if len(pairs) > 1 else float("nan")
    return f"{pairs.mean():+.3f} [{pairs.mean() - half:+.3f}, {pairs.mean() + half:+.3f}]"


def main() -> list[dict[str, Any]]:
    """Measure all loops and seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="oracle", help="oracle (a world per seed), planted, or a table's folder")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--base", default="Zr")
    parser.add_argument("--worlds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--loops", nargs="+", choices=tuple(LOOPS), default=list(LOOPS))
    options = parser.parse_args()
    planted = options.data == "planted"
    found: dict[str, list[dict[str, float]]] = {loop: [] for loop in options.loops}
    with ray_running(num_cpus=2):
        for seed in range(options.seeds):
            world = options.worlds[seed % len(options.worlds)]
            about = {"seed": seed, "base": options.base, "steps": options.steps}
            about |= {"evaluation.episodes": 100, "evaluation.seeds": 1}
            if planted:
                about |= {"base": BASE, "data": "oracle:0", "goal": f"{PROPERTY}>={goal_k():.0f}"}
            else:
                about["data"] = f"oracle:{world}" if options.data == "oracle" else options.data
            for loop in options.loops:
                found[loop].append(measure(load_settings(None, about | LOOPS[loop]), planted))
                say(f"seed {seed}, {loop}: {found[loop][-1]}")
    success = {loop: [result["success"] for result in results] for loop, results in found.items()}
    kind = "true success" if planted or options.data == "oracle" else "judge-confirmed success"
    return [
        entry(
            f"ablation_{loop.replace('+', '_')}", float(np.mean(values)), kind, None, True,
            {"difference": difference(values, success[options.loops[0]]), "seeds": found[loop], "steps": options.steps},
        )
        for loop, values in success.items()
    ]  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
