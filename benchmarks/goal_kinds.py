"""One goal-conditioned policy on what memory can't hold, beside the searches of its price (tune_configs/any_goal.yaml).

Three tasks: bases that training never saw (their own goals), goals drawn at test time, and goals relative to the start
within 8 at%. The fixed goals of the training bases stand beside them. All methods walk from the same fresh starts, and
every true prediction is counted. Bars: the policy alone above local search at equal predictions, on each task.

    python benchmarks/goal_kinds.py [--seeds 1] [--steps 32000] [--starts 232] [--set agent.guidance=residual]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _parts import data_spec, entry, say

from aimat_ray.cli.console import read_assignments
from aimat_ray.config import DesignSettings, GoalSettings, load_settings
from aimat_ray.registry.runtime import ray_running
from aimat_ray.rl.algorithm import build_algorithm
from aimat_ray.rl.labels import make_labeler, search_archive
from aimat_ray.rl.methods import MethodResult, cached_ceiling, run_method, standard_methods, test_starts
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.prepare import Workbench, prepare, read_inputs, task_of
from aimat_ray.rl.statistics import Rate

DEFAULT = False  # minutes per seed
CONFIG = Path(__file__).parents[1] / "tune_configs" / "any_goal.yaml"
BUDGETS = (8, 16, 32, 64, 128)  # predictions per episode; walks of one prediction a step
SEEN, RANDOM, RELATIVE, HELD_OUT = "training bases", "random goals", "relative goals", "held-out bases"
SHOWN = (
    "policy", "policy_noise", "policy_local_search", "policy_lookahead", "archive_walk", "net_scored_16", "random",
    "local_search", "greedy_16",
)  # fmt: skip


def bench_of(bench: Workbench, task: str, n_starts: int) -> Workbench:
    """The same surrogates and data with the goals and bases of one task."""
    kind = {RANDOM: "random", RELATIVE: "relative"}.get(task, "fixed")
    evaluation = bench.settings.evaluation.model_copy(update={"episodes": n_starts, "seeds": 1})
    settings = bench.settings.model_copy(update={"goals": GoalSettings(kind=kind), "evaluation": evaluation})
    if task != HELD_OUT:
        return replace(bench, settings=settings, task=task_of(settings, bench.problem, bench.data, bench.goals))
    settings = settings.model_copy(update={"base": ",".join(bench.settings.hold_out), "hold_out": ()})
    inputs = read_inputs(settings, lambda line: None)
    return replace(bench, settings=settings, goals=inputs.goals, task=inputs.task)


def described(result: MethodResult) -> dict[str, Any]:
    """Rate with interval, predictions, and the rate within smaller budgets of predictions."""
    goal = np.concatenate([episodes.goal for episodes in result.episodes])
    spent = np.concatenate([episodes.spent for episodes in result.episodes])
    within = {str(budget): round(float(np.mean(goal & (spent <= budget))), 3) for budget in BUDGETS}
    return result.as_dict() | {"within": within}


def measure(settings: DesignSettings, n_starts: int) -> dict[str, Any]:
    """Train one policy and walk from the starts of every task."""
    bench = prepare(read_inputs(settings, say), say)
    archive = search_archive(bench, say)
    algorithm = build_algorithm(bench, make_labeler(bench, archive))
    try:
        while algorithm.env_steps < settings.steps:
            algorithm.train()
        actor = algorithm.actor()
    finally:
        algorithm.stop()
    tasks: dict[str, Any] = {}
    for task in (HELD_OUT, RANDOM, RELATIVE, SEEN):
        own = bench_of(bench, task, n_starts)
        methods = standard_methods(
            Policy(own.task, actor), archive, settings.evaluation.lookahead, own.scorer is not None
        )
        tasks[task] = {name: described(run_method(own, name, methods[name])) for name in SHOWN if name in methods}
        for _, start in test_starts(own):
            some = start.rows(np.arange(min(len(start), own.settings.evaluation.ceiling_episodes)))
            found = cached_ceiling(own, some)
            tasks[task]["ceiling"] = Rate.of(int(found.goal.sum()), len(some)).as_dict()
        say(f"{task}: " + ", ".join(f"{name} {rate['mean']:.3f}" for name, rate in tasks[task].items()))
    return tasks


def entries(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per task: the policy's mean rate over seeds against local search from the same starts."""
    found = []
    for task in runs[0]:
        mean = {name: float(np.mean([run[task][name]["mean"] for run in runs])) for name in runs[0][task]}
        ok = mean["policy"] > mean["local_search"] if task != SEEN else None
        name = "policy on " + task
        found.append(entry(name.replace(" ", "_").replace("-", "_"), mean["policy"], "strict goal rate",
                           mean["local_search"], ok, {"mean": mean, "seeds": [run[task] for run in runs]}))  # fmt: skip
    return found


def main() -> None:
    """Print the entries as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--starts", type=int, default=232)
    parser.add_argument("--data", default=data_spec())
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    given = read_assignments(options.set, "agent.guidance=residual") | {"data": options.data}
    if options.steps:
        given["steps"] = options.steps
    with ray_running(num_cpus=2):
        runs = [measure(load_settings(CONFIG, given | {"seed": seed}), options.starts) for seed in range(options.seeds)]
    print(json.dumps(entries(runs), indent=1))


if __name__ == "__main__":
    main()
