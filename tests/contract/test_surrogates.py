"""What every model family promises: fitting, storing, refitting, and answers that do not depend on the batch."""

from __future__ import annotations

import ast
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimat_ray.errors import ArtifactError
from aimat_ray.surrogate.artifacts import ModelState, pack, unpack
from aimat_ray.surrogate.families import CLASSIFIERS, REGRESSORS, make, restore

SMALL: dict[str, dict[str, Any]] = {
    "boosted_regressor": {"iterations": 20},
    "boosted_classifier": {"iterations": 20, "bags": 2},
    "edrvfl": {"n_layers": 3, "n_hidden": 16},
    "forest": {"n_trees": 8},
    "forest_classifier": {"n_trees": 8},
    "gp": {"max_iterations": 5},
}
N, D, M = 90, 7, 2


def _data(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N, D))
    targets = np.stack([features[:, 0] + 0.1 * rng.normal(size=N), 100 + 10 * features[:, 1]], axis=1)
    targets[rng.random((N, M)) < 0.2] = np.nan
    return features, targets, np.arange(N) // 5


def _fitted(kind: str, seed: int = 0) -> Any:
    features, targets, groups = _data()
    if kind in CLASSIFIERS:
        targets = (features[:, 0] > 0.3).astype(float)
    return make(kind, **SMALL.get(kind, {})).fit(features, targets, np.random.default_rng(seed), groups)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    """One fitted model per family."""
    return {kind: _fitted(kind) for kind in (*REGRESSORS, *CLASSIFIERS)}


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_regressor_learns_each_target_despite_missing_values(kind, fitted):
    features, targets, _ = _data()
    predicted = fitted[kind].predict(features)
    assert predicted.shape == (N, M)
    for m in range(M):
        known = np.isfinite(targets[:, m])
        error = np.var(targets[known, m] - predicted[known, m])
        assert error < 0.5 * np.var(targets[known, m])


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_gives_probabilities_that_order_the_classes(kind, fitted):
    features, _, _ = _data()
    p = fitted[kind].predict(features)
    assert p.shape == (N,)
    assert ((p >= 0) & (p <= 1)).all()
    feasible = features[:, 0] > 0.3
    assert p[feasible].mean() > p[~feasible].mean() + 0.3


@pytest.mark.parametrize("kind", (*REGRESSORS, *CLASSIFIERS))
def test_a_stored_model_answers_the_same_to_the_bit(kind, fitted):
    features, _, _ = _data(1)
    again = restore(unpack(pack(fitted[kind].state())))
    assert np.array_equal(fitted[kind].predict(features), again.predict(features))
    assert pack(again.state()) == pack(fitted[kind].state())


@pytest.mark.parametrize("kind", (*REGRESSORS, *CLASSIFIERS))
def test_the_same_seed_gives_the_same_model(kind, fitted):
    assert pack(_fitted(kind).state()) == pack(fitted[kind].state())


@pytest.mark.parametrize("kind", (*REGRESSORS, *CLASSIFIERS))
def test_refitting_forgets_everything(kind):
    """A model that saw other rows before must equal a fresh one (the published edRVFL kept its old weights)."""
    features, targets, groups = _data()
    other, other_targets, _ = _data(5)
    if kind in CLASSIFIERS:
        targets, other_targets = (features[:, 0] > 0.3) * 1.0, (other[:, 1] > 0) * 1.0
    params = SMALL.get(kind, {})
    used = make(kind, **params).fit(other, other_targets, np.random.default_rng(9), groups)
    before = used.predict(features)
    used.fit(features, targets, np.random.default_rng(0), groups)
    fresh = make(kind, **params).fit(features, targets, np.random.default_rng(0), groups)
    assert np.array_equal(used.predict(features), fresh.predict(features))
    assert not np.array_equal(used.predict(features), before)


@pytest.mark.parametrize("kind", (*REGRESSORS, *CLASSIFIERS))
@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 300), seed=st.integers(0, 10_000))
def test_a_row_does_not_depend_on_its_batch(kind, fitted, n, seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, D))
    whole = fitted[kind].predict(features)
    cut = int(rng.integers(0, n))
    parts = [fitted[kind].predict(part) for part in (features[:cut], features[cut:]) if len(part)]
    order = rng.permutation(n)
    assert np.array_equal(whole, np.concatenate(parts))
    assert np.array_equal(whole[order], fitted[kind].predict(features[order]))


@pytest.mark.parametrize("kind", (*REGRESSORS, *CLASSIFIERS))
def test_inputs_are_not_modified(kind, fitted):
    features, _, _ = _data(2)
    before = features.copy()
    fitted[kind].predict(features)
    assert np.array_equal(features, before)


def test_an_unknown_family_is_refused():
    with pytest.raises(ArtifactError, match="unknown family 'oracle'"):
        restore(ModelState("oracle"))


def test_nothing_in_the_surrogate_layer_can_unpickle():
    """No import of a module that runs code from files, and every np.load forbids pickles."""
    banned = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
    for entry in resources.files("aimat_ray.surrogate").iterdir():
        if not entry.name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(entry.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not banned & {name.split(".")[0] for name in names}, entry.name
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec"), entry.name
                if called == "np.load":
                    assert "allow_pickle=False" in ast.unparse(node), entry.name


def test_a_forest_whose_arrays_point_outside_is_refused(fitted):
    """The compiled tree walker does not check bounds, so damaged arrays must not reach it."""
    state = fitted["forest"].state()
    for name, value in (("left", 10_000), ("feature", 99), ("right", 0)):
        arrays = {key: array.copy() for key, array in state.arrays.items()}
        arrays[name][0] = value
        with pytest.raises(ArtifactError, match="points outside"):
            restore(ModelState(state.kind, state.meta, arrays))


def test_an_object_array_is_refused(tmp_path: Path):
    files = dict(pack(ModelState("x", arrays={"a": np.zeros(2)})))
    target = tmp_path / "evil.npz"
    np.savez(target, **{":a": np.array([{"run": "me"}], dtype=object)}, allow_pickle=True)
    files["arrays.npz"] = target.read_bytes()
    with pytest.raises(ArtifactError, match="damaged"):
        unpack(files)
