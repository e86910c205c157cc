from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from aimat_ray.comparison.figures import reliability, roc_curve
from aimat_ray.comparison.report import finite, write_report
from aimat_ray.comparison.scores import Bench, cell_intervals, mean_of
from aimat_ray.comparison.summary import audit_folds, combined, over_seeds, summarise
from aimat_ray.comparison.tables import markdown, score_rows
from aimat_ray.data.splits import FoldMap
from aimat_ray.errors import DataError
from aimat_ray.surrogate.validation import auc


@pytest.fixture(scope="module")
def document(results, bench):
    return summarise(results, bench)


def test_the_contract_of_the_document(document, problem):
    assert set(document["targets"]) == set(problem.property_keys)
    for key in problem.property_keys:
        model = document["chosen"][key]
        entry = document["targets"][key][model]
        assert {"r2", "rmse", "mae", "n", "lower", "upper"} <= set(entry["system"])
        assert entry["system"]["lower"] <= entry["system"]["r2"] <= entry["system"]["upper"]
        assert 0 <= entry["coverage_90"]["system"] <= 1
        assert sum(band["n"] for band in entry["system"]["bands"]) == entry["system"]["n"]
    assert {"random", "system", "coverage_90"} <= set(document["targets"]["tg_k"]["ridge/both"])
    by = document["classifier"][document["chosen"]["classifier"]]
    assert {"system", "system_n4", "system_n3"} <= set(by)
    assert by["system"]["n"] == by["system_n4"]["n"] + by["system_n3"]["n"]
    assert {"auc", "brier", "precision", "recall", "f1", "n", "n_systems"} <= set(by["system"])
    json.dumps(finite(document), allow_nan=False)


def test_scores_are_averaged_over_fold_seeds(document):
    tg = document["targets"]["tg_k"]["default"]["system"]
    assert tg["seeds"] == 2
    assert tg["r2_min"] <= tg["r2"] <= tg["r2_max"]


def test_glasses_and_other_rows_are_scored_apart(document):
    elongation = document["targets"]["elongation_pct"]["ridge/both"]["system"]
    assert elongation["feasible"]["n"] + elongation["rest"]["n"] == elongation["n"]


def test_unseen_systems_are_harder_than_random_folds(document):
    by_model = document["targets"]["youngs_modulus_gpa"]["ridge/both"]
    assert by_model["system"]["rmse"] > by_model["random"]["rmse"]


def test_means_of_seeds_by_hand():
    seeds = [{"r2": 0.4, "n": 3, "part": {"mae": 1.0}}, {"r2": 0.6, "n": 3, "part": {}}]
    assert over_seeds(seeds) == {
        "r2": 0.5, "n": 3, "part": {"mae": 1.0}, "seeds": 2, "r2_min": 0.4, "r2_max": 0.6,
    }  # fmt: skip


def test_a_combination_is_the_mean_of_its_members(results):
    two = [results[cell] for cell in results if cell.kind == "regressor" and cell.split == "system"]
    mean = mean_of(two)
    np.testing.assert_allclose(
        mean.arrays["mean"], (two[0].arrays["mean"] + two[1].arrays["mean"]) / 2, equal_nan=True
    )  # fmt: skip
    assert set(combined(results)) == set(results)  # no declared combination has all its members here


def test_a_planted_leak_is_caught(results, bench, monkeypatch):
    """One copy of an alloy moved to another fold: found from the compositions alone."""
    good = bench.folds("random", 0)
    regression = np.array(good.regression)
    # Property row 0 has a copy among the class rows (the small tables hold every alloy in both).
    regression[0] = (regression[0] + 1) % good.n_folds
    planted = FoldMap("random", good.n_folds, 0, regression, good.classification)
    assert bench.leaks(good) == []
    assert bench.leaks(planted)
    monkeypatch.setattr(Bench, "folds", lambda self, split, seed: planted)
    with pytest.raises(DataError, match="leak across random folds"):
        audit_folds(results, bench)


def test_a_planted_leak_of_a_system_is_caught(bench):
    good = bench.folds("system", 0)
    regression = np.array(good.regression)
    system = bench.rows.system
    row = int(np.flatnonzero(system == np.bincount(system).argmax())[0])
    regression[row] = (regression[row] + 1) % good.n_folds
    assert bench.leaks(FoldMap("system", good.n_folds, 0, regression, good.classification))


def test_the_audit_names_every_set_of_folds(results, bench):
    audit = audit_folds(results, bench)
    assert audit["leaks"] == 0
    assert audit["fold_maps"] == ["random, seed 0", "system, seed 0", "system, seed 1"]


def test_intervals_of_a_fold_do_not_know_its_values(results, bench):
    """Changed measurements of one fold leave the intervals of that fold where they are."""
    cell = next(cell for cell in results if cell.model == "ridge" and cell.split == "system")
    folds = bench.folds(cell.split, cell.seed)
    lower, _ = cell_intervals(bench, results[cell], folds)
    other = Bench(bench.data, bench.problem)
    object.__getattribute__(other, "rows").values[folds.regression == 0] *= 3.0
    changed, _ = cell_intervals(other, results[cell], folds)
    np.testing.assert_array_equal(lower[folds.regression == 0], changed[folds.regression == 0])
    assert not np.array_equal(lower[folds.regression == 1], changed[folds.regression == 1], equal_nan=True)


def test_the_report_folder(document, results, bench, tmp_path, problem):
    files = write_report(document, results, bench, tmp_path)
    names = {path.name for path in files}
    assert {"surrogate_benchmark.json", "surrogate_benchmark.parquet", "surrogate_benchmark.md"} <= names
    assert {"roc.png", "reliability.png", "parity.png"} <= names
    assert all(path.stat().st_size > 500 for path in files)
    table = pd.read_parquet(tmp_path / "surrogate_benchmark.parquet")
    assert len(table) == len(score_rows(document))
    assert set(table["split"]) == {"system", "random"}


def test_the_page_says_what_elongation_is_worth(document, problem):
    page = markdown(document, problem, "Title")
    assert page.startswith("# Title\n")
    assert "Unfinished" not in page
    partly = document | {"run": {"cells": 3, "planned": 9}}
    assert "**Unfinished**: 3 of 9 planned cells" in markdown(partly, problem, "Title")
    assert "SYNTHETIC" in page
    assert "hardly predictable" in page
    assert "0 leaks" in page
    assert "`ridge/both`" in page  # its nested settings
    assert "by base: " in page


def test_roc_by_hand_and_as_area():
    false, true = roc_curve(np.array([1.0, 0, 1, 0]), np.array([0.8, 0.1, 0.5, 0.5]))
    assert false.tolist() == [0.0, 0.0, 0.5, 1.0]
    assert true.tolist() == [0.0, 0.5, 1.0, 1.0]
    rng = np.random.default_rng(0)
    labels, p = (rng.random(300) < 0.4) * 1.0, np.round(rng.random(300), 2)
    false, true = roc_curve(labels, p)
    assert np.trapezoid(true, false) == pytest.approx(auc(labels, p))


def test_reliability_by_hand():
    said, seen, counts = reliability(np.array([0.0, 1, 1, 1]), np.array([0.04, 0.06, 1.0, 0.9]))
    assert counts.tolist() == [2, 2]
    assert said.tolist() == pytest.approx([0.05, 0.95])
    assert seen.tolist() == [0.5, 1.0]
