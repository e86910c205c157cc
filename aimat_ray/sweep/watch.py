"""What somebody sees who watches a sweep: one line per event, and a table of the runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.tune import Callback

from aimat_ray.errors import ServiceError
from aimat_ray.rl.prepare import Say
from aimat_ray.sweep.plan import Case, SweepPlan
from aimat_ray.sweep.trial import TUNING_RATE, run_name

_TABLE_EVERY_S = 30.0
_LOOK_EVERY_S = 5.0


def out_of_time(last_result: Mapping[str, Any], limit_s: float) -> bool:
    """Whether Tune ended a run because it took longer than its limit.

    Args:
        last_result: What the run reported last.
        limit_s: The sweep's `trial_time_limit_s`.
    """
    return not last_result.get("finished") and float(last_result.get("trial_seconds") or 0.0) >= limit_s


@dataclass
class RunStatus:
    """How one run stands."""

    name: str
    steps: int
    state: str = "waiting"
    env_steps: int = 0
    seconds: float = 0.0
    rate: float | None = None
    confirmed: float | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float | None:
        """Estimate of the seconds left."""
        if self.state != "running" or not self.env_steps:
            return None
        return max(self.steps - self.env_steps, 0) * self.seconds / self.env_steps


class Watch(Callback):
    """Follows Tune's trials.

    Args:
        plan: The sweep.
        say: Told each event.
        ended_before: Runs that were finished before Tune started.
    """

    def __init__(self, plan: SweepPlan, say: Say, ended_before: int = 0) -> None:
        self._plan, self._say, self._ended_before = plan, say, ended_before
        self.runs: dict[str, RunStatus] = {}
        self._began = time.monotonic()
        self._next_table = self._next_look = 0.0

    def setup(self, *args: Any, **info: Any) -> None:
        """Called by Tune at the start."""
        self._began = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune has looked after its trials once more.

        Raises:
            ServiceError: The Ray node of this process has died. Tune itself would wait for another one for ever.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        own = ray.get_runtime_context().get_node_id()
        if any(node["NodeID"] == own and not node["Alive"] for node in ray.nodes()):
            raise ServiceError("Ray on this machine has died (killed, or out of memory); go on with --resume")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A run starts, or goes on."""
        status = self._status(trial)
        status.state = "running"
        self._say(f"{status.name}: started")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A run reports."""
        status = self._status(trial)
        status.env_steps = int(result.get("env_steps") or status.env_steps)
        status.seconds = float(result.get("seconds") or status.seconds)
        status.rate = result.get("goal_rate", result.get(TUNING_RATE, status.rate))
        status.confirmed = result.get("confirmed_share", status.confirmed)
        if time.monotonic() >= self._next_table:
            self._next_table = time.monotonic() + _TABLE_EVERY_S
            for line in self.table(len(trials)):
                self._say(line)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A run ended, or was stopped early."""
        status = self._status(trial)
        last = trial.last_result or {}
        status.state = "finished" if last.get("finished") else "stopped early"
        if out_of_time(last, self._plan.settings.trial_time_limit_s):
            status.state = "OUT OF TIME (trial_time_limit_s); --resume goes on from its last checkpoint"
        rate = "-" if status.rate is None else f"{status.rate:.2f}"
        confirmed = "-" if status.confirmed is None else f"{status.confirmed:.2f}"
        self._say(f"{status.name}: {status.state}; goal rate {rate}, confirmed {confirmed}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A run failed for good."""
        status = self._status(trial)
        status.state = "failed"
        self._say(f"{status.name}: FAILED; see {trial.local_path}/error.txt")

    def table(self, n_trials: int) -> list[str]:
        """The runs that are under way, and how far the sweep is."""
        running = [status for status in self.runs.values() if status.state == "running"]
        ended = sum(status.state not in ("running", "waiting") for status in self.runs.values())
        total = self._n_runs(n_trials) + self._ended_before
        lines = [f"{ended + self._ended_before} of {total} runs ended; {self._time_left(ended, n_trials)}"]
        for status in running:
            rate = "   -" if status.rate is None else f"{status.rate:4.2f}"
            left = "" if status.left_s is None else f"  training ends in {status.left_s / 60:.1f} min"
            lines.append(f"  {status.name:<18} {status.env_steps:>9,} of {status.steps:,} steps  rate {rate}{left}")
        return lines

    def _time_left(self, ended: int, n_trials: int) -> str:
        if not ended:
            return "time left not known yet"
        left = (time.monotonic() - self._began) / ended * (self._n_runs(n_trials) - ended)
        return f"about {left / 60:.0f} min left"

    def _n_runs(self, n_trials: int) -> int:
        """Of this attempt."""
        if self._plan.is_search:
            return self._plan.settings.search.samples
        return max(n_trials, len(self._plan.cases) - self._ended_before)

    def _status(self, trial: Any) -> RunStatus:
        if trial.trial_id not in self.runs:
            case = Case(**trial.config["case"])
            point = {key: value for key, value in trial.config.items() if key != "case"}
            name = run_name(case, trial.trial_id if self._plan.is_search else None)
            self.runs[trial.trial_id] = RunStatus(name, self._plan.design(case, point).steps)
        return self.runs[trial.trial_id]
