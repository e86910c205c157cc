from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aimat_ray.surrogate.ensemble import Ensemble, TrainingRows
from aimat_ray.surrogate.features import FeatureSpace
from aimat_ray.surrogate.out_of_fold import member_scales
from aimat_ray.surrogate.recipes import RECIPES, MemberSpec, Recipe
from tests.small_alloys import small_alloy_data

KEYS = ("a", "b")


@pytest.fixture
def ensemble(monkeypatch):
    """Two properties; b is served by members for feasible rows (two), the rest (one), and all rows (one)."""
    names = (("all", "all"), ("f1", "feasible"), ("f2", "feasible"), ("r", "rest"))
    members = tuple(MemberSpec(n, "svr", "trees", rows=r, log=n == "r") for n, r in names)
    recipe = Recipe(
        classifier=MemberSpec("class", "forest_classifier", "trees"), members=members,
        combinations={"b": ("all", "f1", "f2", "r")}, otherwise=("all",), families="", chosen_by="",
    )  # fmt: skip
    monkeypatch.setitem(RECIPES, "toy", recipe)
    made = Ensemble("toy", FeatureSpace(("Zr", "Cu")), KEYS)
    made._served = {"all": [0, 1], "f1": [1], "f2": [1], "r": [1]}
    return made


def _said(**values):
    n = np.nan
    return {name: np.array([[n, v]]) if name != "all" else np.array([[7.0, v]]) for name, v in values.items()}


def test_members_are_weighed_by_the_kind_of_row(ensemble):
    members = _said(all=10.0, f1=20.0, f2=40.0, r=100.0)
    mean, spread = ensemble.combine(members, np.array([0.5]), {})
    # weights: all 1, f1 and f2 .25 each, r .5 -> (10 + 5 + 10 + 50) / 2
    assert mean[0] == pytest.approx([7.0, 37.5])
    assert spread[0, 0] == 0.0
    second = (100 + 0.25 * 400 + 0.25 * 1600 + 0.5 * 10_000) / 2
    assert spread[0, 1] == pytest.approx(np.sqrt(second - 37.5**2))


def test_a_pure_row_hears_only_its_kind(ensemble):
    members = _said(f1=20.0, f2=40.0, r=100.0)
    mean, _ = ensemble.combine(members, np.array([1.0]), {})
    assert mean[0, 1] == pytest.approx(30.0, rel=1e-4)
    mean, _ = ensemble.combine(members, np.array([0.0]), {})
    assert mean[0, 1] == pytest.approx(100.0, rel=1e-4)


def test_scales_apply_before_the_mean(ensemble):
    mean, _ = ensemble.combine(_said(r=100.0), np.array([0.0]), {"r": np.array([1.0, 1.2])})
    assert mean[0, 1] == pytest.approx(120.0)


def test_what_no_member_serves_is_nan(ensemble):
    mean, spread = ensemble.combine(_said(r=100.0), np.array([0.5]), {})
    assert np.isnan(mean[0, 0])
    assert np.isnan(spread[0, 0])


def test_scales_undo_the_bias_on_the_rows_that_a_member_is_for(ensemble):
    # member r serves the rest: rows 1 and 2; measured 30 + 50, said 20 + 20 -> factor 2
    nothing = np.zeros((4, 1))
    rows = TrainingRows(
        inputs=nothing, values=np.array([[np.nan, v] for v in (99.0, 30.0, 50.0, np.nan)]),
        feasible=np.array([1.0, 0.0, 0.0, 0.0]), system=np.arange(4),
        class_inputs=nothing, labels=np.zeros(4), class_system=np.arange(4),
    )  # fmt: skip
    said = {"r": np.array([[np.nan, v] for v in (1.0, 20.0, 20.0, 20.0)]), "all": np.ones((4, 2))}
    scales = member_scales(ensemble, said, rows, np.ones(4, dtype=bool))
    assert list(scales) == ["r"]
    assert scales["r"] == pytest.approx([1.0, 2.0])


def test_left_out_rows_do_not_reach_a_fold(problem):
    """A value planted in the test fold must not change what the models of that fold predict for it."""
    from aimat_ray.surrogate.fitting import fitting_folds
    from aimat_ray.surrogate.out_of_fold import out_of_fold, training_rows

    data = small_alloy_data(problem, 120)
    space = FeatureSpace(problem.elements)
    rows, folds = training_rows(data, problem, space), fitting_folds(data, problem, 0)
    plain = out_of_fold("judge", space, problem.property_keys, rows, folds, 0)
    row = int(np.flatnonzero(np.isfinite(rows.values[:, 0]))[0])
    spoiled = rows.values.copy()
    spoiled[row, 0] = 1e5
    other = out_of_fold("judge", space, problem.property_keys, replace(rows, values=spoiled), folds, 0)
    same_fold = folds.regression == folds.regression[row]
    assert np.array_equal(plain.mean[same_fold, 0], other.mean[same_fold, 0], equal_nan=True)
    assert not np.array_equal(plain.mean[~same_fold, 0], other.mean[~same_fold, 0], equal_nan=True)
