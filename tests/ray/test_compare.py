"""`aimat compare` as a user runs it: every learner on the formula, some of them on alloys, resumed, and its page."""

from __future__ import annotations

import json
from pathlib import Path

import design_runs
import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.timeout(600)
FOLDER = Path(__file__).parents[2] / "tune_configs"
METHODS = ("random", "nsga2", "td3", "td3_kbr", "td3_paper", "sac", "ppo", "dqn")


@pytest.fixture(scope="module")
def contest(aimat_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest of two problems, run in two calls; its folder."""
    folder = tmp_path_factory.mktemp("contest")
    whole = yaml.safe_load((FOLDER / "compare.yaml").read_text())
    methods = {name: whole["methods"][name] for name in METHODS}
    for name in ("nsga2", "td3_paper", "sac", "ppo", "dqn"):
        methods[name]["problems"] = ["known-optimum"]
    methods["td3_kbr"]["problems"] = ["oracle-0-Zr"]
    problems = {name: whole["problems"][name] for name in ("oracle-0-Zr", "known-optimum")}
    small = {"points": [1_000, 8_000], "list_size": 12, "seeds": 1, "methods": methods, "problems": problems}
    for path in FOLDER.glob("*.yaml"):
        (folder / path.name).write_text(path.read_text())
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(small))
    command = [design_runs.AIMAT, "compare", str(file), "--out", str(folder / "out"), "--json"]
    first = json.loads(design_runs.run([*command, "--methods", "random,td3"]).stdout)
    assert first["cells"] == 4
    second = design_runs.run(command)
    assert json.loads(second.stdout)["cells"] == 10
    assert "4 of 10 cells; from an earlier run" in second.stderr
    return folder / "out"


def test_every_method_hands_in_within_the_budget(contest: Path) -> None:
    scores = pd.read_parquet(contest / "scores.parquet")
    assert set(scores["method"]) == set(METHODS)
    assert (scores["spent"] + scores["walked"] <= scores["point"]).all()
    assert (scores["n"] <= 12).all()
    last = scores[scores["point"] == 8_000].set_index(["method", "problem"])
    trained = [name for name in METHODS if name not in ("random", "nsga2")]
    assert (last.loc[trained]["spent"] >= 6_000).all(), "three quarters of the budget are for training"
    assert (last.loc[trained]["walked"] > 0).all(), "lists come from walks after training"
    assert last.loc[("nsga2", "known-optimum"), "hits"] == 12


def test_training_leaves_curves_and_on_synthetic_data_clouds(contest: Path) -> None:
    curves, clouds = (pd.read_parquet(contest / f"{name}.parquet") for name in ("curves", "clouds"))
    assert set(curves["method"]) == set(METHODS) - {"random", "nsga2"}
    assert curves.groupby(["method", "problem"])["predictions"].is_monotonic_increasing.all()
    assert set(clouds["part"]) == {"start", "middle", "end"}


def test_the_page_comes_from_the_stored_tables_alone(contest: Path, tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    design_runs.run([design_runs.AIMAT, "compare", "--from", str(contest), "--page", str(page)])
    text = page.read_text()
    for expected in ("OracleWorld: true success", "A formula with a known optimum", "### Ablation", "TD3 + KBR", "DQN"):
        assert expected in text
    assert "Everything that the contest file plans has run." in text
    for name in ("curves", "profiles", "returns", "clouds"):
        assert (contest / f"{name}.png").stat().st_size > 10_000
        assert f"{name}.png" in text
