"""Cells as Ray tasks: the same answers as in one process, resumed after a failure, through the command line too."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from aimat_ray.cli.main import app
from aimat_ray.comparison.cache import CellCache
from aimat_ray.comparison.cells import Cell, run_cell
from aimat_ray.comparison.run import run_cells
from aimat_ray.errors import TrainingError
from tests.small_alloys import small_alloy_data

RIDGE = Cell("regressor", "ridge", "fractions", "system", 0)
BAYES = Cell("classifier", "gaussian_nb", "fractions", "system", 0)
BROKEN = Cell("regressor", "no such family", "fractions", "system", 0)


def _quiet(done, total, what):
    pass


@pytest.mark.timeout(300)
def test_tasks_give_what_one_process_gives_and_are_kept(ray_session, problem, tmp_path):
    data, cache, told = small_alloy_data(problem), CellCache(tmp_path), []
    results = run_cells([RIDGE, BAYES], data, problem, cache, lambda *line: told.append(line[:2]))
    np.testing.assert_array_equal(results[RIDGE].arrays["mean"], run_cell(RIDGE, data, problem).arrays["mean"])
    assert told == [(0, 2), (1, 2), (2, 2)]
    again = run_cells([BAYES, RIDGE], data, problem, cache, lambda *line: told.append(line[:2]))
    assert told[3:] == [(2, 2)]  # nothing was computed
    assert list(again) == [BAYES, RIDGE]
    np.testing.assert_array_equal(again[BAYES].arrays["class_p"], results[BAYES].arrays["class_p"])


@pytest.mark.timeout(300)
def test_a_failing_cell_is_named_and_finished_ones_are_kept(ray_session, problem, tmp_path):
    data, cache = small_alloy_data(problem), CellCache(tmp_path)
    run_cells([RIDGE], data, problem, cache, _quiet)
    with pytest.raises(TrainingError, match="no such family/fractions on system folds, seed 0"):
        run_cells([RIDGE, BROKEN], data, problem, cache, _quiet)
    assert cache.load(RIDGE.key(data)) is not None
    assert cache.load(BROKEN.key(data)) is None


@pytest.mark.timeout(300)
def test_the_command_writes_its_folder_and_its_document(ray_session, problem, tmp_path):
    _write_table(small_alloy_data(problem), problem, tmp_path / "data")
    words = ["surrogate", "benchmark", "--seeds", "1", "--models", "ridge,knn,gaussian_nb", "--json"]
    words += ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    entry = document["targets"]["tg_k"]["ridge/both"]
    assert {"r2", "rmse", "mae", "n", "lower", "upper"} <= set(entry["random"])
    assert set(entry["coverage_90"]) == {"random", "system"}
    assert {"random", "system"} <= set(document["classifier"]["gaussian_nb/fractions"])
    assert document["chosen"] == {}  # the bundle was not compared
    assert document["audit"]["leaks"] == 0
    assert (tmp_path / "out" / "surrogate_benchmark.md").is_file()
    assert (tmp_path / "out" / "roc.png").is_file()
    some = CliRunner().invoke(app, [*words, "--finished"])
    assert some.exit_code == 0, some.stderr
    assert json.loads(some.stdout)["targets"] == document["targets"]
    table = CliRunner().invoke(app, [*words[:-5], *words[-4:]])  # without --json, from the kept cells
    assert table.exit_code == 0, table.stderr
    assert "leakage audit: 2 sets of folds, 0 leaks" in table.stdout
    assert "hardly predictable" in table.stderr


def _write_table(data, problem, folder):
    folder.mkdir()
    head = ["source_row", "formula_raw", *problem.elements, *problem.property_keys, problem.feasibility.flag_column]
    with (folder / "regression.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(head)
        for i, (at_frac, values) in enumerate(zip(data.regression.at_frac, data.regression.values, strict=True)):
            measured = ["" if np.isnan(v) else round(float(v), 4) for v in values]
            at_pct = np.round(100 * at_frac, 6).tolist()
            writer.writerow([i + 2, f"row{i}", *at_pct, *measured, int(data.regression.feasible[i])])
