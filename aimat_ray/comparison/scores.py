"""Scores of a cell: pooled out of fold, by kind of rows, by base and by distance to the data.

Intervals and calibrated probabilities of a fold are learnt on the other folds only, for every model alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.comparison.cells import CellResult
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.splits import FoldMap, Leak, SplitKind, leaks
from aimat_ray.data.windows import majority
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.calibration import BAND_EDGES, ClassCalibrator, IntervalCalibrator, Residuals
from aimat_ray.surrogate.ensemble import TrainingRows
from aimat_ray.surrogate.features import FeatureSpace
from aimat_ray.surrogate.fitting import fitting_folds, inflation, plausible_range
from aimat_ray.surrogate.out_of_fold import class_rows, training_rows
from aimat_ray.surrogate.recipes import RECIPES
from aimat_ray.surrogate.validation import coverage, score_class, score_regression

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
MIN_BASE_ROWS = 10  # a base with fewer measured values of a property is not listed


@dataclass(frozen=True)
class Bench:
    """The rows that all cells share, and what is known of them."""

    data: AlloyData
    problem: DesignProblem

    @cached_property
    def rows(self) -> TrainingRows:
        """Inputs, values and labels."""
        return training_rows(self.data, self.problem, FeatureSpace(self.problem.elements))

    @cached_property
    def kinds(self) -> dict[str, BoolArray]:
        """Property rows apart: of the feasible class, and the rest."""
        return {"feasible": self.rows.feasible == 1.0, "rest": self.rows.feasible == 0.0}

    @cached_property
    def class_parts(self) -> dict[str, BoolArray]:
        """Class rows: all, those with four or more elements, those with up to three."""
        n_elements = (self.rows.class_inputs[:, : len(self.problem.elements)] > 0).sum(axis=1)
        return {"": n_elements > 0, "_n4": n_elements >= 4, "_n3": n_elements <= 3}

    @cached_property
    def bases(self) -> dict[str, BoolArray]:
        """Property rows by majority element (a tie counts for each)."""
        of = majority(self.data.regression.at_frac)
        return {element: of[:, e] for e, element in enumerate(self.problem.elements) if of[:, e].any()}

    def folds(self, split: SplitKind, seed: int) -> FoldMap:
        """The folds of a cell."""
        return fitting_folds(self.data, self.problem, seed, split)

    def leaks(self, folds: FoldMap) -> list[Leak]:
        """Rows that must share a fold and do not; found from the compositions, not from what made the folds."""
        return leaks(folds, self.data.regression, class_rows(self.data), self.problem)


def cell_intervals(bench: Bench, result: CellResult, folds: FoldMap, model: str = "") -> tuple[FloatArray, FloatArray]:
    """Nominal 90 % intervals of every row, each fold calibrated on the other folds: [N, P] each.

    Args:
        bench: The rows.
        result: Out-of-fold answers.
        folds: Their folds.
        model: Name of a bundle, whose declared inflation is used; "" for a single family.
    """
    a, rows = result.arrays, bench.rows
    residuals = Residuals(rows.values, a["mean"], a["spread"], a["by_property"], a["route"], rows.system)
    plausible = plausible_range(bench.problem)
    factor = inflation(model, bench.problem) if model in RECIPES else None
    lower, upper = np.full(rows.values.shape, np.nan), np.full(rows.values.shape, np.nan)
    for k in range(folds.n_folds):
        test = folds.regression == k
        calibrator = IntervalCalibrator().fit(residuals.rows(~test), plausible, factor)
        lower[test], upper[test] = calibrator.intervals(
            a["mean"][test], a["spread"][test], a["by_property"][test], a["route"][test]
        )
    return lower, upper


def calibrated_class_p(bench: Bench, class_p: FloatArray, folds: FoldMap, model: str = "") -> FloatArray:
    """Class probabilities, each fold calibrated on the other folds, [M]; unchanged for a bundle that does not."""
    if model in RECIPES and not RECIPES[model].calibrate_class:
        return class_p
    p, labels = np.array(class_p), bench.rows.labels
    for k in range(folds.n_folds):
        test = folds.classification == k
        if len(np.unique(labels[~test])) == 2:
            p[test] = ClassCalibrator().fit(class_p[~test], labels[~test]).apply(p[test])
    return p


def score_targets(bench: Bench, result: CellResult, folds: FoldMap, model: str = "") -> dict[str, dict[str, Any]]:
    """Scores per property.

    Returns:
        Property key to r2, rmse, mae, mape, n, n_systems, lower, upper (95 % interval of r2), the same for `feasible`
        and `rest` rows, `coverage_90`, `width_90`, `bands` by distance to the data and `bases`. A property that the
        model does not predict is left out.
    """
    rows, mean = bench.rows, result.arrays["mean"]
    lower, upper = cell_intervals(bench, result, folds, model)
    scores = {}
    for p, key in enumerate(bench.problem.property_keys):
        y, f, ends = rows.values[:, p], mean[:, p], (lower[:, p], upper[:, p])
        whole = score_regression(y, f, rows.system)
        if whole is None:
            continue
        scores[key] = whole.to_dict() | {
            **{kind: plain(score_regression(y[at], f[at], rows.system[at])) for kind, at in bench.kinds.items()},
            **_interval_scores(y, *ends, np.isfinite(y)),
            "bands": _bands(y, *ends, result.arrays["by_property"][:, p]),
            "bases": _bases(bench, y, *ends),
        }
    return scores


def score_classes(bench: Bench, result: CellResult, folds: FoldMap, model: str = "") -> dict[str, dict[str, Any]]:
    """Scores of the class: suffix "" for all rows, "_n4" for four or more elements, "_n3" for up to three.

    The AUC ranks by the answers before calibration: calibrations of different folds do not rank against each other.
    """
    raw = result.arrays["class_p"]
    p, rows = calibrated_class_p(bench, raw, folds, model), bench.rows
    threshold = bench.problem.feasibility.threshold
    scores = {
        part: score_class(rows.labels[at], p[at], rows.class_system[at], threshold, ranking=raw[at])
        for part, at in bench.class_parts.items()
    }
    return {part: plain(score) for part, score in scores.items() if score is not None}


def mean_of(results: list[CellResult]) -> CellResult:
    """The mean of several models' answers on the same folds, with their spread."""
    means = np.stack([result.arrays["mean"] for result in results])
    arrays: Mapping[str, FloatArray] = {
        **results[0].arrays, "mean": means.mean(axis=0), "spread": means.std(axis=0),
    }  # fmt: skip
    return CellResult(arrays, {}, 0.0)


