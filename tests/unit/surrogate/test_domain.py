from __future__ import annotations

import numpy as np
import pytest

from aimat_ray.surrogate.base import DomainReason
from aimat_ray.surrogate.domain import NO_ROW, DistanceIndex, Domain, Neighbours

NAN = np.nan


def test_distances_by_hand():
    # Two columns with standard deviation 1 and 2; values: row 0 measures a, row 1 measures b.
    rows = np.array([[-1.0, -2.0], [1.0, 2.0]])
    index = DistanceIndex().fit(rows, np.array([[5.0, NAN], [NAN, 5.0]]))
    distance, by_property = index.query(np.array([[-1.0, -2.0], [-1.0, 2.0]]))
    # row 0: at row 0; to row 1 the standardised difference is (2, 2), its root mean square 2
    # row 1: to row 0 (0, 2) -> sqrt(2), to row 1 (2, 0) -> sqrt(2)
    assert distance == pytest.approx([0, np.sqrt(2)], abs=1e-3)
    assert by_property[0] == pytest.approx([0, 2], abs=1e-3)
    assert by_property[1] == pytest.approx([np.sqrt(2)] * 2, abs=1e-3)


def test_distances_agree_with_a_plain_computation():
    rng = np.random.default_rng(0)
    rows, values = rng.normal(size=(150, 9)), rng.normal(size=(150, 4))
    values[rng.random(values.shape) < 0.5] = NAN
    points = rng.normal(size=(70, 9))
    distance, by_property = DistanceIndex().fit(rows, values).query(points)
    scaled, other = rows / rows.std(axis=0), points / rows.std(axis=0)
    plain = np.sqrt(((other[:, None] - scaled[None]) ** 2).mean(axis=2))
    assert np.allclose(distance, plain.min(axis=1), atol=1e-3)
    for p in range(4):
        assert np.allclose(by_property[:, p], plain[:, np.isfinite(values[:, p])].min(axis=1), atol=1e-3)


def test_a_property_that_nothing_measures_is_far_from_everything():
    _, by_property = DistanceIndex().fit(np.eye(3), np.array([[1.0, NAN]] * 3)).query(np.eye(3))
    assert (by_property[:, 1] == NO_ROW).all()


def _domain():
    # Elements A B C D: A heads two systems, B one; D never occurs. Three properties, the last never measured.
    at_frac = np.array([[0.6, 0.4, 0, 0], [0.7, 0, 0.3, 0], [0.4, 0.6, 0, 0]])
    values = np.array([[1.0, 2.0, NAN]] * 3)
    return Domain().fit(at_frac, values, np.array([0, 1, 0]))


def _decide(composition, distance=0.1, by_property=(0.1, 0.1, NO_ROW)):
    row = np.array([composition])
    return DomainReason(int(_domain().decide(row, np.array([distance]), np.array([by_property]))[0]))


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"composition": [0.6, 0.4, 0, 0]}, DomainReason.INSIDE),
        ({"composition": [0.6, 0.3, 0, 0.1]}, DomainReason.UNSEEN_ELEMENT),
        ({"composition": [0.6, 0.4, 0, 0], "distance": 0.71}, DomainReason.TOO_FAR),
        ({"composition": [0.3, 0.6, 0.1, 0]}, DomainReason.FEW_SYSTEMS),
        ({"composition": [0.6, 0.4, 0, 0], "by_property": (0.8, 0.9, NO_ROW)}, DomainReason.NO_MEASURED_NEIGHBOUR),
        # one of the two measured properties nearby is half of them: enough
        ({"composition": [0.6, 0.4, 0, 0], "by_property": (0.1, 0.9, NO_ROW)}, DomainReason.INSIDE),
        # the unseen element comes first
        ({"composition": [0.6, 0.3, 0, 0.1], "distance": 2.0}, DomainReason.UNSEEN_ELEMENT),
    ],
)
def test_reasons(case, expected):
    assert _decide(**case) == expected


def test_neighbours_by_hand():
    # half the sum of absolute differences: moving 10 at% from A to B is a distance of 10 at%
    near = Neighbours(np.array([[0.5, 0.5, 0], [0.6, 0.4, 0], [0, 0, 1]]))
    index, distance = near(np.array([[0.58, 0.42, 0]]), k=5)
    assert index.tolist() == [[1, 0, 2]]
    assert distance[0] == pytest.approx([2, 8, 100])
