"""`aimat design --method ...` leaves the same kind of run behind as an agent does; `aimat improve` on the same data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import design_runs
import pandas as pd
import pytest
from design_runs import AIMAT, SMALL

GOAL = "dmax_mm>=3"


def search(out: Path, method: str, *arguments: str) -> dict[str, Any]:
    settings = [
        part for key, value in SMALL.items() if not key.startswith("agent.") for part in ("--set", f"{key}={value}")
    ]
    command = [AIMAT, "design", "--method", method, "--data", "oracle", "--out", str(out), "--budget", "1500", "--json"]
    document: dict[str, Any] = json.loads(design_runs.run([*command, *settings, *arguments]).stdout)
    return document


@pytest.mark.parametrize(
    ("method", "control", "arguments"),
    [
        ("archive", "archive_walk", ("--base", "Zr")),
        ("local", "local_search", ("--base", "Zr,Cu", "--goal", GOAL)),
        ("greedy", "greedy_16", ("--base", "Cu")),
        ("evolution", "evolution", ("--base", "Zr")),
    ],
)
@pytest.mark.timeout(900)
def test_a_search_run_is_a_run(
    aimat_store: str, tmp_path: Path, method: str, control: str, arguments: tuple[str, ...]
) -> None:
    folder = tmp_path / "run"
    document = search(folder, method, *arguments)
    assert document["train"] is None
    evaluation = document["evaluation"]
    assert evaluation["method"] == control
    assert evaluation["sr_goal"] == evaluation["controls"][control]
    assert {"random", "zero_action", "greedy_16", "local_search", "ceiling"} <= set(evaluation["controls"])
    assert evaluation["ledger"]["true"] is not None  # synthetic data: the truth is known
    for walked in (found for name, found in evaluation["controls"].items() if name != "ceiling"):
        assert walked["ledger"]["goal"] == round(walked["mean"] * walked["episodes"])
        assert 0 <= walked["ledger"]["true"] <= walked["ledger"]["goal"]
    assert document["data"]["synthetic"] is True
    table = pd.read_csv(folder / "candidates.csv")
    assert len(table) == document["candidates"]["n"] > 0
    assert set(table["base"]) <= set(arguments[1].split(","))
    assert set(table["method"]) <= {control, "archive"}
    assert {"confirmed", "in_domain", "true", "nearest_formula", "run_id"} <= set(table.columns)
    assert not (folder / "checkpoints").exists()
    page = (folder / "report.html").read_text()
    assert "Missing from this report" not in page
    if method == "archive":
        again = json.loads(design_runs.run([AIMAT, "evaluate", str(folder), "--episodes", "5", "--json"]).stdout)
        assert again["evaluation"]["episodes"] == 5
        assert again["run_dir"] == document["run_dir"]


@pytest.mark.timeout(900)
def test_improve_on_the_synthetic_world(aimat_store: str, tmp_path: Path) -> None:
    out = tmp_path / "designs.csv"
    command = [AIMAT, "improve", "Zr65Cu15Al10Ni10", "--data", "oracle", "--raise", "yield_strength_mpa=2%"]
    command += ["--max-change", "10", "--budget", "2000", "--out", str(out)]
    document = json.loads(design_runs.run([*command, "--json"]).stdout)
    assert document["synthetic"] is True
    assert document["designs"], "2 % within 10 at% should be there"
    assert all(design["change_at_pct"] <= 10 for design in document["designs"])
    start = document["start"]["quantities"]["yield_strength_mpa"]["value"]
    assert all(d["quantities"]["yield_strength_mpa"]["value"] >= 1.02 * start - 1 for d in document["designs"])
    table = pd.read_csv(out)
    assert table["kind"].tolist() == ["start"] + ["design"] * len(document["designs"])
    shown = design_runs.run(command).stdout
    assert document["designs"][0]["formula"] in shown
    assert "path" in shown


@pytest.mark.timeout(900)
def test_the_policy_of_a_run_improves_an_alloy(finished_run: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished_run
    command = [AIMAT, "improve", "Zr65Cu15Al10Ni10", "--run", str(folder), "--raise", "dmax_mm=1%"]
    document = json.loads(design_runs.run([*command, "--max-change", "20", "--json"]).stdout)
    assert document["method"] == "policy"
    assert document["designs"] or document["nearest_miss"]
    refused = design_runs.run([AIMAT, "improve", "Cu50Zr42Al8", *command[3:]], code=2)
    assert "was trained on Zr alone, not on Cu" in refused.stderr


@pytest.mark.timeout(900)
def test_a_policy_is_tried_on_another_base_and_its_run_stays_as_it_was(
    finished_run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run, _ = finished_run
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    out = tmp_path / "elsewhere"
    command = [AIMAT, "evaluate", str(run), "--base", "Cu", "--goals", "relative", "--out", str(out), "--json"]
    document = json.loads(design_runs.run(command).stdout)
    assert (document["base"], document["train"]) == ("Cu", None)
    assert document["surrogate_version"] == json.loads(before["evaluation.json"])["surrogate_version"]
    assert document["evaluation"]["per_base"].keys() == {"Cu"}
    assert document["evaluation"]["sr_goal"]["episodes"] == SMALL["evaluation.episodes"]
    assert (out / "report.html").is_file()
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    again = design_runs.run(command, code=2)
    assert "already holds a run" in again.stderr
    for wrong in (["--base", "Cu"], ["--out", str(out)]):
        assert "--out goes together" in design_runs.run([AIMAT, "evaluate", str(run), *wrong], code=2).stderr
