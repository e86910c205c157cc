from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aimat_ray.config import DesignSettings, load_settings
from aimat_ray.errors import RunError
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.run_record import check_folder, check_same_surrogate, versions


def inputs(checksum: str = "a" * 64, version: str = "default-1", **changes: Any) -> Any:
    settings = load_settings(None, {key.replace("__", "."): value for key, value in changes.items()})
    data = SimpleNamespace(name="table", checksum=checksum)
    return SimpleNamespace(settings=settings, data=data, bundle=SimpleNamespace(version=version))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The folder of a run with default settings."""
    folder = RunDirectory(tmp_path)
    settings = DesignSettings().model_dump(mode="json")
    record = {
        "data": {"name": "table", "checksum": "a" * 64},
        "settings": settings,
        "surrogate": {"version": "default-1"},
    }
    folder.write_json("run.json", record)
    return folder


def test_a_new_run_needs_a_free_folder(run: RunDirectory, tmp_path: Path) -> None:
    check_folder(RunDirectory(tmp_path / "other"), inputs(), resume=False)
    with pytest.raises(RunError, match="already holds a run"):
        check_folder(run, inputs(), resume=False)


def test_a_run_continues_with_the_same_inputs(run: RunDirectory, tmp_path: Path) -> None:
    check_folder(run, inputs(), resume=True)
    check_same_surrogate(run, inputs())
    with pytest.raises(RunError, match="is this the folder of a run"):
        check_folder(RunDirectory(tmp_path / "other"), inputs(), resume=True)


@pytest.mark.parametrize("change", [{"steps": 5}, {"runners": 2}, {"transport": "serve"}, {"evaluation__episodes": 3}])
def test_how_long_and_where_it_works_may_change(change: dict[str, Any], run: RunDirectory) -> None:
    check_folder(run, inputs(**change), resume=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed"), ({"base": "Cu"}, "base"), ({"agent__gamma": 0.5, "env__mode": "paper"}, "agent, env")],
)
def test_what_it_is_may_not(change: dict[str, Any], named: str, run: RunDirectory) -> None:
    with pytest.raises(RunError, match=rf"other settings \({named}\)"):
        check_folder(run, inputs(**change), resume=True)


def test_other_data_and_another_surrogate_are_refused(run: RunDirectory) -> None:
    with pytest.raises(RunError, match=r"made with data 'table' \(a{12}\), not with 'table' \(b{12}\)"):
        check_folder(run, inputs("b" * 64), resume=True)
    with pytest.raises(RunError, match="surrogate default-1, which is now default-2"):
        check_same_surrogate(run, inputs(version="default-2"))


def test_versions_of_what_computes_are_known() -> None:
    found = versions()
    assert {"aimat_ray", "python", "ray", "torch", "catboost"} <= set(found)
    assert all(found.values())
