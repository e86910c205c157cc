"""Nearest alloys of batches: the same rows and distances as one by one."""

import numpy as np
import pytest

from aimat_ray.registry.neighbours import NearestAlloys
from aimat_ray.surrogate.domain import Neighbours


def rows(n, seed, n_elements=12, decimals=None):
    generator = np.random.default_rng(seed)
    at_frac = np.zeros((n, n_elements))
    for row in at_frac:
        present = generator.choice(n_elements, generator.integers(1, 5), replace=False)
        row[present] = generator.dirichlet(np.ones(len(present)))
    if decimals is not None:
        at_frac = np.round(at_frac, decimals)
        at_frac[at_frac.sum(axis=1) == 0, 0] = 1.0
        at_frac /= at_frac.sum(axis=1, keepdims=True)
    return at_frac


@pytest.mark.parametrize("k", [1, 2, 7, 60, 500])
@pytest.mark.parametrize("decimals", [None, 1])  # coarse compositions: many equal distances
def test_same_as_one_by_one(k, decimals):
    measured, asked = rows(60, 0, decimals=decimals), rows(40, 1, decimals=decimals)
    asked = np.concatenate([asked, measured[:10]])
    index, distance = NearestAlloys(measured)(asked, k)
    expected_index, expected_distance = Neighbours(measured)(asked, k)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_array_equal(distance, expected_distance)


def test_none_wanted_or_none_asked():
    nearest = NearestAlloys(rows(5, 0))
    assert nearest(rows(3, 1), 0)[0].shape == (3, 0)
    assert nearest(np.zeros((0, 12)), 2)[0].shape == (0, 2)
