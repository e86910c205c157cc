from __future__ import annotations

import numpy as np
import pytest

from aimat_ray.surrogate.boosting import BoostedClassifier, oversample
from aimat_ray.surrogate.edrvfl import EdRvfl
from aimat_ray.surrogate.forest import Forest, _bootstrap
from aimat_ray.surrogate.gp import GroupedGp, _negative_log_likelihood, _squared_distances
from aimat_ray.surrogate.linalg import BLOCK_ROWS, blockwise, standardise
from aimat_ray.surrogate.svr import SupportVectors


def _rows(n=60, d=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, (np.sin(x[:, 0]) + x[:, 1] * x[:, 2])[:, None]


def test_blocks_have_one_shape_and_padding_is_cut_off():
    shapes = []

    def double(block):
        shapes.append(block.shape)
        return 2 * block, block.sum(axis=1)

    rows = np.arange(2 * BLOCK_ROWS + 6.0)[:, None]
    doubled, sums = blockwise(double, rows)
    assert set(shapes) == {(BLOCK_ROWS, 1)}
    assert np.array_equal(doubled, 2 * rows)
    assert np.array_equal(sums, rows[:, 0])
    assert blockwise(double, rows[:0])[0].shape == (0, 1)


def test_a_constant_column_keeps_its_scale():
    scaled, centre, scale = standardise(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert np.array_equal(scaled, [[-1, 0], [1, 0]])
    assert np.array_equal(centre, [2, 5])
    assert np.array_equal(scale, [1, 1])


def test_gp_gradient_agrees_with_differences():
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(30, 5)), [[0, 1], [2, 3, 4]]
    y = x[:, 0] + 0.1 * rng.normal(size=30)
    distances = np.stack([_squared_distances(x[:, g], x[:, g]) / len(g) for g in groups])
    products = np.stack([x[:, g] @ x[:, g].T / len(g) for g in groups])
    theta = np.array([-1.0, -0.5, 0.2, -2.0, -1.0])
    _, gradient = _negative_log_likelihood(theta, distances, products, y)
    for i in range(len(theta)):
        step = np.zeros(len(theta))
        step[i] = 1e-5
        up, _ = _negative_log_likelihood(theta + step, distances, products, y)
        down, _ = _negative_log_likelihood(theta - step, distances, products, y)
        assert gradient[i] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-6)


def test_gp_mean_agrees_with_scikit_learn_at_the_same_kernel():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import DotProduct, Matern, WhiteKernel

    x, y = _rows()
    y = y + 0.5 * np.random.default_rng(5).normal(size=y.shape)
    model = GroupedGp().fit(x, y, np.random.default_rng(0))
    weight, signal, linear, noise = np.exp(model.state().arrays["log_hyper"])
    scaled, _, _ = standardise(x)
    scaled = scaled * np.sqrt(weight / x.shape[1])
    kernel = signal * Matern(nu=2.5) + linear * DotProduct(1e-6, "fixed") + WhiteKernel(noise)
    reference = GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(scaled, y[:, 0])
    assert np.allclose(model.predict(x)[:, 0], reference.predict(scaled), atol=2e-3)


def test_gp_weighs_the_group_that_matters():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 6))
    model = GroupedGp(groups=[[0, 1, 2], [3, 4, 5]]).fit(x, np.sin(2 * x[:, :1]), rng)
    first, second = model.state().arrays["log_hyper"][:2]
    assert first > second + 1


def test_svr_agrees_with_scikit_learn():
    from sklearn.svm import SVR

    x, y = _rows()
    scaled, _, _ = standardise(x)
    target = (y[:, 0] - y.mean()) / y.std()
    reference = SVR(C=10.0, epsilon=0.05, gamma=0.5 / x.shape[1]).fit(scaled, target)
    predicted = SupportVectors().fit(x, y, np.random.default_rng(0)).predict(x)[:, 0]
    assert np.allclose(predicted, y.mean() + y.std() * reference.predict(scaled), atol=1e-4)


