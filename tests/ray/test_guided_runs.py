"""Agents that use a distilled surrogate: real runs with a small net."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import design_runs
import pytest

NET = {"distil.answers": 3_000, "distil.led_answers": 500, "distil.held_out_answers": 300, "distil.width": 32}


@pytest.fixture
def nets_removed(aimat_store: str) -> Iterator[None]:
    """Other tests compare evaluations of the same store: nets made here must not turn up in them."""
    nets = Path(aimat_store) / "default" / "distilled"
    before = set(nets.glob("*"))
    yield
    for made in set(nets.glob("*")) - before:
        shutil.rmtree(made)


@pytest.mark.slow  # minutes for teaching the net over all bases
@pytest.mark.usefixtures("nets_removed")
@pytest.mark.parametrize(("guidance", "labels"), [("gradient", "none"), ("residual", "lookahead")])
@pytest.mark.timeout(1800)
def test_a_guided_agent_trains_and_is_evaluated_beside_the_net(tmp_path: Path, guidance: str, labels: str) -> None:
    folder = tmp_path / "run"
    chosen = NET | {"distil.epochs": 4, "agent.guidance": guidance, "agent.labels": labels}
    settings = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
    document = json.loads(design_runs.run([*design_runs.design_command(folder, *settings), "--json"]).stdout)
    assert document["train"]["updates"] > 50
    evaluation = document["evaluation"]
    net = evaluation["distilled"]
    assert net["version"].startswith("distilled-")
    assert net["fidelity"]["searches"]["n"] >= 300
    scored = evaluation["controls"]["net_scored_16"]
    assert scored["distilled_scores"] == pytest.approx(16 * scored["predictions"])
    assert evaluation["sr_goal_lookahead_distilled"]["distilled_scores"] > 0
    assert {"policy", "net_scored_16", "greedy_4", "policy_lookahead_64"} <= set(evaluation["success_vs_predictions"])
    again = json.loads(design_runs.run([design_runs.AIMAT, "evaluate", str(folder), "--json"]).stdout)
    assert again["evaluation"]["sr_goal"] == evaluation["sr_goal"]  # the stored policy, guide and all
    improve = [
        design_runs.AIMAT,
        "improve",
        "Zr65Cu15Al10Ni10",
        "--run",
        str(folder),
        "--raise",
        "dmax_mm=1%",
        "--json",
    ]
    assert json.loads(design_runs.run(improve).stdout)["method"] == "policy"
