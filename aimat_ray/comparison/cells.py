"""One cell of the comparison: a model, its inputs, a kind of folds and a seed, predicted out of fold.

A cell is self-contained and deterministic, so cells run anywhere in any order, and one that is kept under its content
hash never has to run again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aimat_ray.comparison.candidates import REGRESSORS, Features
from aimat_ray.comparison.nested import Choice, Rows, fit_predict_classifier, fit_predict_regressor
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.splits import FoldMap, SplitKind
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.fits import source_fingerprint
from aimat_ray.surrogate.domain import DistanceIndex
from aimat_ray.surrogate.ensemble import MIN_ROWS, TrainingRows
from aimat_ray.surrogate.families import make
from aimat_ray.surrogate.features import FeatureSpace, View
from aimat_ray.surrogate.fitting import fitting_folds
from aimat_ray.surrogate.out_of_fold import out_of_fold, training_rows

FloatArray = NDArray[np.float64]
Kind = Literal["regressor", "classifier", "bundle"]
_STREAM = {"regressor": 1, "classifier": 2}
_VIEWS: dict[Features, View] = {"fractions": "fractions", "descriptors": "descriptors", "both": "trees"}
# The code that out-of-fold answers depend on, of single families and of bundles. Calibration comes after the cells.
_FAMILY_CODE = (
    *(f"comparison/{name}.py" for name in ("candidates", "cells", "nested")),
    *(f"surrogate/{name}.py" for name in ("boosting", "domain", "edrvfl", "features", "gp", "linalg", "out_of_fold")),
    *(f"data/{name}.py" for name in ("composition", "elements", "splits")),
    "data/tables", "descriptors.py",
)  # fmt: skip
_BUNDLE_CODE = (
    *_FAMILY_CODE,
    *(f"surrogate/{name}.py" for name in ("ensemble", "families", "forest", "recipes", "svr")),
)
_LIBRARIES = ("catboost", "imbalanced-learn", "numpy", "scikit-learn", "xgboost-cpu")


@dataclass(frozen=True)
class Cell:
    """What is fitted and predicted.

    Attributes:
        kind: A single family for properties, one for the class, or a whole bundle (both).
        model: Name of the family or the bundle.
        features: Inputs of a single family; "both" for bundles, which choose their own.
        split: Kind of folds.
        seed: Seed of folds and models.
    """

    kind: Kind
    model: str
    features: Features
    split: SplitKind
    seed: int

    @property
    def label(self) -> str:
        """Name of the model in tables: a bundle's name, or family/features."""
        return self.model if self.kind == "bundle" else f"{self.model}/{self.features}"

    def key(self, data: AlloyData) -> str:
        """Content hash of everything that the result depends on."""
        inputs = asdict(self) | {
            "data": data.checksum, "problem": data.problem.model_dump(mode="json"), "code": _code_of(self.kind),
        }  # fmt: skip
        return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:24]


@dataclass(frozen=True, eq=False)
class CellResult:
    """Out-of-fold answers of a cell.

    Attributes:
        arrays: `mean` [N, P], `spread` [N, P], `route` [N] and `by_property` [N, P] (see `OutOfFold`) where properties
            are predicted; `class_p` [M], not calibrated, where the class is.
        chosen: Settings that nested folds chose most often, per property or "class", in words.
        seconds: CPU time of the process that computed it.
    """

    arrays: Mapping[str, FloatArray]
    chosen: Mapping[str, str]
    seconds: float


def _code_of(kind: Kind) -> str:
    """Identity of the code that a cell runs."""
    return source_fingerprint(_BUNDLE_CODE if kind == "bundle" else _FAMILY_CODE, _LIBRARIES)


def run_cell(cell: Cell, data: AlloyData, problem: DesignProblem) -> CellResult:
    """Compute a cell."""
    began = time.process_time()
    space = FeatureSpace(problem.elements)
    rows, folds = training_rows(data, problem, space), fitting_folds(data, problem, cell.seed, cell.split)
    if cell.kind == "bundle":
        arrays, chosen = _run_bundle(cell, space, problem, rows, folds)
    elif cell.kind == "regressor":
        arrays, chosen = _run_regressor(cell, space, problem, rows, folds)
    else:
        arrays, chosen = _run_classifier(cell, space, rows, folds)
    return CellResult(arrays, chosen, time.process_time() - began)


