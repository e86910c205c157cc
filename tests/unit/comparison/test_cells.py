from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aimat_ray.comparison.cache import CellCache
from aimat_ray.comparison.cells import Cell, run_cell
from aimat_ray.comparison.plan import full_plan, only, quick_plan
from aimat_ray.errors import ConfigError, RunError


def test_every_measured_row_is_predicted_out_of_fold(results, bench):
    values, labels = bench.rows.values, bench.rows.labels
    for cell, result in results.items():
        if "mean" in result.arrays:
            assert np.isfinite(result.arrays["mean"][np.isfinite(values)]).all(), cell
        if "class_p" in result.arrays:
            assert result.arrays["class_p"].shape == labels.shape


def test_a_cell_gives_the_same_answer_again(results, alloys, problem):
    for kind in ("regressor", "classifier"):
        cell = next(cell for cell in results if cell.kind == kind)
        again = run_cell(cell, alloys, problem)
        for name, array in results[cell].arrays.items():
            np.testing.assert_array_equal(again.arrays[name], array)


@pytest.mark.parametrize("family", ["edrvfl", "gp"])
def test_families_that_choose_for_themselves_join_in(family, alloys, problem, bench):
    result = run_cell(Cell("regressor", family, "descriptors", "system", 0), alloys, problem)
    tg = problem.property_keys.index("tg_k")
    known = np.isfinite(bench.rows.values[:, tg])
    assert np.corrcoef(result.arrays["mean"][known, tg], bench.rows.values[known, tg])[0, 1] > 0.5


def test_the_key_changes_with_everything_that_matters(alloys):
    cell = Cell("regressor", "ridge", "both", "system", 0)
    others = [
        replace(cell, model="knn"), replace(cell, features="fractions"), replace(cell, split="random"),
        replace(cell, seed=1), replace(cell, kind="classifier"),
    ]  # fmt: skip
    keys = {other.key(alloys) for other in (cell, *others)} | {cell.key(replace(alloys, checksum="0" * 63 + "1"))}
    assert len(keys) == 7
    assert cell.key(alloys) == replace(cell).key(replace(alloys, name="renamed"))


def test_the_cache_gives_back_what_it_took(results, tmp_path):
    cache = CellCache(tmp_path / "cells")
    result = next(iter(results.values()))
    assert cache.load("a") is None
    cache.save("a", result)
    kept = cache.load("a")
    assert kept is not None
    assert kept.seconds == result.seconds
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(kept.arrays[name], array)


def test_a_damaged_file_counts_as_missing(results, tmp_path):
    cache = CellCache(tmp_path)
    cache.save("a", next(iter(results.values())))
    path = tmp_path / "a.npz"
    path.write_bytes(path.read_bytes()[:-200])
    assert cache.load("a") is None
    path.write_bytes(b"")
    assert cache.load("a") is None


def test_a_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="--out"):
        CellCache(tmp_path / "file" / "cells")


def test_the_plans_hold_both_splits_all_inputs_and_every_seed():
    full, quick = full_plan(3), quick_plan(3)
    assert {cell.split for cell in full} == {"system", "random"}
    assert {cell.features for cell in full if cell.kind != "bundle"} == {"fractions", "descriptors", "both"}
    assert {cell.seed for cell in full if cell.model == "catboost"} == {0, 1, 2}
    assert len(set(full)) == len(full)
    assert set(quick) <= set(full)
    assert [c.seed for c in quick if c.model == "default" and c.split == "system"] == [0, 1, 2]


def test_only_some_models():
    assert {cell.model for cell in only(full_plan(1), ["ridge", "default"])} == {"ridge", "default"}
    with pytest.raises(ConfigError, match="unknown model 'rigde'"):
        only(full_plan(1), ["rigde"])
