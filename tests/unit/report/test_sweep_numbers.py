"""Fronts, hypervolumes and importances, against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aimat_ray.report.importance import MIN_SAMPLES, Sample, encoded, importance, samples_of
from aimat_ray.report.pareto import hypervolume, pareto_front

POINTS = arrays(np.float64, st.tuples(st.integers(0, 12), st.just(2)), elements=st.integers(-5, 5).map(float))


def test_front_by_hand() -> None:
    points = [[1, 3], [2, 2], [3, 1], [1, 1], [2, 2], [3, 0]]
    assert pareto_front(points).tolist() == [2, 1, 0]
    # rectangles of height 1: 3 * 1 + 2 * 1 + 1 * 1
    assert hypervolume(points, (0, 0)) == 6.0
    assert hypervolume(points, (1, 1)) == 1.0
    assert hypervolume([], (0, 0)) == 0.0


@settings(deadline=None)
@given(POINTS)
def test_front_is_what_nothing_beats(points: np.ndarray) -> None:
    front = points[pareto_front(points)]
    for point in points:
        assert (front >= point).all(axis=1).any()
    for i, point in enumerate(front):
        others = np.delete(front, i, axis=0)
        assert not (others >= point).all(axis=1).any()


@settings(deadline=None)
@given(POINTS)
def test_hypervolume_counts_covered_cells(points: np.ndarray) -> None:
    cells = [(x, y) for x in range(-5, 5) for y in range(-5, 5)]
    covered = sum(bool((points >= (x + 1, y + 1)).all(axis=1).any()) for x, y in cells)
    assert hypervolume(points, (-5, -5)) == covered


def test_importance_finds_the_setting_that_matters() -> None:
    rng = np.random.default_rng(3)
    points = [{"a": float(rng.uniform()), "b": str(rng.choice(["x", "y"]))} for _ in range(40)]
    found = importance([Sample(str(i), dict(point), float(point["a"])) for i, point in enumerate(points)])
    assert found is not None
    assert found.r2 > 0.8
    assert list(found.loss) == ["a", "b"]
    assert found.loss["a"][0] > 1.0  # without it the forest does worse than the mean
    assert abs(found.loss["b"][0]) < 0.1


def test_importance_of_noise_says_so() -> None:
    rng = np.random.default_rng(4)
    samples = [Sample(str(i), {"a": float(rng.uniform())}, float(rng.uniform())) for i in range(40)]
    found = importance(samples)
    assert found is not None
    assert found.r2 < 0.1


def test_too_few_or_equal_samples_have_no_importance() -> None:
    assert importance([Sample("x", {"a": float(i)}, float(i)) for i in range(MIN_SAMPLES - 1)]) is None
    assert importance([Sample("x", {"a": float(i)}, 0.5) for i in range(MIN_SAMPLES)]) is None


def test_settings_become_numbers() -> None:
    columns = encoded([{"lr": 1e-4, "kind": "b"}, {"lr": 1e-2, "kind": "a"}])
    assert columns["lr"] == pytest.approx(np.log([1e-4, 1e-2]))
    assert columns["kind"].tolist() == [1.0, 0.0]
    plain = samples_of([("x", {"on": True, "sizes": [32, 32], "n": 3}, 0.5), ("y", {"on": False}, float("nan"))])
    assert [sample.point for sample in plain] == [{"on": "True", "sizes": "[32, 32]", "n": 3}]
