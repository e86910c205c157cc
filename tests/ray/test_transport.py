"""A surrogate behind Ray Serve gives the run that the same surrogate in this process gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from design_runs import design_command, metrics, run

pytestmark = pytest.mark.timeout(1000)


def test_serve_and_local_give_the_same_evaluation(finished_run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    local, document = finished_run
    folder = tmp_path / "served"
    served = json.loads(run([*design_command(folder, "--transport", "serve"), "--json"]).stdout)
    assert served["surrogate_version"] == document["surrogate_version"]
    assert served["evaluation"] == document["evaluation"]
    pd.testing.assert_frame_equal(metrics(folder), metrics(local))
    formulas = [pd.read_csv(path / "candidates.csv")["formula"].tolist() for path in (folder, local)]
    assert formulas[0] == formulas[1] != []