def plain(score: Any) -> dict[str, Any]:
    """A score as a dict; empty where there is nothing to score."""
    return {} if score is None else dict(score.to_dict())


def _interval_scores(y: FloatArray, lower: FloatArray, upper: FloatArray, chosen: BoolArray) -> dict[str, Any]:
    known = chosen & np.isfinite(y) & np.isfinite(lower)
    width = (upper - lower)[known]
    return {
        "coverage_90": coverage(y[known], lower[known], upper[known]),
        "width_90": float(width.mean()) if len(width) else float("nan"),
    }


def _bands(y: FloatArray, lower: FloatArray, upper: FloatArray, distance: FloatArray) -> list[dict[str, Any]]:
    edges = (0.0, *BAND_EDGES, np.inf)
    bands = []
    for start, stop in pairwise(edges):
        chosen = np.isfinite(y) & (distance > start if start else distance >= 0.0) & (distance <= stop)
        scores = _interval_scores(y, lower, upper, chosen)
        bands.append({"from": start, "to": float(stop), "n": int(chosen.sum()), **scores})
    return bands


def _bases(bench: Bench, y: FloatArray, lower: FloatArray, upper: FloatArray) -> dict[str, dict[str, Any]]:
    counts = {base: (at & np.isfinite(y)) for base, at in bench.bases.items()}
    return {
        base: {"n": int(at.sum()), **_interval_scores(y, lower, upper, at)}
        for base, at in counts.items()
        if at.sum() >= MIN_BASE_ROWS
    }
