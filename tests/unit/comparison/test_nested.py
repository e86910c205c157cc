from __future__ import annotations

import warnings

import numpy as np
import pytest

from aimat_ray.comparison import nested
from aimat_ray.comparison.candidates import CLASSIFIERS, COMBINATIONS, REGRESSORS, Candidate
from aimat_ray.comparison.nested import Choice, Rows, choose, fit_predict_classifier, fit_predict_regressor, inner_folds

ISSUE_REGRESSORS = {
    "ridge", "lasso", "elastic_net", "svr", "random_forest", "extra_trees", "adaboost", "gbm", "xgboost", "catboost",
    "knn", "edrvfl", "gp",
}  # fmt: skip
ISSUE_CLASSIFIERS = {
    "logistic_regression", "lda", "qda", "svc", "decision_tree", "random_forest", "gbm", "xgboost", "catboost",
    "adaboost", "knn", "gaussian_nb", "multinomial_nb", "bernoulli_nb", "extra_trees",
}  # fmt: skip


def _rows(n=120, seed=0, labels=False):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 5))
    target = 3.0 * features[:, 0] - features[:, 1] + 0.1 * rng.normal(size=n)
    return Rows(features, (target > 0) * 1.0 if labels else 50.0 + 10.0 * target, np.arange(n) // 4)


def test_every_promised_family_is_compared():
    assert set(REGRESSORS) == ISSUE_REGRESSORS
    assert set(CLASSIFIERS) == ISSUE_CLASSIFIERS
    assert {member for members in COMBINATIONS.values() for member in members} <= ISSUE_REGRESSORS


@pytest.mark.parametrize("name", [name for name, c in REGRESSORS.items() if not c.own])
def test_every_regressor_learns_a_simple_law_in_its_unit(name):
    rows, test = _rows(), _rows(seed=1)
    predicted, choice = fit_predict_regressor(name, rows, test.features, np.random.default_rng(0))
    assert np.corrcoef(predicted, test.target)[0, 1] > 0.6
    assert abs(predicted.mean() - test.target.mean()) < 10
    assert choice.params in REGRESSORS[name].grid


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_gives_probabilities(name):
    rows, test = _rows(labels=True), _rows(seed=1, labels=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p, choice = fit_predict_classifier(name, rows, test.features, np.random.default_rng(0))
    assert p.min() >= 0
    assert p.max() <= 1
    assert p[test.target == 1].mean() > p[test.target == 0].mean() + 0.02
    assert choice.params in CLASSIFIERS[name].grid


@pytest.mark.parametrize("name", ["lda", "qda", "logistic_regression", "gaussian_nb"])
def test_a_classifier_bears_more_inputs_than_rows_of_a_class_and_constant_ones(name):
    rows = _rows(n=60, labels=True)
    wide = np.concatenate([np.random.default_rng(0).normal(size=(60, 80)), np.zeros((60, 3)), rows.features], axis=1)
    p, _ = fit_predict_classifier(name, Rows(wide, rows.target, rows.system), wide, np.random.default_rng(0))
    assert np.isfinite(p).all()


def test_inner_folds_keep_systems_together():
    system = np.repeat(np.arange(20), 3)
    folds = inner_folds(system, np.random.default_rng(0))
    assert all(len(set(folds[system == s])) == 1 for s in range(20))
    assert set(folds) == set(range(nested.N_INNER_FOLDS))


def test_settings_are_chosen_without_test_rows_and_on_unseen_systems():
    """What the loss is shown: never a system on both sides, never a row that is not a training row."""
    rows = _rows()
    seen = []

    def loss(choice, train, held):
        assert not set(train.system) & set(held.system)
        assert set(train.system) | set(held.system) <= set(rows.system)
        seen.append(choice)
        return abs(choice.params["alpha"] - 10.0)

    choices = [Choice({"alpha": a}) for a in (1.0, 10.0, 100.0)]
    assert choose(choices, rows, np.random.default_rng(0), loss).params == {"alpha": 10.0}
    assert len(seen) == 3 * nested.N_INNER_FOLDS


def test_smote_sees_training_rows_only(monkeypatch):
    """Every row that SMOTE is given comes from the training rows, scaled by them."""
    rows, test = _rows(labels=True), _rows(seed=1, labels=True)
    given = []

    def spy(features, labels, rng):
        given.append(len(features))
        return features, labels

    monkeypatch.setattr(nested, "oversample", spy)
    fit_predict_classifier("gaussian_nb", rows, test.features, np.random.default_rng(0))
    assert given
    assert max(given) <= len(rows.target)


def test_scaling_uses_training_rows_alone():
    train, test = nested._scaled("standard", np.array([[0.0], [2.0]]), np.array([[1.0], [101.0]]))
    assert train.tolist() == [[-1.0], [1.0]]
    assert test.tolist() == [[0.0], [100.0]]
    unit = nested._scaled("unit", np.array([[0.0], [2.0]]), np.array([[1.0], [101.0]]))
    assert unit[1].tolist() == [[0.5], [1.0]]


def test_a_missing_library_is_named(monkeypatch):
    import sys

    from aimat_ray.errors import ConfigError

    monkeypatch.setitem(sys.modules, "xgboost", None)
    make = REGRESSORS["xgboost"].make
    assert make is not None
    with pytest.raises(ConfigError, match="aimat-ray\\[benchmark\\]"):
        make({}, 0)


def test_a_family_without_choice_is_not_searched():
    only = [Choice({})]
    assert choose(only, _rows(), np.random.default_rng(0), None) is only[0]
    assert Candidate().grid == ({},)