def test_edrvfl_averages_ridge_solutions_of_its_layers():
    """With one layer the prediction is plain ridge regression on [hidden, input]."""
    x, y = _rows()
    model = EdRvfl(n_layers=1, n_hidden=8, ridges=(0.1,)).fit(x, y, np.random.default_rng(3))
    scaled, _, _ = standardise(x)
    a = model.state().arrays
    design = np.concatenate([np.maximum(scaled @ a["w0"] + a["b0"], 0), scaled], axis=1)
    target = (y[:, 0] - y.mean()) / y.std()
    weights = np.linalg.solve(design.T @ design + 0.1 * len(x) * np.eye(13), design.T @ target)
    assert np.allclose(model.predict(x)[:, 0], y.mean() + y.std() * (design @ weights), atol=1e-4)


def test_a_forest_is_the_mean_of_scikit_learn_trees():
    from sklearn.tree import ExtraTreeRegressor

    x, y = _rows()
    forest = Forest(n_trees=3, max_features=0.5).fit(x, y, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    single = x.astype(np.float32)
    trees = [
        ExtraTreeRegressor(max_features=0.5, random_state=int(rng.integers(2**31 - 1))).fit(single, y[:, 0])
        for _ in range(3)
    ]
    fresh = _rows(seed=1)[0]
    each = np.stack([tree.predict(fresh.astype(np.float32)) for tree in trees])
    mean, spread = forest.predict_with_spread(fresh)
    assert np.allclose(mean[:, 0], each.mean(axis=0), rtol=1e-6)
    assert np.allclose(spread[:, 0], each.std(axis=0), rtol=1e-5, atol=1e-7)


def test_a_bootstrap_takes_whole_systems():
    groups = np.repeat(np.array(["a", "b", "c", "d"]), [1, 2, 3, 4])
    rows = _bootstrap(groups, np.random.default_rng(0))
    drawn = groups[rows]
    for name, size in zip("abcd", (1, 2, 3, 4), strict=True):
        assert np.sum(drawn == name) % size == 0
    assert len(set(drawn)) < 4  # some system is left out in this draw


def test_smote_balances_the_rows_it_is_given_and_no_others():
    x, _ = _rows(50)
    labels = np.array([1.0] * 8 + [0.0] * 42)
    filled, target = oversample(x, labels, np.random.default_rng(0))
    assert (target == 1).sum() == (target == 0).sum() == 42
    assert np.array_equal(filled[:50], x)
    # made-up rows lie between real rows of the small class
    low, high = x[:8].min(axis=0), x[:8].max(axis=0)
    assert ((filled[50:] >= low - 1e-9) & (filled[50:] <= high + 1e-9)).all()


def test_smote_leaves_a_class_of_two_rows_alone():
    x, _ = _rows(10)
    labels = np.array([1.0] * 2 + [0.0] * 8)
    assert oversample(x, labels, np.random.default_rng(0))[0] is x


def test_smote_is_part_of_the_fit():
    x, _ = _rows(60)
    labels = (x[:, 0] > 0.8) * 1.0
    plain = BoostedClassifier(smote=False, iterations=20).fit(x, labels, np.random.default_rng(0)).predict(x)
    filled = BoostedClassifier(smote=True, iterations=20).fit(x, labels, np.random.default_rng(0)).predict(x)
    assert filled.mean() > plain.mean()


def test_edrvfl_stays_within_the_training_values_and_ignores_rows_without_any():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 4)), rng.normal(size=(60, 1))
    empty = np.full((5, 1), np.nan)
    model = EdRvfl(n_layers=3, n_hidden=16).fit(features, targets, np.random.default_rng(1))
    far = 50.0 * rng.normal(size=(20, 4))
    assert model.predict(far).min() >= targets.min()
    assert model.predict(far).max() <= targets.max()
    more = EdRvfl(n_layers=3, n_hidden=16).fit(
        np.concatenate([features, 1e3 + features[:5]]), np.concatenate([targets, empty]), np.random.default_rng(1)
    )
    np.testing.assert_array_equal(more.predict(features), model.predict(features))
