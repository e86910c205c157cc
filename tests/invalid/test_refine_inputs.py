"""What a user may get wrong about AMR and KBR: exit code 2 and one clear message, before anything takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from aimat_ray.cli.main import app

DESIGN = ["design", "--data", "oracle", "--base", "Zr"]
BAD = [
    ([*DESIGN, "--amr", "magic"], "refine.adviser", "unknown adviser"),
    ([*DESIGN, "--kbr", "magic"], "knowledge.scorer", "unknown scorer"),
    ([*DESIGN, "--amr", "statistical", "--mode", "paper"], "env.mode = 'simplex'", "published environment"),
    ([*DESIGN, "--amr", "statistical", "--reward", "paper"], "env.reward.kind = 'progress'", "published reward"),
    ([*DESIGN, "--amr", "llm", "--transport", "serve"], "transport = 'local'", "surrogate behind Serve"),
    ([*DESIGN, "--amr", "llm", "--method", "archive"], "method = 'td3'", "a search"),
    ([*DESIGN, "--amr", "none", "--set", "env.observation=fractions"], "env.observation = 'full'", "short observation"),
    ([*DESIGN, "--amr", "none", "--set", "agent.labels=plan"], "agent.labels = 'plan'", "planned labels"),
    ([*DESIGN, "--set", "knowledge.weight=5"], "knowledge.weight", "weight above its cap"),
    ([*DESIGN, "--set", "refine.max_attempts=9"], "refine.max_attempts", "more than three attempts"),
    ([*DESIGN, "--set", "llm.max_usd=-1"], "llm.max_usd", "negative budget"),
    (["refine", "replay", "{empty}"], "holds no run", "no run"),
    (["refine", "replay", "{run}"], "holds no refinement log", "run without AMR"),
    (["refine", "replay", "{damaged}"], "line 1: not a line of a refinement log", "damaged log"),
    (["refine", "replay", "{run}", "--set", "verdict.min_gain"], "expected KEY=VALUE", "no value"),
    (["refine", "replay", "{run}", "--set", "verdict.nothing=1"], "refine.verdict.nothing", "unknown limit"),
]


@pytest.mark.parametrize(("arguments", "message"), [row[:2] for row in BAD], ids=[row[2] for row in BAD])
def test_one_clear_message(arguments: list[str], message: str, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("empty", "run", "damaged")}
    for name, folder in places.items():
        folder.mkdir()
        if name != "empty":
            (folder / "settings.yaml").write_text("base: Zr\n")
    (places["damaged"] / "refinement.jsonl").write_text("{}\n")
    filled = [argument.format(**places) for argument in arguments]
    out = [] if arguments[0] == "refine" else ["--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*filled, *out])
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert message in said
    assert "Traceback" not in said
