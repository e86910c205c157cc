"""Weights of members: what predicts unseen systems well weighs most, and nothing is silenced."""

import numpy as np
import pytest

from aimat_ray.surrogate.ensemble import TrainingRows
from aimat_ray.surrogate.features import FeatureSpace
from aimat_ray.surrogate.refined import PropertyModels
from aimat_ray.surrogate.stacking import LEAST_LOG_WEIGHT, stacked_weights

N, P = 60, 0


@pytest.fixture(scope="module")
def models(problem):
    """Both members that the default recipe gives to Tg, fitted on anything."""
    rng = np.random.default_rng(0)
    space = FeatureSpace(problem.elements, ("mass_mean",))
    at_frac = rng.dirichlet(np.full(len(problem.elements), 0.1), N)
    values = np.full((N, len(problem.properties)), np.nan)
    values[:, P] = 600.0 + rng.normal(0.0, 20.0, N)
    none = np.empty(0)
    rows = TrainingRows(space.transform(at_frac), values, np.ones(N), np.arange(N), np.empty((0, 0)), none, none)
    return PropertyModels("default", space, problem.property_keys).fit_property(P, rows, (0,))


def weights_of(models, gp_error, boost_error, chosen=None):
    rng = np.random.default_rng(1)
    measured = rng.normal(600.0, 100.0, N)
    members = {}
    for name, size in (("gp", gp_error), ("boost", boost_error)):
        members[name] = np.full((N, len(models.properties)), np.nan)
        members[name][:, P] = measured + rng.normal(0.0, size, N)
    rows = np.ones(N, bool) if chosen is None else chosen
    return stacked_weights(models, members, np.ones(N), {}, measured, P, rows)


def test_equally_good_members_weigh_about_the_same(models):
    weights = weights_of(models, 30.0, 30.0)
    assert max(weights.values()) == 1.0
    assert min(weights.values()) > 0.5


def test_independent_errors_weigh_by_the_inverse_of_their_variance(models):
    # errors of 20 and 40: 1 / 20^2 to 1 / 40^2 is 4 to 1
    assert weights_of(models, 20.0, 40.0)["boost"] == pytest.approx(0.25, abs=0.12)


def test_a_useless_member_keeps_the_least_weight(models):
    weights = weights_of(models, 1.0, 500.0)
    assert weights == {"gp": 1.0, "boost": pytest.approx(np.exp(LEAST_LOG_WEIGHT))}


def test_without_rows_everybody_weighs_the_same(models):
    assert weights_of(models, 1.0, 500.0, np.zeros(N, bool)) == {"gp": 1.0, "boost": 1.0}
