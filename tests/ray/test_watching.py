"""Watching a sweep: TensorBoard by `aimat dashboard`, and the optional trackers."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest
from design_runs import AIMAT, Started, run

pytestmark = pytest.mark.timeout(600)


def test_the_dashboard_shows_every_run(finished_sweep: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    started = Started([AIMAT, "dashboard", str(finished_sweep), "--port", "0"], tmp_path)

    def runs() -> set[str]:
        try:
            found = re.search(r"TensorBoard: (\S+)", started.stderr())
            assert found
            with urlopen(f"{found[1]}data/runs", timeout=10) as reply:
                return set(json.load(reply))
        except (AssertionError, OSError):
            return set()

    started.wait_for(lambda: {"Zr-s0/tensorboard", "Cu-s0/tensorboard"} <= runs())
    said = started.stderr()
    assert "2 of 2 runs finished" in said
    assert "Ray's dashboard: none" in said, "the local Ray of a sweep has no dashboard"
    started.process.send_signal(signal.SIGINT)
    started.process.wait(timeout=60)


def test_a_folder_without_a_sweep_or_run_is_refused(tmp_path: Path) -> None:
    assert "holds neither sweep.json nor run.json" in run([AIMAT, "dashboard", str(tmp_path)], code=2).stderr


@pytest.mark.filterwarnings("ignore")  # of libraries that MLflow uses
def test_mlflow_has_every_run_with_its_result(finished_sweep: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{finished_sweep.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("out")
    found = {record.info.run_name: record for record in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"Zr-s0", "Cu-s0"}
    for record in found.values():
        assert record.info.status == "FINISHED"
        assert 0 <= record.data.metrics["goal_rate"] <= 1
        assert record.data.metrics["env_steps"] >= 400


def test_wandb_keeps_every_run_in_files(finished_sweep: Path) -> None:
    pytest.importorskip("wandb")
    files = list((finished_sweep.parent / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2 and all(file.stat().st_size > 1_000 for file in files)
