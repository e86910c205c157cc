"""TD3 on two alloy problems with a known optimum: it must end within 2 % of it in every seed (tests/known_optimum.py).

python benchmarks/known_optimum.py [--seeds 2] [--steps 20000]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
from pathlib import Path

from _parts import entry, say

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from known_optimum import PROBLEMS, share_of_optimum, share_of_random, train

from aimat_ray.registry.runtime import ray_running

BAR = 0.98


def main() -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20_000)
    options = parser.parse_args()
    report = []
    with ray_running(num_cpus=1):
        for name, make in PROBLEMS.items():
            known, shares, worst = make(), [], []
            for seed in range(options.seeds):
                share = share_of_optimum(known, train(known, options.steps, seed))
                shares.append(float(share.mean()))
                worst.append(float(share.min()))
                say(f"{name}, seed {seed}: {shares[-1]:.4f} of the optimum, worst episode {worst[-1]:.4f}")
            detail = {
                "per_seed": [round(value, 4) for value in shares],
                "worst_episode": round(min(worst), 4),
                "random_actions": round(float(share_of_random(known).mean()), 4),
                "steps": options.steps,
            }
            value = min(shares)
            report.append(entry(f"known_optimum_{name}", value, "of the optimum", BAR, value >= BAR, detail))
    return report


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
