from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from aimat_ray.cli import predict, surrogate


@pytest.fixture
def run(bundles, monkeypatch):
    """Runs a command line with the small bundles in place of the store."""
    app = typer.Typer()
    app.add_typer(surrogate.app, name="surrogate")
    app.command("predict")(predict.predict)
    monkeypatch.setattr(surrogate, "get_bundle", lambda data, name, seed, problem: bundles[name])
    return lambda *words: CliRunner().invoke(app, list(words))


def test_formulas_give_a_list_of_objects(run):
    result = run("predict", "Zr50Cu50", "(Cu50Zr50)94Al6", "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [row["formula"] for row in rows] == ["Zr50Cu50", "(Cu50Zr50)94Al6"]
    assert "error" not in rows[0]
    assert rows[0]["in_domain"] in (True, False)


def test_a_wrong_formula_ends_at_once(run):
    result = run("predict", "Zr50Qq50", "--json")
    assert result.exit_code == 2
    assert "Qq" in result.stderr
    assert result.stdout == ""


def test_a_table_names_interval_domain_and_caution(run):
    result = run("predict", "Zr50Cu50")
    assert result.exit_code == 0
    assert "90 % interval" in result.stdout
    assert "domain" in result.stdout
    assert "hardly predictable" in result.stderr


def test_file_mode_writes_the_rest_and_ends_with_2(run, tmp_path):
    (tmp_path / "in.csv").write_text("formula\nZr50Cu50\nbad!\n", encoding="utf-8")
    result = run("predict", "--file", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv"))
    assert result.exit_code == 2
    assert "1 formula could not be read" in result.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3


def test_file_mode_prints_json(run, tmp_path):
    (tmp_path / "in.csv").write_text("id,formula\n7,Zr50Cu50\n", encoding="utf-8")
    result = run("predict", "--file", str(tmp_path / "in.csv"), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["id"] == "7"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "either formulas or --file"),
        (("Zr50Cu50", "--file", "x.csv"), "either formulas or --file"),
        (("--file", "x.csv"), "--file needs --out"),
        (("Zr50Cu50", "--out", "x.csv"), "--out goes with --file"),
        (("--file", "missing.csv", "--out", "x.csv"), "missing.csv"),
        (("Zr50Cu50", "--problem", "nothing"), "no design problem"),
    ],
)
def test_bad_requests_end_with_2(run, words, message):
    result = run("predict", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_output_may_not_be_the_input(run, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("formula\nZr50Cu50\n", encoding="utf-8")
    result = run("predict", "--file", str(path), "--out", str(path))
    assert result.exit_code == 2
    assert path.read_text() == "formula\nZr50Cu50\n"


def test_train_prints_scores_with_split_and_interval(run, tmp_path):
    result = run("surrogate", "train", "paper", "--out", str(tmp_path / "s"), "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["targets"]["tg_k"]["score"]["split"] == "system"
    shown = run("surrogate", "show", str(tmp_path / "s"))
    assert shown.exit_code == 0
    assert "unseen chemical systems" in shown.stdout
    assert "SYNTHETIC" in shown.stdout
    assert "hardly predictable" in shown.stderr


def test_show_of_nothing_is_a_clear_error(run, tmp_path):
    result = run("surrogate", "show", str(tmp_path))
    assert result.exit_code == 2
    assert "no surrogate in" in result.stderr
