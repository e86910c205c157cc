"""A run that takes too long: Tune ends it, or it ends itself; either way it counts as failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aimat_ray.data.sources import load_data
from aimat_ray.problem import DesignProblem
from aimat_ray.sweep.plan import make_plan
from aimat_ray.sweep.settings import SweepSettings
from aimat_ray.sweep.storage import SweepStorage

HANGS = "import time\nfrom aimat_ray.sweep.trial import _time_limit\nwith _time_limit({}):\n    time.sleep({})\n"


@pytest.mark.timeout(300)
def test_a_run_out_of_time_is_ended_named_and_counted_as_failed(
    ray_session: Any, problem: DesignProblem, tmp_path: Path
) -> None:
    from ray import tune

    from aimat_ray.sweep.run import tune_runs

    def slow_or_quick(config: dict[str, Any], plan: Any, storage: Any) -> None:
        # Says how long it takes, by its seed. Defined here, so that it travels to the workers by value.
        seconds = {0: 1.0, 1: 60.0}[config["case"]["seed"]]
        tune.report({"run": "x", "env_steps": 1, "trial_seconds": seconds})
        tune.report({"run": "x", "env_steps": 2, "trial_seconds": 0.0, "finished": True, "done": True})

    document = {"bases": ["Zr"], "seeds": [0, 1], "design": {"data": "oracle"}, "trial_time_limit_s": 30.0}
    plan = make_plan(SweepSettings.model_validate(document), problem, load_data("oracle", problem))
    said: list[str] = []
    outcome = tune_runs(plan, SweepStorage(str(tmp_path / "out")), said.append, False, slow_or_quick)
    assert outcome == {"cases": 2, "finished": 1, "failed": 1, "stopped_early": 0}
    assert any(line.startswith("Zr-s1: OUT OF TIME") for line in said), said
    assert any(line.startswith("Zr-s0: finished") for line in said), said


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("limit_s", "sleeps_s", "code"), [(0.2, 60, 75), (60, 0.2, 0)], ids=["hangs", "in time"])
def test_a_run_that_hangs_ends_its_process(limit_s: float, sleeps_s: float, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS.format(limit_s, sleeps_s)], capture_output=True, timeout=100, check=False
    )
    assert ended.returncode == code, ended.stderr.decode()
