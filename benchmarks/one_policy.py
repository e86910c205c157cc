"""One policy for all bases with a goal, beside the searches of its price and the search ceiling; several seeds.

Settings are those of tune_configs/one_policy.yaml; `--set agent.labels=none` and the like ask for another recipe. On
OracleWorld (`--data oracle:1`) designs are also held against the truth, those of the controls too. Bars: the policy
alone reaches 95 % of the ceiling (60 % without archive labels); with lookahead at least greedy-16; a tenth of
greedy-16's predictions a success; a quarter of the designs confirmed by the judge.

    python benchmarks/one_policy.py [--seeds 3] [--steps 60000] [--data DIR] [--set agent.labels=none]
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
from _parts import data_spec, entry, say

from aimat_ray.cli.console import read_assignments
from aimat_ray.config import load_settings, read_mapping
from aimat_ray.registry.runtime import ray_running
from aimat_ray.rl.train import design

DEFAULT = False  # many minutes per seed
CONFIG = Path(__file__).parents[1] / "tune_configs" / "one_policy.yaml"
REACH, REACH_WITHOUT, CONFIRMED = 0.95, 0.60, 0.25


def measured(document: dict[str, Any]) -> dict[str, Any]:
    """What the bars are about, of one run."""
    found, controls = document["evaluation"], document["evaluation"]["controls"]
    rates = {name: control["mean"] for name, control in controls.items()}
    policy, ledger = found["sr_goal"], found["ledger"]
    ledgers = {name: control["ledger"] for name, control in controls.items() if "ledger" in control}
    ledgers |= {"policy": policy["ledger"], "policy_lookahead": found["sr_goal_lookahead"]["ledger"]}
    return rates | {
        "at_first_goal": {name: {k: own[k] for k in ("goal", "confirmed", "true")} for name, own in ledgers.items()},
        "policy": policy["mean"],
        "policy_lookahead": found["sr_goal_lookahead"]["mean"],
        "policy_local_search": found["sr_goal_local_search"]["mean"],
        "confirmed": found["confirmed_share"],
        "true": None if ledger["true"] is None else ledger["true"] / found["episodes"],
        "predictions_per_success": policy["predictions_per_success"],
        "greedy_predictions_per_success": controls["greedy_16"]["predictions_per_success"],
    }


def entries(runs: list[dict[str, Any]], archive_labels: bool) -> list[dict[str, Any]]:
    """One entry per bar, from means over the seeds."""

    def mean(key: str) -> float:
        return float(np.mean([run[key] for run in runs]))

    reach, bar = mean("policy") / max(mean("ceiling"), 1e-9), REACH if archive_labels else REACH_WITHOUT
    lead = mean("policy_lookahead") - mean("greedy_16")
    price = mean("greedy_predictions_per_success") / mean("predictions_per_success")
    share, detail = mean("confirmed"), {"seeds": runs}
    return [
        entry("one_policy_reach", reach, "of the search ceiling", bar, reach >= bar, detail),
        entry("one_policy_lookahead", lead, "above greedy-16", 0.0, lead >= 0.0, {}),
        entry("one_policy_price", price, "of greedy-16's predictions per success, inverse", 10.0, price >= 10.0, {}),
        entry("one_policy_confirmed", share, "share of goals confirmed", CONFIRMED, share >= CONFIRMED, {}),
    ]


def main() -> None:
    """Print the entries as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--data", default=data_spec())
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    own = read_mapping(CONFIG, "sweep file")["design"] | {"base": "all", "data": options.data}
    if options.steps:
        own["steps"] = options.steps
    runs, labels = [], ""
    with tempfile.TemporaryDirectory() as scratch, ray_running(num_cpus=2):
        config = Path(scratch) / "settings.yaml"
        config.write_text(json.dumps(own), encoding="utf-8")  # JSON is YAML
        for seed in range(options.seeds):
            settings = load_settings(config, read_assignments(options.set, "agent.labels=none") | {"seed": seed})
            labels = settings.agent.labels
            runs.append(measured(design(settings, Path(scratch) / f"run-{seed}", say)))
            say(json.dumps(runs[-1]))
    print(json.dumps(entries(runs, labels in ("archive", "both")), indent=1))


if __name__ == "__main__":
    main()
