"""Real `aimat design` processes with a small budget."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

AIMAT = str(Path(sys.executable).with_name("aimat"))
STEPS = 3_000
SMALL = {
    "agent.n_envs_per_runner": 16,
    "agent.random_steps": 256,
    "agent.learning_starts": 256,
    "agent.hidden_sizes": [32, 32],
    "env.max_steps": 16,
    "evaluation.episodes": 8,
    "evaluation.seeds": 1,
    "evaluation.lookahead": 2,
    "archive.budget_per_base": 500,
}
TIMEOUT_S = 900.0  # two surrogates may have to be fitted first, on a busy machine
MARK = "AIMAT_TEST_RUN"  # variable that all processes of a started command inherit


def design_command(out: Path, *arguments: str) -> list[str]:
    """A new run on the embedded data."""
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    steps = ["--steps", str(STEPS)]
    return [AIMAT, "design", "--base", "Zr", "--data", "oracle", "--out", str(out), *steps, *settings, *arguments]


def resume_command(out: Path, *arguments: str) -> list[str]:
    """The continuation of a run."""
    return [AIMAT, "design", "--resume", "--out", str(out), *arguments]


def small_sweep(path: Path, steps: int, runners: int = 0, **settings: Any) -> Path:
    """A sweep file with runs as small as the other tests' runs."""
    design: dict[str, Any] = {"data": "oracle", "steps": steps, "runners": runners}
    for key, value in SMALL.items():
        group, name = key.split(".")
        design.setdefault(group, {})[name] = value
    document = {"design": design, "tuning_episodes": 4, "tuning_times": 2} | settings
    path.write_text(yaml.safe_dump(document))
    return path


@dataclass
class Started:
    """A running command of which both streams are kept in files."""

    command: Sequence[str]
    folder: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        with (self.folder / "stdout").open("w") as out, (self.folder / "stderr").open("w") as err:
            environment = os.environ | {"OMP_NUM_THREADS": "1", MARK: str(self.folder)}
            self.process = subprocess.Popen(
                self.command,
                stdout=out,
                stderr=err,
                text=True,
                env=environment,
                start_new_session=True,
                # a background job of a shell ignores Ctrl-C, and so would its children
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until something is there; the process must still be running then."""
        end = time.monotonic() + TIMEOUT_S
        while not condition():
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stderr()}"
            assert time.monotonic() < end, f"not in time: {self.stderr()}"
            time.sleep(0.02)


def processes_of(folder: Path) -> list[str]:
    """Command lines of the living processes that a `Started` of this folder left behind."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={folder}\0".encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile
    return found


def run(command: Sequence[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and check its exit code."""
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == code, ended.stderr
    return ended


def checkpoints(run_dir: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted((run_dir / "checkpoints").glob("[0-9]*"))


@dataclass(frozen=True)
class Progress:
    """What a checkpoint says about the training so far."""

    env_steps: int
    updates: int
    replay_rows: int
    trusted_rows: int
    optimiser_steps: dict[str, int]

    @classmethod
    def of(cls, checkpoint: Path) -> Progress:
        with np.load(checkpoint / "run_state" / "state.npz", allow_pickle=False) as state:
            env_steps, updates = (int(value) for value in state["counters"][:2])
            rows, trusted = len(state["buffer.live/rewards"]), len(state["buffer.trusted/rewards"])
        # RLlib's own file, written by this test a moment ago
        learner = pickle.loads((checkpoint / "learner_group" / "learner" / "state.pkl").read_bytes())
        steps = {
            name: int(next(iter(optimiser["state"]["state"].values()))["step"])
            for name, optimiser in learner["optimizer"].items()
        }
        return cls(env_steps, updates, rows, trusted, steps)


def metrics(run_dir: Path) -> pd.DataFrame:
    """Rows of the metrics table without the clock."""
    return pd.read_parquet(run_dir / "metrics.parquet").drop(columns="seconds")
