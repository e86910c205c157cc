"""The same seed gives the same alloys, to the byte; another seed, or remote runners, still give a complete run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from design_runs import STEPS, design_command, metrics, run

pytestmark = pytest.mark.timeout(1000)


def test_same_seed_same_candidates(finished_run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    first, document = finished_run
    second = tmp_path / "again"
    again = json.loads(run([*design_command(second), "--json"]).stdout)
    table = (first / "candidates.csv").read_bytes()
    assert table == (second / "candidates.csv").read_bytes()
    assert table.count(b"\n") >= 2  # equal, and not because both are empty
    assert again["evaluation"] == document["evaluation"]
    pd.testing.assert_frame_equal(metrics(first), metrics(second))
    assert (first / "settings.yaml").read_text() == (second / "settings.yaml").read_text()


def test_two_remote_runners_with_another_seed_run_to_the_end(
    finished_run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    first, _ = finished_run
    folder = tmp_path / "two"
    document = json.loads(run([*design_command(folder, "--runners", "2", "--seed", "1"), "--json"]).stdout)
    assert document["train"]["env_steps"] >= STEPS
    rows = metrics(folder)
    assert rows["episodes"].sum() > 0  # the statistics of both runners arrive
    assert (folder / "candidates.csv").read_bytes() != (first / "candidates.csv").read_bytes()