def _run_bundle(
    cell: Cell, space: FeatureSpace, problem: DesignProblem, rows: TrainingRows, folds: FoldMap
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    oof = out_of_fold(cell.model, space, problem.property_keys, rows, folds, cell.seed)
    return {
        "mean": oof.mean, "spread": oof.spread, "route": oof.route, "by_property": oof.by_property,
        "class_p": oof.class_p,
    }, {}  # fmt: skip


def _run_regressor(
    cell: Cell, space: FeatureSpace, problem: DesignProblem, rows: TrainingRows, folds: FoldMap
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    shape = rows.values.shape
    mean, by_property = np.full(shape, np.nan), np.full(shape, np.nan)
    descriptors = space.view(rows.inputs, "descriptors")
    picked: dict[str, list[Choice]] = {}
    for k in range(folds.n_folds):
        test = folds.regression == k
        index = DistanceIndex().fit(descriptors[~test], rows.values[~test])
        by_property[test] = index.query(descriptors[test])[1]
        if REGRESSORS[cell.model].own:
            mean[test] = _fit_own(cell, space, rows, test, k)
            continue
        features = space.view(rows.inputs, _VIEWS[cell.features])
        for p, key in enumerate(problem.property_keys):
            known = ~test & np.isfinite(rows.values[:, p])
            if known.sum() < MIN_ROWS:
                continue
            rng = np.random.default_rng((cell.seed, _STREAM["regressor"], k, p))
            train = Rows(features[known], rows.values[known, p], rows.system[known])
            mean[test, p], choice = fit_predict_regressor(cell.model, train, features[test], rng)
            picked.setdefault(key, []).append(choice)
    arrays = {
        "mean": mean, "spread": np.zeros(shape), "route": np.ones(shape[0]), "by_property": by_property,
    }  # fmt: skip
    return arrays, {key: _in_words(choices) for key, choices in picked.items()}


def _fit_own(cell: Cell, space: FeatureSpace, rows: TrainingRows, test: NDArray[np.bool_], fold: int) -> FloatArray:
    """Predictions [B, P] of a family that chooses its settings itself."""
    family = REGRESSORS[cell.model].own
    view: View = "kernel" if family == "gp" and cell.features == "both" else _VIEWS[cell.features]
    params = {"groups": space.groups(view)} if family == "gp" else {}
    enough = np.flatnonzero(np.isfinite(rows.values[~test]).sum(axis=0) >= MIN_ROWS)
    # Targets share a GP's kernel; a random network is drawn for each, as published.
    together = [enough] if family == "gp" else [enough[i : i + 1] for i in range(len(enough))]
    features, rng = space.view(rows.inputs, view), np.random.default_rng((cell.seed, _STREAM["regressor"], fold))
    predicted = np.full((int(test.sum()), rows.values.shape[1]), np.nan)
    for columns in together:
        model = make(family, **params).fit(features[~test], rows.values[~test][:, columns], rng, rows.system[~test])
        predicted[:, columns] = model.predict(features[test])
    return predicted


def _run_classifier(
    cell: Cell, space: FeatureSpace, rows: TrainingRows, folds: FoldMap
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    features = space.view(rows.class_inputs, _VIEWS[cell.features])
    class_p, picked = np.full(len(rows.labels), np.nan), []
    for k in range(folds.n_folds):
        test = folds.classification == k
        rng = np.random.default_rng((cell.seed, _STREAM["classifier"], k))
        train = Rows(features[~test], rows.labels[~test], rows.class_system[~test])
        class_p[test], choice = fit_predict_classifier(cell.model, train, features[test], rng)
        picked.append(choice)
    return {"class_p": class_p}, {"class": _in_words(picked)}


def _in_words(choices: list[Choice]) -> str:
    """The choice made in most folds, and in how many."""
    words = [
        ", ".join([*(f"{k} {v:g}" for k, v in c.params.items()), *(["SMOTE"] if c.smote else [])]) or "no SMOTE"
        for c in choices
    ]
    most = max(set(words), key=lambda word: (words.count(word), word))
    return f"{most} ({words.count(most)} of {len(words)} folds)"
