from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimat_ray.errors import ArtifactError, ConfigError, DataError
from aimat_ray.surrogate.base import ARRAY_FIELDS, DomainReason, Predictor
from aimat_ray.surrogate.bundle import BUNDLE_NAMES, SurrogateBundle, describe_reason, fit_bundle
from tests.small_alloys import as_data, small_tables


def _same(first, second, fields=ARRAY_FIELDS):
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in fields)


def test_a_bundle_is_a_predictor_and_finds_the_law(bundle, alloys, problem):
    assert isinstance(bundle, Predictor)
    answer = bundle.predict(alloys.regression.at_frac)
    n, p = len(alloys.regression), len(problem.properties)
    assert answer.mean.shape == answer.lower.shape == answer.upper.shape == answer.spread.shape == (n, p)
    assert answer.reason.dtype == np.uint8
    tg = alloys.regression.values[:, 0]
    known = np.isfinite(tg)
    assert np.corrcoef(tg[known], answer.mean[known, 0])[0, 1] > 0.95
    feasible = alloys.regression.feasible == 1
    assert answer.p_feasible[feasible].mean() > answer.p_feasible[~feasible].mean() + 0.5


def test_everything_is_finite_and_in_order_even_for_pure_elements(bundle, problem):
    answer = bundle.predict(np.eye(len(problem.elements)))
    for name in ("p_feasible", "mean", "lower", "upper", "spread", "distance"):
        assert np.isfinite(getattr(answer, name)).all(), name
    assert (answer.lower <= answer.mean).all()
    assert (answer.mean <= answer.upper).all()
    assert ((answer.p_feasible >= 0) & (answer.p_feasible <= 1)).all()
    low, high = np.array([spec.plausible for spec in problem.properties]).T
    assert (answer.lower >= low).all()
    assert (answer.upper <= high).all()


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 200), seed=st.integers(0, 1000))
def test_a_row_does_not_depend_on_its_batch(bundle, problem, n, seed):
    rng = np.random.default_rng(seed)
    at_frac = rng.dirichlet(np.full(len(problem.elements), 0.05), size=n)
    whole = bundle.predict(at_frac)
    order, cut = rng.permutation(n), int(rng.integers(0, n))
    assert _same(whole.rows(order), bundle.predict(at_frac[order]))
    assert _same(whole.rows(slice(cut, None)), bundle.predict(at_frac[cut:]))
    single = int(rng.integers(n))
    assert _same(whole.rows(slice(single, single + 1)), bundle.predict(at_frac[single : single + 1]))


def test_a_stored_bundle_answers_the_same_to_the_bit(bundle, alloys, tmp_path):
    bundle.save(tmp_path / "b")
    again = SurrogateBundle.load(tmp_path / "b")
    assert again.version == bundle.version
    assert again.manifest == bundle.manifest
    assert _same(bundle.predict(alloys.regression.at_frac), again.predict(alloys.regression.at_frac))
    kinds = {path.suffix for path in (tmp_path / "b").rglob("*") if path.is_file()}
    assert kinds == {".json", ".npz", ".cbm"}


def test_the_same_data_and_seed_give_the_same_version(bundle, alloys, problem):
    again = fit_bundle(alloys, problem, "default", seed=0)
    assert again.version == bundle.version
    assert _same(bundle.predict(alloys.regression.at_frac), again.predict(alloys.regression.at_frac))


def test_another_seed_gives_another_version(bundles, alloys, problem):
    assert fit_bundle(alloys, problem, "paper", seed=1).version != bundles["paper"].version


def test_the_version_covers_the_manifest(bundle):
    assert bundle.version.startswith("default-")
    other = bundle.manifest.model_copy(update={"data_checksum": "f" * 64, "version": "", "files": {}})
    assert SurrogateBundle(bundle._parts, other).version != bundle.version


@pytest.mark.parametrize("name", BUNDLE_NAMES)
def test_every_named_bundle_fits_and_records_how_it_was_chosen(name, bundles, problem):
    manifest = bundles[name].manifest
    assert manifest.chosen_by
    assert set(manifest.targets) == set(problem.property_keys)
    record = manifest.targets["tg_k"]
    assert record.members
    assert record.score is not None
    assert record.score.split == "system"
    assert record.score.lower <= record.score.r2 <= record.score.upper
    assert set(record.alternatives) == set(record.members)
    assert manifest.classifier.scores[0].auc > 0.9


def test_default_and_judge_share_no_family(bundles):
    families = []
    for name in ("default", "judge"):
        recipe = bundles[name].manifest.recipe
        families.append({spec["family"] for spec in (*recipe["members"], recipe["classifier"])})
    assert not families[0] & families[1]


def test_progress_is_told(alloys, problem):
    told = []
    fit_bundle(alloys, problem, "paper", seed=0, progress=lambda text, share: told.append(share))
    assert told == sorted(told)
    assert told[0] == 0.0


