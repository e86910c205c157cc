"""Whole runs with AMR and KBR: killed actors, hub and runner, a language model that is down, knowledge, resume."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from design_runs import AIMAT, MARK, Started, design_command, resume_command, run

from aimat_ray.config import load_settings
from aimat_ray.refine.audit import FILE_NAME, read
from aimat_ray.refine.replay import replay

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]
# Fires at the first check, so that there is something under way when the processes are killed.
EAGER = ["--set", "refine.variance.threshold=1.0001", "--set", "refine.variance.cooldown=100000"]


def pids_of(folder: Path, title: str) -> list[int]:
    """Living processes of a started command whose title (Ray sets it) contains a word."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"{MARK}={folder}\0".encode() in (place / "environ").read_bytes()
            if mine and title in (place / "cmdline").read_text():
                found.append(int(place.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def events(folder: Path) -> list[str]:
    return [entry.event["type"] for entry in read(folder / FILE_NAME)]


@pytest.fixture(scope="module")
def beaten_run(finished_run: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A run whose refinement actor, hub and env runner are killed while a refinement is under way."""
    home = tmp_path_factory.mktemp("beaten")
    folder = home / "run"
    started = Started(design_command(folder, "--amr", "statistical", "--runners", "1", *EAGER), home)
    started.wait_for(lambda: (folder / FILE_NAME).is_file() and "triggered" in events(folder))
    killed = []
    for title in ("RefinementActor", "HubActor", "FlatEnvRunner"):
        for pid in pids_of(home, title):
            os.kill(pid, signal.SIGKILL)
            killed.append(title)
    assert started.process.wait(timeout=1500) == 0, started.stderr()
    return folder, killed


def test_training_ends_normally_whatever_was_killed(beaten_run: tuple[Path, list[str]]) -> None:
    folder, killed = beaten_run
    assert set(killed) == {"RefinementActor", "HubActor", "FlatEnvRunner"}
    document = json.loads((folder / "evaluation.json").read_text())
    assert document["train"]["env_steps"] >= 3_000
    assert (folder / "report.html").is_file()


def test_the_log_tells_the_story_and_replays(beaten_run: tuple[Path, list[str]]) -> None:
    folder, _ = beaten_run
    steps = replay(folder, load_settings(folder / "settings.yaml", {}).refine)
    assert all(step.same for step in steps)
    assert steps[-1].entry.phase == "idle"
    assert run([AIMAT, "refine", "replay", str(folder)]).returncode == 0


def test_nothing_is_published_by_half(beaten_run: tuple[Path, list[str]]) -> None:
    folder, _ = beaten_run
    published = [entry.event["version"] for entry in read(folder / FILE_NAME) if entry.event["type"] == "published"]
    document = json.loads((folder / "evaluation.json").read_text())
    first = json.loads((folder / "run.json").read_text())["surrogate"]["version"]
    used = pd.read_parquet(folder / "metrics.parquet")["surrogate_version"].unique().tolist()
    assert document["surrogate_version"] in {first, *published}
    assert set(used) <= {first, *published}


def test_a_language_model_that_is_down_costs_nothing_but_a_refinement(finished_run: object, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    llm = ["--set", "llm.retries=1", "--set", "llm.backoff_s=0.1", "--set", "refine.wait=true"]
    environment = {"OPENAI_API_KEY": "sk-test-secret", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        run(design_command(folder, "--amr", "llm", "--kbr", "llm", *EAGER, *llm))
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert events(folder)[:2] == ["triggered", "advice_failed"]
    metrics = pd.read_parquet(folder / "metrics.parquet")
    assert metrics["knowledge_active"].iloc[-1] == 1.0 and metrics["knowledge_unknown"].iloc[-1] > 0
    for path in folder.rglob("*"):
        assert not (path.is_file() and b"sk-test-secret" in path.read_bytes()), path


def test_knowledge_by_rules_enters_in_the_last_fifth_and_survives_a_resume(
    finished_run: object, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run(design_command(folder, "--kbr", "rules"))
    metrics = pd.read_parquet(folder / "metrics.parquet")
    first = metrics["env_steps"][metrics["knowledge_active"] > 0].min()
    assert 2_400 <= first < 2_500
    assert metrics["knowledge_score_mean"][metrics["knowledge_active"] > 0].abs().le(1).all()
    knowledge = json.loads((folder / "knowledge.json").read_text())
    assert set(knowledge["agreement"]["rules"]) and 0 <= knowledge["agreement"]["score"]["auc"] <= 1
    run(resume_command(folder, "--steps", "3300"))
    more = pd.read_parquet(folder / "metrics.parquet")
    assert more["env_steps"].max() >= 3_300 and np.isfinite(more["env_steps"]).all()
