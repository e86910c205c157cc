"""Folds: what must stay together does, and the audit finds what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.splits import SplitKind, fold_map, leaks, random_folds, system_folds
from aimat_ray.problem import DesignProblem

TableMaker = Callable[..., AlloyTable]
KINDS: tuple[SplitKind, ...] = ("random", "system", "majority")

REGRESSION = ["Zr65Cu35", "Zr65.04Cu34.96", "Fe80B20", "Fe78B22", "La62Al14Cu24", "Ni60Nb40", "Ti50Cu50", "Mg65Cu25Y10"]
CLASSIFICATION = [
    "Zr65Cu35",
    "Zr60Cu40",
    "Fe80B20",
    "Al85Ni5Y10",
    "Ti50Cu50",
    "Ca60Mg20Zn20",
    "Pd80Si20",
    "Zr65.04Cu34.9Al0.06",
]


@pytest.fixture
def tables(make_table: TableMaker) -> tuple[AlloyTable, AlloyTable]:
    return make_table(REGRESSION), make_table(CLASSIFICATION)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_copies_share_a_fold_across_tables(
    kind: SplitKind, seed: int, tables: tuple[AlloyTable, AlloyTable], problem: DesignProblem
) -> None:
    folds = fold_map(*tables, problem, kind, n_folds=3, seed=seed)
    assert set(folds.regression) | set(folds.classification) == {0, 1, 2}
    assert leaks(folds, *tables, problem) == []
    assert folds.regression[0] == folds.regression[1] == folds.classification[0] == folds.classification[7]
    if kind == "system":
        assert folds.regression[2] == folds.regression[3]
        assert folds.classification[1] == folds.classification[0]


def test_same_seed_same_folds(tables: tuple[AlloyTable, AlloyTable], problem: DesignProblem) -> None:
    maps = [fold_map(*tables, problem, "random", 3, seed) for seed in (0, 0, 1, 2, 3)]
    assert maps[0].regression.tolist() == maps[1].regression.tolist()
    assert len({tuple(m.regression) for m in maps}) > 1


def test_audit_names_the_pair(tables: tuple[AlloyTable, AlloyTable], problem: DesignProblem) -> None:
    good = fold_map(*tables, problem, "system", 3)
    moved = good.classification.copy()
    moved[2] = (moved[2] + 1) % 3  # Fe80B20, which the regression table holds as row 4 too
    found = leaks(replace(good, classification=moved), *tables, problem)
    assert {(leak.first, leak.second, leak.shared) for leak in found} == {
        (("regression", 4), ("classification", 4), "composition"),
        (("regression", 4), ("classification", 4), "B-Fe"),
    }


@given(
    st.lists(st.integers(0, 30), min_size=4, max_size=60).filter(lambda keys: len(set(keys)) >= 4),
    st.integers(2, 4),
    st.integers(0, 9),
)
def test_random_folds_keep_keys_together_and_are_balanced(keys: list[int], n_folds: int, seed: int) -> None:
    folds = random_folds(np.array(keys), n_folds, seed)
    per_key = {key: {int(f) for k, f in zip(keys, folds, strict=True) if k == key} for key in keys}
    assert all(len(found) == 1 for found in per_key.values())
    counts = np.bincount([found.pop() for found in per_key.values()], minlength=n_folds)
    assert counts.max() - counts.min() <= 1


def test_system_folds_are_balanced_in_every_table() -> None:
    rng = np.random.default_rng(0)
    systems, table = rng.integers(0, 60, 2000), rng.integers(0, 2, 2000)
    folds = system_folds(np.arange(2000), systems, 5, 0, table)
    for number in (0, 1):
        counts = np.bincount(folds[table == number], minlength=5)
        assert counts.max() - counts.min() <= 0.25 * counts.mean()


@pytest.mark.real_data
@pytest.mark.parametrize("kind", KINDS)
def test_no_leak_in_the_measured_tables(kind: SplitKind, real_data: AlloyData, problem: DesignProblem) -> None:
    tables = real_data.regression, real_data.classification
    folds = fold_map(*tables, problem, kind)
    assert leaks(folds, *tables, problem) == []
    if kind == "system":
        for counts in (np.bincount(folds.regression), np.bincount(folds.classification)):
            assert counts.max() - counts.min() <= 0.02 * counts.mean() + 2