def test_an_unseen_element_is_outside_with_its_reason(bundle, problem):
    at_frac = np.zeros((2, len(problem.elements)))
    at_frac[:, problem.element_index["Zr"]], at_frac[:, problem.element_index["Cu"]] = 0.5, 0.4
    at_frac[0, problem.element_index["Be"]] = 0.1
    at_frac[1, problem.element_index["Al"]] = 0.1
    answer = bundle.predict(at_frac)
    assert answer.reason[0] == DomainReason.UNSEEN_ELEMENT
    assert not answer.in_domain[0]
    assert answer.reason[1] == DomainReason.INSIDE
    assert answer.in_domain[1]


def test_distance_is_zero_at_measured_alloys_and_grows_away_from_them(bundle, alloys, problem):
    at_measured = bundle.predict(alloys.regression.at_frac)
    assert at_measured.distance.max() < 0.01
    far = bundle.predict(np.eye(len(problem.elements))[[problem.element_index["La"]]])
    assert far.distance[0] > 1.0


def test_neighbours_are_the_nearest_in_at_pct(bundle, alloys):
    index, distance = bundle.neighbours(alloys.regression.at_frac[5:7], k=3)
    assert index[:, 0].tolist() == [5, 6]
    assert distance[:, 0].tolist() == [0.0, 0.0]
    assert (np.diff(distance, axis=1) >= 0).all()


def test_a_property_without_values_gets_the_plausible_range(alloys, problem):
    values = alloys.regression.values.copy()
    values[:, problem.property_keys.index("dmax_mm")] = np.nan
    data = as_data(problem, replace(alloys.regression, values=values), alloys.classification)
    fitted = fit_bundle(data, problem, "default", seed=0)
    answer = fitted.predict(alloys.regression.at_frac[:4])
    spec = next(spec for spec in problem.properties if spec.key == "dmax_mm")
    p = problem.property_keys.index("dmax_mm")
    assert (answer.lower[:, p] == spec.plausible[0]).all()
    assert (answer.upper[:, p] == spec.plausible[1]).all()
    record = fitted.manifest.targets["dmax_mm"]
    assert (record.members, record.n_rows, record.score) == ((), 0, None)
    assert answer.in_domain.any()  # the other properties still count


def test_members_for_one_kind_of_rows_are_replaced_where_there_are_none(problem):
    """Without crystalline rows nothing can be fitted for them; the usual members serve the property."""
    regression, classification = small_tables(problem, 240)
    glasses = regression.feasible == 1
    data = as_data(problem, regression.rows(glasses), classification)
    members = fit_bundle(data, problem, "default", seed=0).manifest.targets["yield_strength_mpa"].members
    assert members == ("gp_feasible",)


def test_without_a_class_table_the_property_rows_give_the_class(alloys, problem):
    data = as_data(problem, alloys.regression, alloys.classification.rows([]))
    answer = fit_bundle(data, problem, "paper", seed=0).predict(alloys.regression.at_frac)
    feasible = alloys.regression.feasible == 1
    assert answer.p_feasible[feasible].mean() > answer.p_feasible[~feasible].mean() + 0.3


def test_one_class_only_gives_its_share(problem):
    regression, classification = small_tables(problem, 60)
    glasses = regression.feasible == 1
    data = as_data(problem, regression.rows(glasses), classification.rows(glasses))
    assert (fit_bundle(data, problem, "judge", seed=0).predict(regression.at_frac).p_feasible == 1.0).all()


def test_a_chosen_set_of_descriptors_is_used(alloys, problem):
    fitted = fit_bundle(alloys, problem, "paper", seed=0, descriptors=["size_mismatch", "h_mix"])
    assert fitted.manifest.descriptors == ("size_mismatch", "h_mix")


def test_bad_requests_are_named(alloys, problem):
    with pytest.raises(ConfigError, match="unknown surrogate 'best'"):
        fit_bundle(alloys, problem, "best", seed=0)
    with pytest.raises(ConfigError, match="unknown descriptor"):
        fit_bundle(alloys, problem, "paper", seed=0, descriptors=["colour"])
    one = as_data(problem, alloys.regression.rows([0]), alloys.classification.rows([0]))
    with pytest.raises(DataError, match="at least two chemical systems"):
        fit_bundle(one, problem, "default", seed=0)


def test_damaged_artifacts_are_refused(bundle, tmp_path):
    folder = tmp_path / "b"
    bundle.save(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ArtifactError, match="format 99"):
        SurrogateBundle.load(folder)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "surprise": 1}))
    with pytest.raises(ArtifactError, match="surprise"):
        SurrogateBundle.load(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "state.json").write_bytes(b"{}")
    with pytest.raises(ArtifactError, match="checksum"):
        SurrogateBundle.load(folder)


def test_every_reason_has_words():
    assert all(describe_reason(reason) for reason in DomainReason)
