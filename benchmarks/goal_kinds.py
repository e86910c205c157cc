"""One goal-conditioned policy on what memory can't hold, beside the searches of its price (tune_configs/any_goal.yaml).

Three tasks: bases that training never saw (their own goals), goals drawn at test time, and goals relative to the start
within 8 at%. The fixed goals of the training bases stand beside them. All methods walk from the same fresh starts, and
every true prediction is counted. Bars: above local search at equal predictions, on each task; for the policy alone,
with run-time noise, looking ahead by the distilled net, and where it leads a local search. `ahead_up_to` says up to
which budget each is ahead.

    python benchmarks/goal_kinds.py [--seeds 1] [--steps 32000] [--starts 232] [--set agent.guidance=residual]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from _parts import data_spec, entry, say

from aimat_ray.cli.console import read_assignments
from aimat_ray.config import DesignSettings, load_settings
from aimat_ray.contest.starts import SEEN, TASKS, ceiling_row, trained_policy, walk_task
from aimat_ray.env.episodes import Episodes
from aimat_ray.registry.runtime import ray_running
from aimat_ray.rl.statistics import Rate

DEFAULT = False  # minutes per seed
FORMS = ("policy", "policy_noise", "policy_lookahead_distilled", "policy_rejection", "policy_local_search")
RIVAL = "local_search"
CONFIG = Path(__file__).parents[1] / "tune_configs" / "any_goal.yaml"
BUDGETS = (2, 4, 8, 16, 32, 64, 128)  # predictions per episode; walks of one prediction a step


def described(episodes: Episodes) -> dict[str, Any]:
    """Rate with interval, predictions, and the rate within smaller budgets of predictions."""
    rate = Rate.of(int(episodes.goal.sum()), len(episodes))
    within = {k: round(float(np.mean(episodes.goal & (episodes.spent <= k))), 3) for k in BUDGETS}
    return rate.as_dict() | {"predictions": episodes.predictions / len(episodes), "within": within}


def measure(settings: DesignSettings, n_starts: int) -> dict[str, Any]:
    """Train one policy and walk from the starts of every task."""
    bench, archive, actor = trained_policy(settings, say)
    tasks: dict[str, Any] = {}
    for task in TASKS:
        walked = walk_task(bench, task, archive, actor, n_starts, settings.env.max_steps)
        tasks[task] = {name: described(episodes) for name, episodes in walked.items()}
        tasks[task]["ceiling"] = ceiling_row(bench, task, n_starts)
        say(f"{task}: " + json.dumps({k: v["mean"] if k == "ceiling" else v["within"] for k, v in tasks[task].items()}))
    return tasks


def entries(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per task and form of the policy: mean rates over seeds against local search from the same starts."""
    found = []
    for task in runs[0]:
        mean = {name: float(np.mean([run[task][name]["mean"] for run in runs])) for name in runs[0][task]}
        within = {
            name: {k: round(float(np.mean([run[task][name]["within"][k] for run in runs])), 3) for k in BUDGETS}
            for name in runs[0][task]
            if name != "ceiling"
        }
        detail = {"mean": mean, "within": within, "seeds": [run[task] for run in runs]}
        for form in FORMS:
            ahead = [k for k in BUDGETS if within[form][k] > within[RIVAL][k]]
            ok = mean[form] > mean[RIVAL] if task != SEEN else None
            name = f"{form} on {task}".replace(" ", "_").replace("-", "_")
            own = {"ahead_up_to": max(ahead, default=None)} | (detail if form == FORMS[0] else {})
            found.append(entry(name, mean[form], "strict goal rate", mean[RIVAL], ok, own))
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
