"""One run of a sweep as a Ray Tune trial. It is `rl.train.design` in a folder of its own, watched by Tune."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune

from aimat_ray.config import DesignSettings
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.env.walk import fresh_walks
from aimat_ray.refine.session import Together, companion_for
from aimat_ray.rl.hooks import Alone
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.prepare import Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.td3 import TD3
from aimat_ray.rl.train import design
from aimat_ray.search.archive import Archive
from aimat_ray.sweep.attempts import Attempt
from aimat_ray.sweep.pace import Pace
from aimat_ray.sweep.plan import Case, SweepPlan
from aimat_ray.sweep.storage import FINISHED_FILE, RUN_FILE, RUNS, SweepStorage

TUNING_RATE = "tuning_goal_rate"
ORIGIN_FILE = "origin.json"  # in a checkpoint: which run saved it
_GRACE = 1.2  # a run is ended from within at this multiple of its time limit, should Tune not have done it before
_TUNING_STREAM = 500
_TIMED_OUT = 75  # exit code (EX_TEMPFAIL)

logger = logging.getLogger(__name__)


def run_trial(config: dict[str, Any], plan: SweepPlan, storage: SweepStorage) -> None:
    """Design once, from the start or from the last checkpoint of an interrupted attempt; report to Tune.

    A run that is finished already is only reported, so that a resumed sweep does nothing twice.

    Args:
        config: `case` (its fields), and the hyperparameters of a search by dotted key.
        plan: The sweep.
        storage: Where its runs are.
    """
    case = Case(**config["case"])
    point = {key: value for key, value in config.items() if key != "case"}
    name = run_name(case, tune.get_context().get_trial_id() if plan.is_search else None)
    run = RunDirectory(storage.run_folder(name))
    if not (run / FINISHED_FILE).exists():
        with _time_limit(plan.settings.trial_time_limit_s * _GRACE):
            settings = plan.design(case, point)
            take_over(run, settings)
            resume = (run / RUN_FILE).exists()
            # The reporter comes last: it sees the workbench with the surrogate that the others may have put in place.
            attempt = Attempt(run, plan.settings.cpus_per_trial + settings.runners)
            companions = Together([companion_for(settings, logger.info), Reporter(plan, storage, run, attempt)])
            design(settings, run.path, logger.info, resume=resume, companion=companions)
            attempt.update()
            storage.keep(f"{RUNS}/{name}")
    rates = [row.get(TUNING_RATE) for row in run.read_table("metrics.parquet")]
    measured = [rate for rate in rates if rate is not None and np.isfinite(rate)]
    last = {TUNING_RATE: measured[-1]} if measured else {}
    # `done`: no scheduler is asked about a run that has ended; it could only end it early, or change its settings.
    end = {"run": name, "trial_seconds": 0.0, "done": True}
    tune.report(final_metrics(run.read_json(FINISHED_FILE)) | last | end)


def run_name(case: Case, trial_id: str | None) -> str:
    """Name of a run's folder; samples of a search carry the id of their trial."""
    return case.name if trial_id is None else f"{case.name}-{trial_id}"


def take_over(run: RunDirectory, settings: DesignSettings) -> None:
    """Continue from the checkpoint of another run where Tune says so (population-based training).

    The run's record then holds the settings that it goes on with, and those that it had before. A run that was only
    paused goes on from the checkpoint in its folder, which may be newer than the one that Tune hands it back.
    """
    given = tune.get_checkpoint()
    if given is None or not (run / RUN_FILE).exists():
        return
    record, now = run.read_json(RUN_FILE), settings.model_dump(mode="json")
    with given.as_directory() as folder:
        origin, env_steps = _origin(Path(folder))
        if origin == run.path.name:
            return
        former = {"until_env_steps": env_steps, "from_run": origin, "settings": record["settings"]}
        record.setdefault("settings_before", []).append(former)
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
        run.new_checkpoint(env_steps, lambda path: shutil.copytree(folder, path))
    run.write_json(RUN_FILE, record | {"settings": now})
    run.write_yaml("settings.yaml", now)


def _origin(checkpoint: Path) -> tuple[str, int]:
    """Run that saved a checkpoint, and its env steps then."""
    document = json.loads((checkpoint / ORIGIN_FILE).read_text(encoding="utf-8"))
    return document["run"], document["env_steps"]


