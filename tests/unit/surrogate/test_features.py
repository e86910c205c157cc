from __future__ import annotations

import numpy as np

from aimat_ray.descriptors import DESCRIPTOR_CATALOGUE
from aimat_ray.surrogate.features import FeatureSpace


def test_views_are_the_columns_they_say():
    space = FeatureSpace(("Zr", "Cu", "Al"), ["h_mix", "size_mismatch"])
    at_frac = np.array([[0.64, 0.36, 0.0]])
    inputs = space.transform(at_frac)
    assert inputs.shape == (1, 8)
    assert np.array_equal(space.view(inputs, "fractions"), at_frac)
    assert np.array_equal(space.view(inputs, "kernel")[:, :3], [[0.8, 0.6, 0.0]])
    assert np.array_equal(space.view(inputs, "descriptors"), space.descriptors.transform(at_frac))
    assert space.view(inputs, "trees").shape == (1, 5)


def test_groups_partition_the_view():
    space = FeatureSpace(("Zr", "Cu", "Al"))
    for view in ("fractions", "descriptors", "trees", "kernel"):
        width = space.view(np.zeros((1, 6 + len(DESCRIPTOR_CATALOGUE))), view).shape[1]
        columns = sorted(c for group in space.groups(view) for c in group)
        assert columns == list(range(width)), view
    named = space.groups("descriptors")[0]
    assert {DESCRIPTOR_CATALOGUE[space.names[i]].group for i in named} == {"size"}
