import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aimat_ray.cli import bench
from aimat_ray.cli.main import app
from aimat_ray.errors import ConfigError

GOOD = '''"""What is measured.

More.
"""
import json, os
print(json.dumps([{"name": "threads", "value": int(os.environ["OMP_NUM_THREADS"]), "unit": "", "bar": 1, "ok": OK,
                   "detail": ""}]))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench, "benchmarks_folder", lambda: tmp_path)
    (tmp_path / "good.py").write_text(GOOD.replace("OK", "True"))
    (tmp_path / "_parts.py").write_text("raise RuntimeError('a helper is no script')")
    return tmp_path


def invoke(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["bench", *arguments])
    return ended.exit_code, ended.stdout


def test_a_good_script_gives_its_entries_and_exit_code_0(folder: Path) -> None:
    code, stdout = invoke("--json")
    assert code == 0
    entries = json.loads(stdout)
    assert entries == [{"name": "threads", "value": 1, "unit": "", "bar": 1, "ok": True, "detail": ""}]


def test_a_number_that_could_not_be_measured_is_no_failure(folder: Path) -> None:
    (folder / "good.py").write_text(GOOD.replace("OK", "None"))
    code, stdout = invoke()
    assert code == 0
    assert "not measured" in stdout


BROKEN = [
    (GOOD.replace("OK", "False"), "", "bar missed"),
    ("import sys; sys.exit('no table here')", "no table here", "exit with a message"),
    ("import os; os.kill(os.getpid(), 9)", "signal 9", "killed"),
    ("print('hello')", "list of entries", "no JSON"),
    ("print('{}')", "expected a list", "no list"),
    ('print(\'[{"name": "x"}]\')', "without value, unit", "keys missing"),
    ("print('[]')", "no entry", "empty list"),
]


@pytest.mark.parametrize(("text", "reason", "name"), BROKEN, ids=[name for *_, name in BROKEN])
def test_a_broken_script_is_an_entry_that_is_not_ok(text: str, reason: str, name: str, folder: Path) -> None:
    (folder / "broken.py").write_text(text)
    code, stdout = invoke("good", "broken", "--json")
    good, broken = json.loads(stdout)
    assert code == 1
    assert good["ok"] is True
    assert broken["ok"] is False
    assert reason in broken["detail"]


def test_a_script_that_hangs_is_ended(folder: Path) -> None:
    (folder / "slow.py").write_text("import time; time.sleep(60)")
    script = bench.find_scripts(folder)["slow"]
    (entry,) = bench.run_script(script, timeout_s=0.5)
    assert entry["ok"] is False
    assert "signal 9" in entry["detail"]


def test_long_scripts_run_only_by_name_and_listing_runs_nothing(folder: Path) -> None:
    (folder / "long.py").write_text(
        '"""Takes hours."""\nDEFAULT = False\nraise RuntimeError("listing imports nothing")'
    )
    scripts = bench.find_scripts(folder)
    assert [script.name for script in bench.chosen(scripts, [])] == ["good"]
    assert [script.name for script in bench.chosen(scripts, ["long"])] == ["long"]
    code, stdout = invoke("--list", "--json")
    assert code == 0
    assert json.loads(stdout) == [
        {"name": "good", "summary": "What is measured.", "default": True},
        {"name": "long", "summary": "Takes hours.", "default": False},
    ]


def test_unknown_name_and_missing_folder_are_bad_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("nothing") == (2, "")
    with pytest.raises(ConfigError, match="no benchmark 'nothing'; expected one of: good"):
        bench.chosen(bench.find_scripts(folder), ["nothing"])
    monkeypatch.undo()
    monkeypatch.setattr(bench, "__file__", "/nowhere/aimat_ray/cli/bench.py")
    with pytest.raises(ConfigError, match="part of a checkout"):
        bench.benchmarks_folder()


def test_the_projects_own_scripts_are_found() -> None:
    scripts = bench.find_scripts(bench.benchmarks_folder())
    assert {"training_speed", "pool", "design_rate", "known_optimum"} <= set(scripts)
    assert all(script.summary for script in scripts.values())
