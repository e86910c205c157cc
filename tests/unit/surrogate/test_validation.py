from __future__ import annotations

import numpy as np
import pytest

from aimat_ray.surrogate.validation import auc, coverage, score_class, score_regression


def test_scores_of_a_small_table_by_hand():
    # y: mean 2.5, squares around it 5; errors 0, 0, 1, 1 -> r2 = 1 - 2/5
    score = score_regression(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 2, 5]), np.array([0, 0, 1, 1]))
    assert score is not None
    assert score.r2 == pytest.approx(0.6)
    assert score.rmse == pytest.approx(np.sqrt(0.5))
    assert score.mae == pytest.approx(0.5)
    assert (score.n, score.n_systems) == (4, 2)


def test_rows_without_value_or_prediction_do_not_count():
    y = np.array([1.0, np.nan, 3, 4, 5])
    f = np.array([1.0, 2, np.nan, 4, 5])
    score = score_regression(y, f, np.arange(5))
    assert score is not None
    assert score.n == 3


def test_nothing_to_score_is_none_not_a_number():
    assert score_regression(np.full(4, np.nan), np.zeros(4), np.arange(4)) is None
    assert score_regression(np.ones(4), np.zeros(4), np.arange(4)) is None
    assert score_class(np.ones(4), np.full(4, 0.5), np.arange(4)) is None


def test_the_interval_resamples_systems_not_rows():
    """A hundred copies of few systems must not look like many independent rows."""
    rng = np.random.default_rng(0)
    y, noise = rng.normal(size=12), rng.normal(size=12)
    few = score_regression(np.repeat(y, 100), np.repeat(y + noise, 100), np.repeat(np.arange(12), 100))
    many = score_regression(np.repeat(y, 100), np.repeat(y + noise, 100), np.arange(1200))
    assert few is not None
    assert many is not None
    assert few.r2 == pytest.approx(many.r2)
    assert few.upper - few.lower > 3 * (many.upper - many.lower)


def test_auc_by_hand_with_a_tie():
    # pairs (positive, negative): .8>.1, .8>.5, .5>.1, .5=.5 (half) -> 3.5 / 4
    assert auc(np.array([1.0, 0, 1, 0]), np.array([0.8, 0.1, 0.5, 0.5])) == pytest.approx(0.875)


def test_auc_agrees_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    y = (rng.random(200) < 0.3) * 1.0
    p = np.round(rng.random(200), 1)
    w = rng.integers(0, 3, 200).astype(float)
    assert auc(y, p, w) == pytest.approx(roc_auc_score(y, p, sample_weight=w))


def test_class_scores_by_hand():
    # predicted feasible: rows 0 and 1; true: rows 0 and 2 -> precision 1/2, recall 1/2
    score = score_class(np.array([1.0, 0, 1, 0]), np.array([0.9, 0.6, 0.4, 0.1]), np.arange(4))
    assert score is not None
    assert (score.precision, score.recall, score.f1) == (0.5, 0.5, pytest.approx(0.5))
    assert score.brier == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)


def test_coverage_counts_measured_rows_only():
    measured = np.array([1.0, 2.0, np.nan, 4.0])
    assert coverage(measured, np.zeros(4), np.array([1.0, 1.5, 9, 9])) == pytest.approx(2 / 3)
    assert np.isnan(coverage(np.full(2, np.nan), np.zeros(2), np.ones(2)))
