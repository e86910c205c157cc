"""`aimat report` on a sweep made of real runs: one agent, one search, and one that was interrupted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import design_runs
import pandas as pd
import pytest
from design_runs import AIMAT, SMALL


@pytest.fixture
def sweep(finished_run: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A folder as a sweep leaves it behind when it is interrupted."""
    folder = tmp_path / "sweep"
    runs = folder / "runs"
    shutil.copytree(finished_run[0], runs / "Zr-s0")
    shutil.copytree(finished_run[0], runs / "Zr-s1", ignore=shutil.ignore_patterns("evaluation*", "candidates.csv"))
    small = [part for key, value in SMALL.items() if "agent." not in key for part in ("--set", f"{key}={value}")]
    command = [AIMAT, "design", "--base", "Cu", "--method", "archive", "--data", "oracle", "--out", str(runs / "Cu-s0")]
    design_runs.run([*command, "--budget", "1500", *small])
    names = [("Zr", 0), ("Zr", 1), ("Cu", 0), ("Cu", 1)]
    document = {
        "settings": {"bases": ["Zr", "Cu"], "seeds": [0, 1], "design": {"data": "oracle"}},
        "cases": [{"base": b, "seed": s, "variant": "", "name": f"{b}-s{s}"} for b, s in names],
        "no_goal": {"Ta": "too few measured rows of this base and of its chemical group"},
        "data": json.loads((runs / "Zr-s0" / "run.json").read_text())["data"]["checksum"],
        "version": "0.0.0",
    }
    (folder / "sweep.json").write_text(json.dumps(document))
    return folder


@pytest.mark.timeout(900)
def test_report_of_real_runs(sweep: Path) -> None:
    ended = design_runs.run([AIMAT, "report", str(sweep), "--json"])
    assert json.loads(ended.stdout)["report"] == str(sweep / "report.html")
    page = (sweep / "report.html").read_text()
    assert "SYNTHETIC DATA" in page
    assert "Measured alloys are not drawn" not in page
    assert "Zr-s1 and Cu-s1" in page  # not finished, and not begun
    assert "scatter-Cu-yield-strength-mpa" in page
    table = pd.read_parquet(sweep / "runs.parquet").set_index("run")
    assert table["status"].to_dict() == {"Cu-s0": "finished", "Zr-s0": "finished", "Zr-s1": "unfinished"}
    found = [pd.read_csv(sweep / "runs" / name / "candidates.csv") for name in ("Zr-s0", "Cu-s0")]
    assert len(pd.read_csv(sweep / "candidates.csv")) == sum(map(len, found)) > 0
