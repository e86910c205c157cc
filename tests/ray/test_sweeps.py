"""A real sweep: killed, continued, and a search that ends bad trials early."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from design_runs import AIMAT, SMALL, Started, checkpoints, processes_of, run

pytestmark = pytest.mark.timeout(2000)
STEPS = 2_000


def small_sweep(path: Path, **settings: Any) -> Path:
    """A sweep file with runs as small as the other tests' runs."""
    design: dict[str, Any] = {"data": "oracle", "steps": STEPS}
    for key, value in SMALL.items():
        group, name = key.split(".")
        design.setdefault(group, {})[name] = value
    document = {"design": design, "tuning_episodes": 4, "tuning_times": 2} | settings
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_killed_sweep_ends_with_the_same_runs(tmp_path: Path) -> None:
    file, out = small_sweep(tmp_path / "sweep.yaml", bases=["Zr", "Cu"], max_concurrent=1), tmp_path / "out"
    command = [AIMAT, "sweep", str(file), "--out", str(out)]
    (tmp_path / "first").mkdir()
    first = Started(command, tmp_path / "first")
    # One run has ended, the other one has saved something.
    runs = out / "runs"
    first.wait_for(
        lambda: list(runs.glob("*/evaluation.json")) and all(checkpoints(runs / b) for b in ("Zr-s0", "Cu-s0"))
    )
    first.process.kill()
    first.process.wait()
    ended = next(runs.glob("*/evaluation.json"))
    untouched = ended.stat().st_mtime_ns, (ended.parent / "candidates.csv").stat().st_mtime_ns
    going_on = next(path for path in runs.iterdir() if path != ended.parent)
    newest = checkpoints(going_on)[-1].name
    end = time.monotonic() + 120
    while processes_of(tmp_path / "first") and time.monotonic() < end:
        time.sleep(0.2)
    assert not processes_of(tmp_path / "first")

    document = json.loads(run([*command, "--resume", "--json"]).stdout)
    assert (document["cases"], document["finished"], document["failed"]) == (2, 2, 0)
    assert sorted(path.name for path in runs.iterdir()) == ["Cu-s0", "Zr-s0"]
    assert (ended.stat().st_mtime_ns, (ended.parent / "candidates.csv").stat().st_mtime_ns) == untouched
    rows = pd.read_parquet(going_on / "metrics.parquet")
    assert rows["env_steps"].is_unique and rows["env_steps"].is_monotonic_increasing
    assert rows["env_steps"].max() >= STEPS > int(newest)
    table = pd.read_parquet(out / "runs.parquet").set_index("run")
    assert set(table.index) == {"Cu-s0", "Zr-s0"}
    assert (table["status"] == "finished").all()
    assert table["policy"].between(table["policy_lower"], table["policy_upper"]).all()

    refused = run(command, code=2)
    assert "already holds a sweep" in refused.stderr
    small_sweep(file, bases=["Zr", "La"])
    assert "a sweep with other settings and cases" in run([*command, "--resume"], code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["asha", "pbt"])
def test_a_search_ends_with_a_best_run(scheduler: str, tmp_path: Path) -> None:
    space = {"agent.gamma": {"uniform": [0.8, 0.95]}, "agent.exploration_noise": {"choice": [0.1, 0.3]}}
    searcher = "optuna" if scheduler == "asha" else "random"
    search = {"space": space, "samples": 3, "searcher": searcher, "scheduler": scheduler, "grace_steps": 500}
    file = small_sweep(tmp_path / "search.yaml", bases=["Zr"], search=search, tuning_times=4)
    out = tmp_path / "out"
    document = json.loads(run([AIMAT, "sweep", str(file), "--out", str(out), "--json"]).stdout)
    assert document["failed"] == 0
    assert document["cases"] == 3 == document["finished"] + document["stopped_early"]
    assert document["finished"] >= 1
    gammas = set()
    for path in (out / "runs").iterdir():
        settings = json.loads((path / "run.json").read_text())["settings"]
        gammas.add(settings["agent"]["gamma"])
        rows = pd.read_parquet(path / "metrics.parquet") if (path / "metrics.parquet").exists() else pd.DataFrame()
        assert rows.empty or "tuning_goal_rate" in rows
    assert len(gammas) >= 2


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_end(tmp_path: Path) -> None:
    file = small_sweep(tmp_path / "sweep.yaml", bases=["Zr", "Cu"], max_failures=0)
    out = tmp_path / "out"
    (out / "runs").mkdir(parents=True)
    (out / "runs" / "Cu-s0").write_text("a file where a folder is expected")
    ended = run([AIMAT, "sweep", str(file), "--out", str(out)], code=1)
    assert "Cu-s0: FAILED" in ended.stderr
    assert (out / "runs" / "Zr-s0" / "evaluation.json").exists()
    (out / "runs" / "Cu-s0").unlink()
    ended = run([AIMAT, "sweep", str(file), "--out", str(out), "--resume"])
    assert (out / "runs" / "Cu-s0" / "evaluation.json").exists()