def final_metrics(document: dict[str, Any]) -> dict[str, Any]:
    """What Tune is told about a finished run."""
    evaluation, train = document["evaluation"], document["train"] or {}
    return {
        "base": document["base"],
        "env_steps": train.get("env_steps", 0),
        "goal_rate": evaluation["sr_goal"]["mean"],
        "lookahead_rate": evaluation.get("sr_goal_lookahead", {}).get("mean"),
        "confirmed_share": evaluation["confirmed_share"],
        "candidates": document["candidates"]["n"],
        "finished": True,
    }


class Reporter(Alone):
    """Tells Tune how a run goes: training metrics each iteration, now and then a strict rate on tuning starts."""

    def __init__(self, plan: SweepPlan, storage: SweepStorage, run: RunDirectory, attempt: Attempt) -> None:
        self._plan, self._storage, self._run, self._attempt = plan, storage, run, attempt
        self._bench: Workbench | None = None
        self._began = time.monotonic()
        self._interval = self._next_measure = 0
        self._stored: Path | None = None
        self._offered: Path | None = None
        self._rate: float | None = None
        self._rate_is_new = False
        self._pace = Pace(plan.settings.report_every_s)

    def start(self, algorithm: TD3, bench: Workbench, archive: Archive | None) -> None:
        """Before the first step, or after a checkpoint was restored."""
        self._bench = bench
        if bench.settings.runners:
            nodes = algorithm.env_runner_group.foreach_env_runner(_node_of, local_env_runner=False)
            self._attempt.set_runner_nodes(nodes)
        self._interval = max(1, bench.settings.steps // self._plan.settings.tuning_times)
        self._next_measure = (algorithm.env_steps // self._interval + 1) * self._interval
        if algorithm.env_steps and self._plan.settings.tuning_episodes:
            self._measure(algorithm)  # of the policy that the run goes on with, maybe another run's

    def after_iteration(self, algorithm: TD3) -> dict[str, Any]:
        """Measure when it is time; store what the last checkpoint left.

        Raises:
            RunError: The run goes on elsewhere.
        """
        self._attempt.update()
        if self._plan.settings.tuning_episodes and algorithm.env_steps >= self._next_measure:
            self._measure(algorithm)
            self._next_measure += self._interval
        checkpoint = self._run.last_checkpoint()
        if checkpoint is not None and checkpoint != self._stored:
            self._storage.keep(f"{RUNS}/{self._run.path.name}")
            self._stored = checkpoint
            if self._plan.settings.search.scheduler == "pbt":
                origin = {"run": self._run.path.name, "env_steps": int(checkpoint.name)}
                (checkpoint / ORIGIN_FILE).write_text(json.dumps(origin), encoding="utf-8")
                self._offered = checkpoint
        return {} if self._rate is None else {TUNING_RATE: self._rate}

    def measured(self, row: dict[str, Any]) -> None:
        """Report an iteration."""
        if self._plan.is_search and self._rate is None:
            return  # schedulers compare strict rates, and there is none yet
        offered, self._offered = self._offered, None
        if self._plan.settings.search.scheduler == "pbt" and offered is None:
            return  # at any report the run may be paused, and what came after its last checkpoint would be lost
        if not self._pace.due(time.monotonic(), urgent=self._rate_is_new or offered is not None):
            return
        self._rate_is_new = False
        numbers: dict[str, Any] = {key: value for key, value in row.items() if isinstance(value, int | float)}
        numbers |= {"run": self._run.path.name, "trial_seconds": time.monotonic() - self._began}
        tune.report(numbers, checkpoint=None if offered is None else tune.Checkpoint.from_directory(str(offered)))

    def _measure(self, algorithm: TD3) -> None:
        assert self._bench is not None
        policy = Policy(self._bench.task, algorithm.actor())
        self._rate = tuning_rate(self._bench, policy, self._plan.settings.tuning_episodes)
        self._rate_is_new = True


def _node_of(runner: Any) -> str:
    return str(ray.get_runtime_context().get_node_id())


def tuning_rate(bench: Workbench, policy: Policy, episodes: int) -> float:
    """Strict goal rate on starts that neither training nor the final evaluation walks from."""
    rng = np.random.default_rng([bench.settings.seed, _TUNING_STREAM])
    base = np.arange(episodes, dtype=np.intp) % len(bench.task.bases)
    start = fresh_walks(bench.task, bench.predictor, base, rng)
    return float(run_episodes(bench.task, CountingPredictor(bench.predictor), start, policy, rng).goal.mean())


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """End this process when the block takes too long: a run that hangs must not hold its cores for ever."""

    def end() -> None:
        logger.error("the run exceeds its time limit; its process ends")
        os._exit(_TIMED_OUT)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
