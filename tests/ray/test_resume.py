"""A run that is killed, continued, interrupted by Ctrl-C and continued again equals one that nothing disturbed."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from design_runs import (
    STEPS,
    Progress,
    Started,
    checkpoints,
    design_command,
    metrics,
    processes_of,
    resume_command,
    run,
)

pytestmark = pytest.mark.timeout(1000)


@dataclass
class Story:
    """What was seen of the disturbed run."""

    folder: Path
    killed: Progress
    metrics_when_killed: pd.DataFrame
    interrupted: Progress
    exit_code: int
    stderr: str
    document: dict[str, Any]


@pytest.fixture(scope="module")
def story(finished_run: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Story:
    home = tmp_path_factory.mktemp("disturbed")
    folder = home / "run"

    first = Started(design_command(folder), home)
    first.wait_for(lambda: len(checkpoints(folder)) >= 2)
    first.process.kill()
    first.process.wait()
    newest = checkpoints(folder)[-1]
    killed, rows = Progress.of(newest), metrics(folder)

    second = Started(resume_command(folder), home)
    second.wait_for(lambda: checkpoints(folder)[-1].name > newest.name)
    os.killpg(second.process.pid, signal.SIGINT)  # a terminal sends it to all processes of the command
    code = second.process.wait(timeout=240)
    interrupted = Progress.of(checkpoints(folder)[-1])

    document = json.loads(run(resume_command(folder, "--json")).stdout)
    return Story(folder, killed, rows, interrupted, code, second.stderr(), document)


def test_nothing_is_lost_since_the_last_checkpoint(story: Story) -> None:
    last = Progress.of(checkpoints(story.folder)[-1])
    for before, after in ((story.killed, story.interrupted), (story.interrupted, last)):
        assert 0 < before.env_steps <= after.env_steps
        assert 0 < before.updates <= after.updates
        assert before.replay_rows <= after.replay_rows
        assert 0 < before.trusted_rows == after.trusted_rows
        for name, steps in before.optimiser_steps.items():
            assert 0 < steps <= after.optimiser_steps[name]
    assert last.env_steps == last.replay_rows >= STEPS
    assert max(last.optimiser_steps.values()) == last.updates


def test_every_row_of_the_metrics_is_there_once(story: Story) -> None:
    rows = metrics(story.folder)
    assert rows["env_steps"].is_monotonic_increasing
    assert rows["env_steps"].is_unique
    assert rows["iteration"].tolist() == list(range(1, len(rows) + 1))
    kept = story.metrics_when_killed.query(f"env_steps <= {story.killed.env_steps}")
    assert len(kept) > 0
    pd.testing.assert_frame_equal(rows.head(len(kept)), kept)
    seconds = pd.read_parquet(story.folder / "metrics.parquet")["seconds"]
    assert seconds.is_monotonic_increasing  # the clock goes on where it stopped


def test_it_ends_like_the_run_that_nothing_disturbed(story: Story, finished_run: tuple[Path, dict[str, Any]]) -> None:
    undisturbed, document = finished_run
    pd.testing.assert_frame_equal(metrics(story.folder), metrics(undisturbed))
    assert story.document["evaluation"] == document["evaluation"]
    assert (story.folder / "candidates.csv").read_bytes() == (undisturbed / "candidates.csv").read_bytes()


def test_ctrl_c_says_how_to_continue(story: Story) -> None:
    assert story.exit_code == 130
    assert f"interrupted; continue with: aimat design --resume --out {story.folder}" in story.stderr
    assert "Traceback" not in story.stderr


def test_another_table_is_refused_before_anything_starts(story: Story) -> None:
    record = (story.folder / "run.json").read_bytes()
    refused = run(resume_command(story.folder, "--data", "oracle:1"), code=2)
    assert "was made with data 'oracle-0'" in refused.stderr
    assert "not with 'oracle-1'" in refused.stderr
    assert "fold 1" not in refused.stderr  # nothing was fitted
    assert "Traceback" not in refused.stderr
    assert (story.folder / "run.json").read_bytes() == record


def test_no_process_of_the_killed_and_the_interrupted_run_is_left(story: Story) -> None:
    end = time.monotonic() + 30
    while (left := processes_of(story.folder.parent)) and time.monotonic() < end:
        time.sleep(0.5)
    assert left == []
