"""What a sweep does when its processes are killed, one after the other, and its storage is briefly gone.

    python benchmarks/sweep_faults.py [driver raylet head hub replica refiner storage]

Each time: three runs on two cores; as soon as one is finished and another has saved something, the fault. Where the
sweep ends by that, the same command with --resume follows. Then every run must be finished, none twice, and those
that were finished before must be untouched. Prints one JSON list of {name, value, unit, bar, ok, detail}.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from _parts import entry, process_tree, say
from _sweep_parts import AIMAT, s3_behind_gate, start, sweep_file, wait_until

from aimat_ray.sweep.attempts import read_attempts

DEFAULT = False  # a quarter of an hour
BASES = ("Zr", "Cu", "Fe")
EXPECTED = {f"{base}-s0" for base in BASES}
STEPS = 20_000  # longer than Ray needs to notice that a node has died
GONE_S = 6.0
TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Fault:
    """What is killed: the process whose command line has these words, or nothing (storage); and the runs' settings."""

    words: str = ""
    design: dict[str, Any] = field(default_factory=dict)


SERVED = {"transport": "serve"}
# Every run asks for a refinement at its first look, so that the actor has something under way when it is killed.
REFINED = {"refine": {"adviser": "statistical", "variance": {"threshold": 1.0001, "cooldown": 100_000}}}


FAULTS = {
    "driver": Fault(),
    "raylet": Fault("raylet/raylet"),
    "head": Fault("gcs/gcs_server"),
    "hub": Fault("ray::HubActor", SERVED),
    "replica": Fault("ray::ServeReplica", SERVED),
    "refiner": Fault("ray::RefinementActor", REFINED),
    "storage": Fault(),
}


def inflict(name: str, fault: Fault, folder: Path, url: str, gate: Any) -> dict[str, Any]:
    """One sweep with one fault."""
    command = [AIMAT, "sweep", str(sweep_file(folder / "sweep.yaml", BASES, STEPS, fault.design)), "--out", url]
    runs = local_runs(url)
    shutil.rmtree(runs.parent, ignore_errors=True)  # the scratch folder of an earlier sweep at this address
    began = time.monotonic()
    driver = start(command, folder / "log")
    wait_until("one finished, one under way", lambda: driver.poll() is not None or ready(runs), TIMEOUT_S)
    before = finished(runs)
    tree = process_tree(driver.pid)
    strike(name, fault, driver.pid, tree, gate)
    try:
        code = driver.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        driver.kill()
        code = None
    resumed = code != 0
    if resumed:
        wait_until("its processes have ended", lambda: not any(alive(pid) for pid in tree), 120.0)
        say(f"  {name}: ended with {code}; --resume")
        driver = start([*command, "--resume"], folder / "log-resumed")
        code = driver.wait(TIMEOUT_S)
    problems = (
        verdict(runs, before) if code == 0 else [(folder / ("log-resumed" if resumed else "log")).read_text()[-800:]]
    )
    detail = {
        "fault": "storage unreachable" if name == "storage" else f"SIGKILL of the {name}",
        "finished_before": sorted(before),
        "needed_resume": resumed,
        "attempts": {run: len(read_attempts(runs / run)) for run in sorted(EXPECTED)},
        "seconds": round(time.monotonic() - began, 1),
        "problems": problems,
    }
    return entry(f"sweep_fault_{name}", len(problems), "violations", 0, not problems and code == 0, detail)


def local_runs(url: str) -> Path:
    """Folder of the runs on this machine."""
    from aimat_ray.sweep.storage import RUNS, SweepStorage

    return SweepStorage(url).root / RUNS


def ready(runs: Path) -> bool:
    """One run is finished, and another has saved something but not yet half of its steps."""
    under_way = [run for run in runs.glob("*") if not (run / "evaluation.json").exists()]
    newest = [max((int(path.name) for path in (run / "checkpoints").glob("[0-9]*")), default=0) for run in under_way]
    return bool(finished(runs)) and any(0 < steps < STEPS / 2 for steps in newest)


def finished(runs: Path) -> dict[str, str]:
    """Checksum of each finished run's result by name; at an address, files may be fetched anew."""
    results = runs.glob("*/evaluation.json")
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in results}


def strike(name: str, fault: Fault, driver: int, tree: list[int], gate: Any) -> None:
    """Let it happen."""
    if name == "driver":
        os.kill(driver, signal.SIGKILL)
    elif name == "storage":
        gate.shut()
        time.sleep(GONE_S)
        gate.open()
    else:
        victims = [pid for pid in tree if fault.words in command_line(pid)]
        if not victims:
            raise RuntimeError(f"no process {fault.words!r} among those of the sweep")
        os.kill(victims[0], signal.SIGKILL)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def alive(pid: int) -> bool:
    return bool(command_line(pid))  # a zombie has none


def verdict(runs: Path, before: dict[str, str]) -> list[str]:
    """What is wrong with a sweep after its fault; nothing, if it has all its runs once."""
    problems = []
    names = {path.name for path in runs.iterdir()}
    if names != EXPECTED:
        problems.append(f"runs {sorted(names)} instead of {sorted(EXPECTED)}")
    after = finished(runs)
    problems += [f"{name} is not finished" for name in sorted(EXPECTED - set(after))]
    problems += [f"{name} was finished and is touched" for name in before if after.get(name) != before[name]]
    problems += [f"{name} was finished and tried again" for name in before if len(read_attempts(runs / name)) != 1]
    for name in sorted(set(after) & EXPECTED):
        steps = pd.read_parquet(runs / name / "metrics.parquet")["env_steps"]
        if not (steps.is_unique and steps.is_monotonic_increasing and steps.max() >= STEPS):
            problems.append(f"{name}: steps {steps.tolist()[-5:]} are repeated or missing")
    return problems


def main() -> int:
    entries = []
    for name in sys.argv[1:] or FAULTS:
        say(f"  {name}")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aimat-faults-")))
            url, gate = stack.enter_context(s3_behind_gate()) if name == "storage" else (str(folder / "out"), None)
            entries.append(inflict(name, FAULTS[name], folder, url, gate))
        say(f"  {name}: {entries[-1]['detail']}")
    print(json.dumps(entries, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
