"""Honest scores of a recipe on one split: what the manifest, the benchmark and the design notes quote.

`score_recipe` is one cell of a benchmark: a recipe, a kind of folds and a seed. Cells are independent, so a caller may
run them in parallel and average over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.sources import AlloyData
from aimat_ray.data.splits import SplitKind
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.calibration import BAND_EDGES
from aimat_ray.surrogate.features import FeatureSpace
from aimat_ray.surrogate.fitting import cross_class_p, cross_intervals, fitting_folds
from aimat_ray.surrogate.out_of_fold import out_of_fold, training_rows
from aimat_ray.surrogate.validation import coverage, score_class, score_regression

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def score_recipe(
    name: str,
    data: AlloyData,
    problem: DesignProblem,
    kind: SplitKind = "system",
    seed: int = 0,
    descriptors: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Score a recipe out of fold, with intervals calibrated on the other folds.

    Args:
        name: Recipe.
        data: The alloys.
        problem: The design problem.
        kind: Folds: "random", "system" or "majority".
        seed: Seed of folds and models.
        descriptors: Descriptors to use; all by default.

    Returns:
        `targets`: property key to r2, rmse, mae, mape, n, n_systems, lower, upper (95 % interval of r2), the same for
        `feasible` and `rest` rows, `coverage_90`, `width_90` and `bands` (by distance to data).
        `classifier`: auc, brier ... for `all` rows, those with `four_or_more` elements and those with `up_to_three`.
    """
    space = FeatureSpace(problem.elements, descriptors)
    rows, folds = training_rows(data, problem, space), fitting_folds(data, problem, seed, kind)
    oof = out_of_fold(name, space, problem.property_keys, rows, folds, seed)
    lower, upper = cross_intervals(name, problem, rows, oof, folds)
    parts = {"feasible": rows.feasible == 1.0, "rest": rows.feasible == 0.0}
    targets = {}
    for p, key in enumerate(problem.property_keys):
        y, f = rows.values[:, p], oof.mean[:, p]
        targets[key] = {
            **_plain(score_regression(y, f, rows.system)),
            **{part: _plain(score_regression(y[at], f[at], rows.system[at])) for part, at in parts.items()},
            **_interval_scores(y, lower[:, p], upper[:, p], np.isfinite(y)),
            "bands": _bands(y, lower[:, p], upper[:, p], oof.by_property[:, p]),
        }
    class_p = cross_class_p(name, rows, oof, folds)
    n_elements = (rows.class_inputs[:, : len(problem.elements)] > 0).sum(axis=1)
    classes = {"all": n_elements > 0, "four_or_more": n_elements >= 4, "up_to_three": n_elements <= 3}
    threshold = problem.feasibility.threshold
    classifier = {
        part: _plain(
            score_class(rows.labels[at], class_p[at], rows.class_system[at], threshold, ranking=oof.class_p[at])
        )
        for part, at in classes.items()
    }
    return {"recipe": name, "split": kind, "seed": seed, "targets": targets, "classifier": classifier}


def _plain(score: Any) -> dict[str, Any]:
    return {} if score is None else dict(score.to_dict())


def _interval_scores(y: FloatArray, lower: FloatArray, upper: FloatArray, chosen: BoolArray) -> dict[str, Any]:
    share = coverage(y[chosen], lower[chosen], upper[chosen])
    width = (upper - lower)[chosen & np.isfinite(y)]
    return {"coverage_90": share, "width_90": float(width.mean()) if len(width) else float("nan")}


def _bands(y: FloatArray, lower: FloatArray, upper: FloatArray, distance: FloatArray) -> list[dict[str, Any]]:
    edges = (0.0, *BAND_EDGES, np.inf)
    bands = []
    for start, stop in pairwise(edges):
        chosen = np.isfinite(y) & (distance > start if start else distance >= 0.0) & (distance <= stop)
        scores = _interval_scores(y, lower, upper, chosen)
        bands.append({"from": start, "to": float(stop), "n": int(chosen.sum()), **scores})
    return bands
