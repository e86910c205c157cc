"""Refined surrogates: the refined property changes, everything else stays as it was, to the bit."""

from dataclasses import replace

import numpy as np
import pytest
from planted_alloys import planted_bundle, planted_small_data

from aimat_ray.errors import ConfigError
from aimat_ray.surrogate.bundle import SurrogateBundle
from aimat_ray.surrogate.calibration import ClassCalibrator
from aimat_ray.surrogate.changed import changed_property
from aimat_ray.surrogate.refitting import property_rows, refit_property

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def planted(problem):
    data = planted_small_data(problem)
    bundle = planted_bundle(data, problem)
    return data, bundle, property_rows(bundle, data, problem, "tg_k")


def region(planted):
    return np.array(planted[0].regression.at_frac[:40])


@pytest.fixture(scope="module")
def refit(planted, problem):
    _, bundle, prepared = planted
    return refit_property(bundle, problem, prepared, ["h_mix"], region(planted))


def test_the_descriptor_behind_the_law_helps_on_unseen_systems(refit):
    assert refit.gain > 0.5 and refit.p_value < 0.01
    assert refit.rmse_after < refit.rmse_before
    assert (refit.n, refit.n_systems) == (350, 70)
    assert 0.8 < refit.coverage <= 1.0
    assert refit.variance_after < 0.8 * refit.variance_before


def test_a_descriptor_that_has_nothing_to_do_with_it_does_not(planted, problem):
    _, bundle, prepared = planted
    refit = refit_property(bundle, problem, prepared, ["conductivity_mean"], region(planted))
    assert refit.gain < 0.2


def test_the_rest_of_the_bundle_stays(planted, refit, problem):
    data, bundle, _ = planted
    at_frac = np.array(data.regression.at_frac[:60])
    before, after = bundle.predict(at_frac), refit.bundle.predict(at_frac)
    p = problem.property_keys.index("tg_k")
    others = [i for i in range(len(problem.property_keys)) if i != p]
    for name in ("mean", "lower", "upper", "spread"):
        np.testing.assert_array_equal(getattr(before, name)[:, others], getattr(after, name)[:, others])
    for name in ("p_feasible", "distance", "in_domain"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert (before.mean[:, p] != after.mean[:, p]).all()
    assert bundle.version != refit.bundle.version and refit.bundle.name == bundle.name


def test_a_refined_bundle_survives_its_folder(refit, planted, tmp_path):
    data, _, _ = planted
    refit.bundle.save(tmp_path / "b")
    loaded = SurrogateBundle.load(tmp_path / "b")
    at_frac = np.array(data.regression.at_frac)
    for name in ("mean", "lower", "upper", "spread", "p_feasible"):
        np.testing.assert_array_equal(
            getattr(refit.bundle.predict(at_frac), name), getattr(loaded.predict(at_frac), name)
        )
    assert loaded.version == refit.bundle.version
    assert loaded.manifest.recipe["refined"] == {"tg_k": ["h_mix"]}


def test_a_row_does_not_depend_on_its_batch(refit, planted):
    at_frac = np.array(planted[0].regression.at_frac[:33])
    whole = refit.bundle.predict(at_frac).mean
    np.testing.assert_array_equal(whole[5:6], refit.bundle.predict(at_frac[5:6]).mean)


def test_refining_again_adds_to_what_is_there(refit, planted, problem):
    data, _, _ = planted
    prepared = property_rows(refit.bundle, data, problem, "tg_k")
    again = refit_property(refit.bundle, problem, prepared, ["h_mix", "s_mix"], region(planted))
    assert again.bundle.manifest.recipe["refined"] == {"tg_k": ["h_mix", "s_mix"]}
    assert again.rmse_before == pytest.approx(refit.rmse_after, rel=0.02)


def test_the_same_refit_gives_the_same_version(refit, planted, problem):
    _, bundle, prepared = planted
    assert refit_property(bundle, problem, prepared, ["h_mix"], region(planted)).bundle.version == refit.bundle.version


@pytest.mark.parametrize(("key", "picks"), [("tg", ["h_mix"]), ("tg_k", ["phlogiston"])])
def test_unknown_names_are_refused(planted, problem, key, picks):
    data, bundle, prepared = planted
    with pytest.raises(ConfigError, match=r"no property|unknown descriptor"):
        rows = property_rows(bundle, data, problem, key) if key == "tg" else prepared
        refit_property(bundle, problem, rows, picks, region(planted))


def test_what_changed_is_the_refined_property_and_predicts_as_the_bundle_does(refit, planted, problem):
    _, bundle, _ = planted
    changed = changed_property(bundle, refit.bundle)
    assert changed.target == problem.property_keys.index("tg_k") and changed.version == refit.bundle.version
    at_frac = region(planted)
    mean, spread = changed.predict(at_frac)
    whole = refit.bundle.predict(at_frac)
    np.testing.assert_array_equal(mean, whole.mean[:, changed.target])
    np.testing.assert_array_equal(spread, whole.spread[:, changed.target])


def test_bundles_that_differ_in_more_than_a_refinement_changed_as_a_whole(refit, planted, problem):
    _, bundle, _ = planted
    assert changed_property(refit.bundle, refit.bundle) is None
    assert changed_property(refit.bundle, bundle) is None  # back to the first: nothing of it is refined
    calibrator = ClassCalibrator(bundle._parts.class_calibrator.slope, 3.0)
    parts = replace(refit.bundle._parts, class_calibrator=calibrator)
    other = SurrogateBundle(parts, refit.bundle.manifest.model_copy(update={"version": "", "files": {}}))
    assert changed_property(bundle, other) is None
