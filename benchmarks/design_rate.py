"""`aimat design --base Zr` at the default budget as a user runs it: strict rate against random, time, memory.

The surrogates are fitted anew (an empty store). On the measured table where AIMAT_DATA_DIR is set,
else on the synthetic world. Memory is the sum over all processes, shared pages counted in each: an upper bound.

    python benchmarks/design_rate.py [--base Zr] [--keep FOLDER] [-- further options of aimat design]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _parts import cpu_seconds, data_spec, entry, process_tree, resident_bytes, say

STEPS, WALL_BAR_S, MEMORY_BAR_GB = 20_000, 600.0, 6.0
_LOOK_EVERY_S = 0.5


def run_design(base: str, out: Path, store: Path, extra: list[str]) -> tuple[dict[str, Any], dict[str, float]]:
    """Run the command; returns its document and what it used."""
    command = [str(Path(sys.executable).with_name("aimat")), "design", "--base", base, "--data", data_spec(), "--json"]
    command += ["--steps", str(STEPS), "--out", str(out), *extra]
    environment = os.environ | {"AIMAT_STORE": str(store), "OMP_NUM_THREADS": "1"}
    say(" ".join(command))
    began, most, cpu = time.monotonic(), 0, 0.0
    with tempfile.TemporaryFile("w+") as stdout:
        process = subprocess.Popen(command, stdout=stdout, env=environment)  # its progress goes to our stderr
        try:
            while process.poll() is None:
                tree = process_tree(process.pid)
                most, cpu = max(most, resident_bytes(tree)), max(cpu, cpu_seconds(tree))
                time.sleep(_LOOK_EVERY_S)
        finally:
            process.kill()
        used = {"wall_s": time.monotonic() - began, "cpu_s": cpu, "memory_gb": most / 1e9}
        stdout.seek(0)
        text = stdout.read()
    if process.returncode:
        raise SystemExit(f"aimat design ended with exit code {process.returncode}")
    return json.loads(text), used


def entries(document: dict[str, Any], used: dict[str, float]) -> list[dict[str, Any]]:
    evaluation, train, data = document["evaluation"], document["train"], document["data"]
    policy, controls = evaluation["sr_goal"], evaluation["controls"]
    random = controls["random"]
    rates = {name: round(control["mean"], 3) for name, control in controls.items()}
    world = "SYNTHETIC" if data["synthetic"] else "measured"
    detail = {
        "data": f"{data['name']} ({world})",
        "policy": interval(policy),
        "random": interval(random),
        "episodes": policy["episodes"],
        "predictions_per_episode": round(policy["predictions"], 1),
        "lookahead": interval(evaluation["sr_goal_lookahead"]),
        "controls": rates,
        "confirmed_share": evaluation["confirmed_share"],
        "ledger": evaluation["ledger"],
        "candidates": document["candidates"]["n"],
    }
    speed = {"updates": train["updates"], "seconds": round(train["seconds"], 1)}
    wall, memory = used["wall_s"], used["memory_gb"]
    return [
        entry(
            "design_strict_rate", policy["mean"], "share", random["upper"], policy["lower"] > random["upper"], detail
        ),
        entry("design_wall_time", wall, "s", WALL_BAR_S, wall <= WALL_BAR_S, {"cpu_s": round(used["cpu_s"], 1)}),
        entry("design_memory", memory, "GB", MEMORY_BAR_GB, memory <= MEMORY_BAR_GB, "sum over all processes"),
        entry("design_train_steps_per_s", train["env_steps_per_s"], "env steps/s", None, True, speed),
    ]


def interval(rate: dict[str, Any]) -> str:
    return f"{rate['mean']:.3f} [{rate['lower']:.3f}, {rate['upper']:.3f}]"


def main() -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="Zr")
    parser.add_argument("--keep", type=Path, help="Folder for the run; a temporary one by default.")
    parser.add_argument("extra", nargs="*", help="Further options of aimat design, after --.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.keep or Path(folder) / "run"
        return entries(*run_design(options.base, out, Path(folder) / "store", options.extra))


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
