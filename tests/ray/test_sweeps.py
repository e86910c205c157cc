"""A real sweep: killed, continued, and a search that ends bad trials early."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from design_runs import AIMAT, Started, checkpoints, processes_of, run, small_sweep

pytestmark = pytest.mark.timeout(2000)
STEPS = 2_000


def test_a_killed_sweep_ends_with_the_same_runs(tmp_path: Path) -> None:
    file, out = small_sweep(tmp_path / "sweep.yaml", STEPS, bases=["Zr", "Cu"], max_concurrent=1), tmp_path / "out"
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
    small_sweep(file, STEPS, bases=["Zr", "La"])
    assert "a sweep with other settings and cases" in run([*command, "--resume"], code=2).stderr


SPACE = {"agent.gamma": {"uniform": [0.8, 0.95]}, "agent.exploration_noise": {"choice": [0.1, 0.3]}}


def recorded(out: Path) -> list[dict[str, Any]]:
    """`run.json` of every run of a sweep."""
    return [json.loads((path / "run.json").read_text()) for path in sorted((out / "runs").iterdir())]


@pytest.mark.slow
def test_a_search_with_asha_survives_its_driver(tmp_path: Path) -> None:
    search = {"space": SPACE, "samples": 4, "searcher": "optuna", "scheduler": "asha", "grace_steps": 500}
    file = small_sweep(tmp_path / "search.yaml", STEPS, bases=["Zr"], search=search, tuning_times=4)
    out = tmp_path / "out"
    command = [AIMAT, "sweep", str(file), "--out", str(out)]
    (tmp_path / "first").mkdir()
    first = Started(command, tmp_path / "first")
    runs = out / "runs"
    first.wait_for(lambda: list(runs.glob("*/evaluation.json")))
    time.sleep(6)  # Tune stores its record every 5 s
    first.process.kill()
    first.process.wait()
    end = time.monotonic() + 120
    while processes_of(tmp_path / "first") and time.monotonic() < end:
        time.sleep(0.2)
    ended = {path: path.stat().st_mtime_ns for path in runs.glob("*/evaluation.json")}
    begun = {path.name for path in runs.iterdir()}

    document = json.loads(run([*command, "--resume", "--json"]).stdout)
    assert document["failed"] == 0
    assert document["cases"] == 4 == document["finished"] + document["stopped_early"]
    assert document["finished"] >= 1
    assert {path: path.stat().st_mtime_ns for path in ended} == ended
    names = {path.name for path in runs.iterdir()}
    assert len(names) == 4 and begun <= names, "none twice, none lost"
    assert len({record["settings"]["agent"]["gamma"] for record in recorded(out)}) == 4
    for path in runs.glob("*/evaluation.json"):
        assert pd.read_parquet(path.parent / "metrics.parquet")["tuning_goal_rate"].dropna().between(0, 1).all()


@pytest.mark.slow
def test_a_population_exchanges_checkpoints(tmp_path: Path) -> None:
    # Some of these rates learn nothing, so that there is a worse half.
    space = SPACE | {"agent.actor_lr": {"log_uniform": [1.0e-7, 3.0e-3]}}
    search = {"space": space, "samples": 4, "scheduler": "pbt", "grace_steps": 400}
    file = small_sweep(tmp_path / "search.yaml", STEPS, bases=["Zr"], search=search, tuning_times=5, tuning_episodes=24)
    out = tmp_path / "out"
    document = json.loads(run([AIMAT, "sweep", str(file), "--out", str(out), "--json"]).stdout)
    assert (document["cases"], document["finished"], document["failed"]) == (4, 4, 0)
    records = recorded(out)
    names = {path.name for path in (out / "runs").iterdir()}
    changed = [record for record in records if record.get("settings_before")]
    assert changed, "somebody goes on from somebody else"
    for record in changed:
        for former in record["settings_before"]:
            assert former["from_run"] in names
            assert former["settings"]["agent"] != record["settings"]["agent"] or len(record["settings_before"]) > 1
    for path in (out / "runs").iterdir():
        rows = pd.read_parquet(path / "metrics.parquet")
        assert rows["env_steps"].is_monotonic_increasing and rows["env_steps"].max() >= STEPS


@pytest.mark.slow
def test_runs_share_one_surrogate_service(tmp_path: Path) -> None:
    """Also on two cores, which two runs take: the service waits for none."""
    file = small_sweep(tmp_path / "sweep.yaml", 600, bases=["Zr", "Cu"], surrogate_replicas=2)
    out = tmp_path / "out"
    command = [AIMAT, "sweep", str(file), "--set", "design.transport=serve", "--out", str(out), "--json"]
    document = json.loads(run(command).stdout)
    assert (document["finished"], document["failed"]) == (2, 0)
    local = tmp_path / "local"
    run([AIMAT, "sweep", str(file), "--out", str(local)])
    columns = ["run", "policy", "confirmed", "candidates", "env_steps"]
    served, alone = (pd.read_parquet(folder / "runs.parquet")[columns] for folder in (out, local))
    pd.testing.assert_frame_equal(served, alone)


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_end(tmp_path: Path) -> None:
    file = small_sweep(tmp_path / "sweep.yaml", STEPS, bases=["Zr", "Cu"], max_failures=0)
    out = tmp_path / "out"
    (out / "runs").mkdir(parents=True)
    (out / "runs" / "Cu-s0").write_text("a file where a folder is expected")
    ended = run([AIMAT, "sweep", str(file), "--out", str(out)], code=1)
    assert "Cu-s0: FAILED" in ended.stderr
    assert (out / "runs" / "Zr-s0" / "evaluation.json").exists()
    (out / "runs" / "Cu-s0").unlink()
    ended = run([AIMAT, "sweep", str(file), "--out", str(out), "--resume"])
    assert (out / "runs" / "Cu-s0" / "evaluation.json").exists()
