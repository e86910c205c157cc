from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from aimat_ray.errors import RunError
from aimat_ray.rl.run_dir import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "zr")


def test_folder_is_made_and_left_clean(run: RunDirectory) -> None:
    assert run.path.is_dir()
    assert list(run.path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"output folder .*file.below can't be written: Not a directory"):
        RunDirectory(tmp_path / "file" / "below")


def test_json_has_no_nan_and_no_arrays(run: RunDirectory) -> None:
    run.write_json("x.json", {1: (np.float64(0.5), float("nan")), "a": np.array([1, 2]), "b": [float("inf"), None]})
    assert run.read_json("x.json") == {"1": [0.5, None], "a": [1, 2], "b": [None, None]}
    assert "NaN" not in (run / "x.json").read_text()


@pytest.mark.parametrize("content", [None, "{", "\xff"])
def test_a_missing_or_broken_record_is_bad_input(content: str | None, run: RunDirectory) -> None:
    if content is not None:
        (run / "run.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=r"run\.json can't be read"):
        run.read_json("run.json")


def test_yaml_keeps_the_order(run: RunDirectory) -> None:
    run.write_yaml("settings.yaml", {"z": 1, "a": {"é": 2.5}})
    assert (run / "settings.yaml").read_text(encoding="utf-8") == "z: 1\na:\n  é: 2.5\n"
    assert yaml.safe_load((run / "settings.yaml").read_text()) == {"z": 1, "a": {"é": 2.5}}


def test_tables_come_back(run: RunDirectory) -> None:
    rows = [{"step": 1, "name": "a", "value": 0.1}, {"step": 2, "name": "b", "value": 0.2}]
    run.write_table("metrics.parquet", rows)
    assert run.read_table("metrics.parquet") == rows
    assert run.read_table("nothing.parquet") == []
    run.write_table("candidates.csv", rows)
    assert pd.read_csv(run / "candidates.csv").to_dict("records") == rows


def test_an_empty_table_still_has_its_header(run: RunDirectory) -> None:
    run.write_table("candidates.csv", [])
    assert (run / "candidates.csv").read_text() == "rank,formula\n"


def test_a_write_that_fails_leaves_the_old_file(run: RunDirectory) -> None:
    run.write_json("x.json", {"a": 1})
    with pytest.raises(TypeError):
        run.write_json("x.json", {"a": object()})
    assert run.read_json("x.json") == {"a": 1}


def save(path: Path) -> None:
    path.mkdir()
    (path / "weights").write_text(path.name)


def test_checkpoints_are_complete_or_absent_and_the_newest_two_stay(run: RunDirectory) -> None:
    assert run.last_checkpoint() is None

    def fail(path: Path) -> None:
        save(path)
        raise OSError("disk full")

    for steps in (100, 2_000, 30_000):
        run.new_checkpoint(steps, save)
    with pytest.raises(OSError, match="disk full"):
        run.new_checkpoint(40_000, fail)
    last = run.last_checkpoint()
    assert last is not None
    assert int(last.name) == 30_000
    assert sorted(int(path.name) for path in last.parent.iterdir() if path.name[0] != ".") == [2_000, 30_000]
    run.new_checkpoint(40_000, save)  # what the failed attempt left behind is in nobody's way
    assert sorted(int(path.name) for path in last.parent.iterdir()) == [30_000, 40_000]


def test_a_checkpoint_of_the_same_step_is_replaced(run: RunDirectory) -> None:
    run.new_checkpoint(5, save)

    def other(path: Path) -> None:
        path.mkdir()
        (path / "weights").write_text("other")

    assert (run.new_checkpoint(5, other) / "weights").read_text() == "other"


def test_json_is_replaced_in_one_step(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def replace(self: Path, target: Path) -> Path:
        seen.append(json.loads(self.read_text()))
        return self.rename(target)

    monkeypatch.setattr(Path, "replace", replace)
    run.write_json("x.json", {"a": 1})
    assert seen == [{"a": 1}]  # complete before it gets its name
