"""Predictions for every row by models that never saw its chemical system (or, for random folds, the row)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.composition import system_key
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.splits import FoldMap
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.calibration import Residuals
from aimat_ray.surrogate.domain import DistanceIndex
from aimat_ray.surrogate.ensemble import Ensemble, TrainingRows, spec_rows
from aimat_ray.surrogate.features import FeatureSpace

FloatArray = NDArray[np.float64]
Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Out-of-fold answers for the rows of both tables.

    Attributes:
        p_feasible: Probabilities of the property rows, uncalibrated, [N].
        route: Weight of the members for feasible rows, [N].
        class_p: Probabilities of the class rows, uncalibrated, [M].
        mean: Predictions with each fold's scales from the other folds, [N, P]; NaN where a property is not modelled.
        spread: Spread of the members, [N, P].
        scales: Scales of the members from all folds, for the models fitted on all rows.
        distance: Distance to the nearest training row, [N].
        by_property: Distance to the nearest training row that measures the property, [N, P].
        members: Predictions of each member, name to [N, P].
    """

    p_feasible: FloatArray
    route: FloatArray
    class_p: FloatArray
    mean: FloatArray
    spread: FloatArray
    scales: Mapping[str, FloatArray]
    distance: FloatArray
    by_property: FloatArray
    members: Mapping[str, FloatArray]

    def residuals(self, rows: TrainingRows) -> Residuals:
        """What intervals are calibrated on."""
        return Residuals(rows.values, self.mean, self.spread, self.by_property, self.route, rows.system)


def training_rows(data: AlloyData, problem: DesignProblem, space: FeatureSpace) -> TrainingRows:
    """Compute the inputs of both tables; without a class table the labels of the property rows stand in."""
    regression, classes = data.regression, class_rows(data)
    systems = system_key(np.concatenate([regression.at_frac, classes.at_frac]), problem.elements)
    _, number = np.unique(systems.astype(str), return_inverse=True)
    return TrainingRows(
        inputs=space.transform(regression.at_frac),
        values=np.array(regression.values),
        feasible=np.array(regression.feasible),
        system=number[: len(regression)].astype(np.int64),
        class_inputs=space.transform(classes.at_frac),
        labels=np.array(classes.feasible),
        class_system=number[len(regression) :].astype(np.int64),
    )


def class_rows(data: AlloyData) -> AlloyTable:
    """The rows with a known class."""
    table = data.classification if len(data.classification) else data.regression
    return table.rows(np.isfinite(table.feasible))


def out_of_fold(
    recipe: str,
    space: FeatureSpace,
    properties: tuple[str, ...],
    rows: TrainingRows,
    folds: FoldMap,
    seed: int,
    progress: Progress | None = None,
) -> OutOfFold:
    """Fit the recipe on every training fold and predict what was left out.

    Args:
        recipe: Name of the recipe.
        space: Computes the inputs.
        properties: Keys of the P properties.
        rows: All rows.
        folds: Fold of each row of `rows` (class rows in the order of `rows.labels`).
        seed: Seed of the fits.
        progress: Told what happens, with the share done.
    """
    shape = rows.values.shape
    p, class_p = np.full(shape[0], np.nan), np.full(len(rows.labels), np.nan)
    mean, spread, by_property = (np.full(shape, np.nan) for _ in range(3))
    distance, route = np.full(shape[0], np.nan), np.full(shape[0], np.nan)
    fitted: list[Ensemble] = []
    members: dict[str, FloatArray] = {}
    for k in range(folds.n_folds):
        if progress:
            progress(f"{recipe}: fold {k + 1} of {folds.n_folds}", k / (folds.n_folds + 1))
        test, class_test = folds.regression == k, folds.classification == k
        train = rows.take(~test, ~class_test)
        ensemble = Ensemble(recipe, space, properties).fit(train, (seed, k + 1))
        answer = ensemble.predict(rows.inputs[test])
        p[test], route[test] = answer.p_feasible, answer.route
        fitted.append(ensemble)
        class_p[class_test] = ensemble.p_feasible(rows.class_inputs[class_test])
        index = DistanceIndex().fit(space.view(train.inputs, "descriptors"), train.values)
        distance[test], by_property[test] = index.query(space.view(rows.inputs[test], "descriptors"))
        for name, values in answer.members.items():
            members.setdefault(name, np.full(shape, np.nan))[test] = values
    for k, ensemble in enumerate(fitted):
        test = folds.regression == k
        scales = member_scales(ensemble, members, rows, ~test)
        left_out = {name: values[test] for name, values in members.items() if name in ensemble.names}
        mean[test], spread[test] = ensemble.combine(left_out, route[test], scales)
    everything = np.ones(shape[0], dtype=bool)
    scales = member_scales(fitted[0], members, rows, everything)
    return OutOfFold(p, route, class_p, mean, spread, scales, distance, by_property, members)


def member_scales(
    ensemble: Ensemble, members: Mapping[str, FloatArray], rows: TrainingRows, chosen: NDArray[np.bool_]
) -> dict[str, FloatArray]:
    """Factors that undo the bias of models of logarithms, name to [P]; models of values have none.

    exp(mean of the logarithm) lies below the mean of the values; the ratio of both on out-of-fold predictions of
    the rows that the member is for corrects it (ratio form of Duan's smearing estimate, JASA 78 (1983) 605).

    Args:
        ensemble: Knows the members.
        members: Out-of-fold predictions, name to [N, P].
        rows: The measured values.
        chosen: Rows to use, [N].
    """
    scales = {}
    for name, predicted in members.items():
        spec = ensemble.spec(name)
        if not spec.log:
            continue
        known = (chosen & spec_rows(spec, rows.feasible))[:, None] & np.isfinite(rows.values) & np.isfinite(predicted)
        measured = np.where(known, rows.values, 0.0).sum(axis=0)
        said = np.where(known, predicted, 0.0).sum(axis=0)
        usable = (measured > 0) & (said > 0)
        scales[name] = np.where(usable, measured / np.where(usable, said, 1.0), 1.0)
    return scales
