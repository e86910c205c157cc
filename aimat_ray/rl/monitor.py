"""Measures training: one row of metrics per iteration, TensorBoard events, progress lines and failure signatures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter

from aimat_ray.env.statistics import as_metrics, merge
from aimat_ray.rl.prepare import Say, Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.signatures import Signature, check
from aimat_ray.rl.td3 import TD3

_PROGRESS_LINES = 20
_RECENT = 10  # iterations that a progress line looks back on
_LEARNER_METRICS = ("critic_loss", "actor_loss", "bc_loss", "q_mean")


class Monitor:
    """Keeps the metrics of a run.

    Args:
        run: Where they are written.
        bench: What the run works with.
        say: Told the progress.
    """

    def __init__(self, run: RunDirectory, bench: Workbench, say: Say) -> None:
        self._run, self._bench, self._say = run, bench, say
        self.rows: list[dict[str, Any]] = []
        self.warnings: list[dict[str, Any]] = []
        self._quiet: set[str] = set()
        self._began = time.monotonic()
        self._seconds_before = 0.0
        self._next_line = 0
        self._purge_step: int | None = None  # events from here on belong to lost work
        self._writer: SummaryWriter | None = None

    def rewind(self, env_steps: int) -> None:
        """Take over what was measured up to a checkpoint; later rows belong to work that was lost."""
        self.rows = [row for row in self._run.read_table("metrics.parquet") if row["env_steps"] <= env_steps]
        if (self._run / "warnings.json").exists():
            stored = self._run.read_json("warnings.json")
            self.warnings = [warning for warning in stored if warning["env_steps"] <= env_steps]
        for n in range(len(self.rows)):  # what is being reported already need not be repeated
            check(self.rows[: n + 1], self._quiet)
        self._seconds_before = float(self.rows[-1]["seconds"]) if self.rows else 0.0
        self._purge_step = env_steps + 1
        self._say(f"resumed at {env_steps:,} env steps")

    def record(
        self, algorithm: TD3, result: dict[str, Any], further: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Measure one iteration.

        Args:
            algorithm: What trains.
            result: What its iteration reported.
            further: Columns that others measured.

        Returns:
            The row.
        """
        row = self._row(algorithm, result) | dict(further or {})
        self.rows.append(row)
        for name, value in row.items():
            if isinstance(value, float) and np.isfinite(value):
                self._events().add_scalar(name, value, row["env_steps"])
        for signature in check(self.rows, self._quiet):
            self._warn(signature)
        if row["env_steps"] >= self._next_line:
            self._say(self._line(row))
            self._next_line += max(1, self._bench.settings.steps // _PROGRESS_LINES)
        return row

    def flush(self) -> None:
        """Write the tables."""
        self._run.write_table("metrics.parquet", self.rows)
        self._run.write_json("warnings.json", self.warnings)

    def close(self) -> None:
        """Write the tables and end the events file."""
        self.flush()
        if self._writer is not None:
            self._writer.close()

    def _events(self) -> SummaryWriter:
        if self._writer is None:
            self._writer = SummaryWriter(str(self._run / "tensorboard"), purge_step=self._purge_step)
        return self._writer

    def _row(self, algorithm: TD3, result: dict[str, Any]) -> dict[str, Any]:
        statistics = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.env.unwrapped.take_statistics() if runner.env is not None else None
        )
        learner = result.get("learners", {}).get("default_policy", {})
        runners = result.get("env_runners", {})
        return {
            "iteration": int(result["training_iteration"]),
            "env_steps": algorithm.env_steps,
            "updates": algorithm.n_updates,
            "seconds": self._seconds_before + time.monotonic() - self._began,
            "episode_return_mean": float(runners.get("episode_return_mean", np.nan)),
            "episode_len_mean": float(runners.get("episode_len_mean", np.nan)),
            **{name: float(learner.get(name, np.nan)) for name in _LEARNER_METRICS},
            **as_metrics(merge([s for s in statistics if s is not None]), self._bench.task),
            "surrogate_version": self._bench.predictor.version,
        }

    def _warn(self, signature: Signature) -> None:
        self.warnings.append(asdict(signature))
        self._events().add_text("warnings", f"{signature.signature}: {signature.message}", signature.env_steps)
        self._say(f"WARNING {signature.signature}: {signature.message}")

    def _line(self, row: dict[str, Any]) -> str:
        share = row["env_steps"] / self._bench.settings.steps
        speed = row["env_steps"] / max(row["seconds"], 1e-9)
        recent = self.rows[-_RECENT:]
        ended = sum(r["episodes"] for r in recent)
        goals = sum(r["goal_share"] * r["episodes"] for r in recent if r["episodes"])
        at_goal = f"{goals / ended:4.0%}" if ended else "   -"
        return (
            f"{min(share, 1):4.0%}  {row['env_steps']:>8,} steps  {speed:>6,.0f}/s  "
            f"closeness {row['satisfaction_mean']:.3f}  episodes at the training goal {at_goal}"
        )
