"""Fit a bundle: out-of-fold predictions first (scores, calibration), then the models on all rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.sources import AlloyData
from aimat_ray.data.splits import FoldMap, SplitKind, fold_map
from aimat_ray.errors import ConfigError, DataError
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.bundle import BundleParts
from aimat_ray.surrogate.calibration import ClassCalibrator, IntervalCalibrator
from aimat_ray.surrogate.domain import DistanceIndex, Domain
from aimat_ray.surrogate.ensemble import Ensemble, TrainingRows, spec_rows
from aimat_ray.surrogate.features import FeatureSpace
from aimat_ray.surrogate.manifest import BundleManifest, ClassRecord, ClassScoreRecord, Score, TargetRecord
from aimat_ray.surrogate.out_of_fold import OutOfFold, Progress, class_rows, out_of_fold, training_rows
from aimat_ray.surrogate.recipes import RECIPES
from aimat_ray.surrogate.refined import base_of
from aimat_ray.surrogate.validation import coverage, score_class, score_regression

FloatArray = NDArray[np.float64]
N_FOLDS = 5
_LIBRARIES = ("catboost", "numpy", "scikit-learn", "imbalanced-learn")


def fit_parts(
    data: AlloyData,
    problem: DesignProblem,
    name: str,
    seed: int,
    progress: Progress | None,
    descriptors: Sequence[str] | None,
) -> tuple[BundleParts, BundleManifest]:
    """See `bundle.fit_bundle`."""
    if name not in RECIPES:
        raise ConfigError(f"unknown surrogate {name!r}; expected one of: {', '.join(RECIPES)}")
    space = FeatureSpace(problem.elements, descriptors)
    rows = training_rows(data, problem, space)
    folds = fitting_folds(data, problem, seed)
    oof = out_of_fold(name, space, problem.property_keys, rows, folds, seed, progress)
    if progress:
        progress(f"{name}: all rows", N_FOLDS / (N_FOLDS + 1))
    ensemble = Ensemble(name, space, problem.property_keys).fit(rows, (seed, 0))
    ensemble.scales = {name: scale for name, scale in oof.scales.items() if name in ensemble.names}
    plausible = plausible_range(problem)
    parts = BundleParts(
        ensemble=ensemble,
        fallback=_fallback(rows.values, plausible),
        class_calibrator=_class_calibrator(name, oof.class_p, rows.labels),
        intervals=IntervalCalibrator().fit(oof.residuals(rows), plausible, inflation(name, problem)),
        index=DistanceIndex().fit(space.view(rows.inputs, "descriptors"), rows.values),
        domain=Domain().fit(data.regression.at_frac, rows.values, rows.system),
        at_frac=np.array(data.regression.at_frac),
    )
    manifest = _manifest(data, problem, name, seed, space, parts, rows, oof, folds)
    return parts, manifest


def fitting_folds(data: AlloyData, problem: DesignProblem, seed: int, kind: SplitKind = "system") -> FoldMap:
    """Folds over the property rows and the class rows; fewer than five where there are few systems.

    Raises:
        DataError: Fewer than two chemical systems.
    """
    classes = class_rows(data)
    for n_folds in range(N_FOLDS, 1, -1):
        try:
            return fold_map(data.regression, classes, problem, kind, n_folds, seed)
        except DataError:
            continue
    raise DataError(
        f"data {data.name!r}: a surrogate needs alloys of at least two chemical systems, to test on one "
        "what was learnt on the other; add measured alloys"
    )


def inflation(name: str, problem: DesignProblem) -> FloatArray:
    """The declared factor on the half-widths of each property, [P]."""
    return np.array([RECIPES[name].inflation.get(key, 1.0) for key in problem.property_keys])


def cross_intervals(
    name: str, problem: DesignProblem, rows: TrainingRows, oof: OutOfFold, folds: FoldMap
) -> tuple[FloatArray, FloatArray]:
    """Intervals of each fold calibrated on the other folds: lower and upper ends, [N, P] each."""
    residuals, plausible = oof.residuals(rows), plausible_range(problem)
    lower, upper = np.full(rows.values.shape, np.nan), np.full(rows.values.shape, np.nan)
    for k in range(folds.n_folds):
        test = folds.regression == k
        calibrator = IntervalCalibrator().fit(residuals.rows(~test), plausible, inflation(name, problem))
        lower[test], upper[test] = calibrator.intervals(
            oof.mean[test], oof.spread[test], oof.by_property[test], oof.route[test]
        )
    return lower, upper


def cross_class_p(name: str, rows: TrainingRows, oof: OutOfFold, folds: FoldMap) -> FloatArray:
    """Out-of-fold class probabilities, each fold calibrated on the other folds, [M]."""
    p = np.array(oof.class_p)
    for k in range(folds.n_folds):
        test = folds.classification == k
        p[test] = _class_calibrator(name, oof.class_p[~test], rows.labels[~test]).apply(p[test])
    return p


def plausible_range(problem: DesignProblem) -> FloatArray:
    """Lowest and highest plausible value of each property, [P, 2]."""
    return np.array([spec.plausible for spec in problem.properties], dtype=np.float64)


def _fallback(values: FloatArray, plausible: FloatArray) -> FloatArray:
    """Median measured value, or the middle of the plausible range where nothing is measured, [P]."""
    middle = plausible.mean(axis=1)
    return np.array(
        [np.median(v[np.isfinite(v)]) if np.isfinite(v).any() else middle[p] for p, v in enumerate(values.T)]
    )


def _class_calibrator(name: str, class_p: FloatArray, labels: FloatArray) -> ClassCalibrator:
    if not RECIPES[name].calibrate_class or len(np.unique(labels)) < 2:
        return ClassCalibrator()
    return ClassCalibrator().fit(class_p, labels)


def _manifest(
    data: AlloyData,
    problem: DesignProblem,
    name: str,
    seed: int,
    space: FeatureSpace,
    parts: BundleParts,
    rows: TrainingRows,
    oof: OutOfFold,
    folds: FoldMap,
) -> BundleManifest:
    recipe = RECIPES[name]
    lower, upper = cross_intervals(name, problem, rows, oof, folds)
    targets = {key: _target_record(p, parts, rows, oof, lower, upper) for p, key in enumerate(problem.property_keys)}
    return BundleManifest(
        name=name,
        problem=problem.name,
        data_name=data.name,
        data_checksum=data.checksum,
        synthetic=data.synthetic,
        seed=seed,
        families=recipe.families,
        recipe=json.loads(json.dumps(asdict(recipe))),
        chosen_by=recipe.chosen_by,
        elements=problem.elements,
        properties=problem.property_keys,
        descriptors=space.names,
        targets=targets,
        classifier=_class_record(name, rows, oof, folds, parts.class_calibrator, problem),
        libraries={library: metadata.version(library) for library in _LIBRARIES},
    )


def _score(y: FloatArray, f: FloatArray, system: NDArray[np.int64]) -> Score | None:
    score = score_regression(y, f, system)
    return None if score is None else Score(split="system", **score.to_dict())


def _target_record(
    p: int,
    parts: BundleParts,
    rows: TrainingRows,
    oof: OutOfFold,
    lower: FloatArray,
    upper: FloatArray,
) -> TargetRecord:
    ensemble = base_of(parts.ensemble)
    y, members = rows.values[:, p], ensemble.served_by(p)
    scores = {name: _member_score(name, p, ensemble, rows, oof) for name in members if name in oof.members}
    feasible = rows.feasible == 1.0
    share = coverage(y, lower[:, p], upper[:, p])
    return TargetRecord(
        members=tuple(members),
        n_rows=int(np.isfinite(y).sum()),
        score=_score(y, oof.mean[:, p], rows.system),
        feasible_score=_score(y[feasible], oof.mean[feasible, p], rows.system[feasible]),
        alternatives={name: score for name, score in scores.items() if score is not None},
        coverage_90=share if np.isfinite(share) else None,
    )


def _member_score(name: str, p: int, ensemble: Ensemble, rows: TrainingRows, oof: OutOfFold) -> Score | None:
    """Score of a member alone, on the kind of rows that it is for."""
    chosen = spec_rows(ensemble.spec(name), rows.feasible)
    predicted = oof.members[name][:, p] * oof.scales.get(name, np.ones(rows.values.shape[1]))[p]
    return _score(rows.values[chosen, p], predicted[chosen], rows.system[chosen])


def _class_record(
    name: str,
    rows: TrainingRows,
    oof: OutOfFold,
    folds: FoldMap,
    calibrator: ClassCalibrator,
    problem: DesignProblem,
) -> ClassRecord:
    class_p = cross_class_p(name, rows, oof, folds)
    n_elements = (rows.class_inputs[:, : len(problem.elements)] > 0).sum(axis=1)
    parts = {"all": n_elements > 0, "4 or more elements": n_elements >= 4, "up to 3 elements": n_elements <= 3}
    scores = []
    for label, chosen in parts.items():
        score = score_class(
            rows.labels[chosen], class_p[chosen], rows.class_system[chosen],
            problem.feasibility.threshold, ranking=oof.class_p[chosen],
        )  # fmt: skip
        if score is not None:
            scores.append(ClassScoreRecord(split="system", rows=label, **score.to_dict()))
    return ClassRecord(
        family=RECIPES[name].classifier.family, slope=calibrator.slope, shift=calibrator.shift, scores=tuple(scores)
    )
