"""`aimat data`: wiring, exit codes, and JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from aimat_ray.cli.data import app

runner = CliRunner()


@pytest.fixture
def folder(alloy_rows: Callable[..., Any], tmp_path: Path) -> Path:
    formulas = [f"Zr{60 + i}Cu{40 - i}" for i in range(6)]
    columns = {"tg_k": [650] * 6, "tl_k": [1100] * 6, "dmax_mm": range(1, 7), "is_bmg": [1] * 6}
    source = tmp_path / "mine"
    source.mkdir()
    pd.DataFrame(alloy_rows(formulas, **columns)).to_csv(source / "regression.csv", index=False)
    return source


@pytest.mark.parametrize("verb", ["fetch", "import", "show"])
def test_help_has_an_example(verb: str) -> None:
    result = runner.invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: aimat data {verb}" in result.stdout


def test_show_as_json(folder: Path) -> None:
    result = runner.invoke(app, ["show", "--data", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["tables"]["regression"]["rows"] == 6
    assert document["synthetic"] is False
    assert document["cleaning"]["applied"] is True
    zirconium = document["bases"][0]
    assert zirconium["base"] == "Zr"
    assert zirconium["rows_per_quantity"]["dmax_mm"] == 6
    assert zirconium["goal"]["properties"] == ["dmax_mm", "trg"]
    assert zirconium["goal"]["thresholds"][0] == {
        "quantity": "dmax_mm", "at_least": 4.75, "at_most": None, "n_rows": 6, "source": "base",
    }  # fmt: skip
    assert "Fe" in document["no_evidence"]


def test_show_as_tables(folder: Path) -> None:
    result = runner.invoke(app, ["show", "--data", str(folder), "--raw"])
    assert result.exit_code == 0, result.output
    assert "6 rows" in result.stdout
    assert "not cleaned" in result.stdout
    assert "no evidence" in result.stdout


def test_import_then_show(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    result = runner.invoke(app, ["import", "--from", str(folder), "--to", str(target), "--json"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["files"]) == {"regression.csv", "bases.json"}
    assert runner.invoke(app, ["show", "--data", str(target), "--json"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "--data", "/nowhere/at/all"], "no data folder"),
        (["show", "--data", "oracle:x"], "whole number"),
        (["import", "--from", "/nowhere/at/all", "--to", "x"], "no folder"),
        (["show", "--data", "{folder}", "--goal", "gold"], "unknown goal"),
        (["fetch", "--to", "{folder}/x", "--base-url", "http://127.0.0.1:9"], "can't download"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments: list[str], words: str, folder: Path) -> None:
    result = runner.invoke(app, [argument.replace("{folder}", str(folder)) for argument in arguments])
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
