"""Retrain one property of a bundle with further descriptors, and compare both on unseen chemical systems.

Bundle and candidate are fitted on the same folds with the same seeds, so they differ in the descriptors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.sources import AlloyData
from aimat_ray.data.splits import FoldMap
from aimat_ray.errors import ConfigError
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.base import FloatArray
from aimat_ray.surrogate.bundle import SurrogateBundle
from aimat_ray.surrogate.calibration import IntervalCalibrator, Residuals, conformal_quantile
from aimat_ray.surrogate.domain import DistanceIndex
from aimat_ray.surrogate.ensemble import TrainingRows
from aimat_ray.surrogate.features import FeatureSpace
from aimat_ray.surrogate.fitting import fitting_folds, inflation, plausible_range
from aimat_ray.surrogate.manifest import Score
from aimat_ray.surrogate.out_of_fold import member_scales, training_rows
from aimat_ray.surrogate.refined import PickedSpace, PropertyModels, RefinedEnsemble, Refinement, base_of, picks_of
from aimat_ray.surrogate.stacking import stacked_weights
from aimat_ray.surrogate.validation import coverage, score_regression

Say = Callable[[str], None]
_FOLD_STREAM = 31  # folds of the comparison are not those that the bundle was calibrated on
_FIT_STREAM = 32
N_BOOTSTRAP = 2_000
MOST_WIDENING = 1.5  # intervals that need more are no intervals of this model


@dataclass(frozen=True, eq=False)
class Refit:
    """A retrained bundle and how it compares on unseen systems.

    Attributes:
        bundle: The retrained bundle; its version differs.
        n: Measured rows scored.
        n_systems: Chemical systems among them.
        rmse_before: Error of the bundle in use, in the property's unit.
        rmse_after: Error of the retrained one.
        gain: Relative fall of the mean squared error.
        p_value: Share of bootstrap samples of systems in which the error does not fall.
        variance_before: Variance in the region between models that have seen different chemical systems.
        variance_after: The same with the further descriptors.
        coverage: Share of measured values inside their 90 % interval, each fold calibrated on the others.
    """

    bundle: SurrogateBundle
    n: int
    n_systems: int
    rmse_before: float
    rmse_after: float
    gain: float
    p_value: float
    variance_before: float
    variance_after: float
    coverage: float


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Predictions for what each fold left out, [N] each, factors and weights of the members, and the folds' models."""

    mean: FloatArray
    spread: FloatArray
    scales: dict[str, FloatArray]
    weights: dict[str, float]
    models: tuple[PropertyModels, ...] = ()

    def variance(self, at_frac: FloatArray, route: FloatArray, p: int) -> float:
        """Variance between models that have seen different chemical systems, mean over compositions [R, E].

        This is what a blind spot shows: without the descriptor behind a law, a prediction depends on which alloys
        happened to be measured. (The members of one model may agree on what they all miss.)
        """
        said = []
        for models in self.models:
            inputs = models.space.transform(at_frac)
            said.append(models.combine(models.members(inputs), route, self.scales, self.weights)[0][:, p])
        return float(np.mean(np.var(said, axis=0, ddof=1)))


@dataclass(frozen=True, eq=False)
class PropertyRows:
    """Rows and folds of one property, prepared once for several attempts.

    Attributes:
        target: Position of the property.
        at_frac: Compositions, [N, E].
        folds: Fold of each row by chemical system.
        distance: Distance to the nearest row of the other folds that measures the property, [N].
        route: How much each row resembles feasible rows, by models of the other folds, [N].
        rows: Values, classes and systems; the inputs are the bundle's own.
        in_use: What the descriptors in use give for rows of unseen systems.
    """

    target: int
    at_frac: FloatArray
    folds: FoldMap
    distance: FloatArray
    route: FloatArray
    rows: TrainingRows
    in_use: LeftOut


def property_rows(
    bundle: SurrogateBundle, data: AlloyData, problem: DesignProblem, key: str, seed: int = 0
) -> PropertyRows:
    """Prepare the rows on which refinements of a property are compared.

    Args:
        bundle: The bundle in use.
        data: The alloys that it was fitted on.
        problem: The design problem.
        key: The property.
        seed: Seed of folds and fits.
    """
    target = _target(problem, key)
    ensemble = base_of(bundle._parts.ensemble)
    space = FeatureSpace(problem.elements, ensemble.space.names)
    rows = training_rows(data, problem, space)
    folds = fitting_folds(data, problem, seed + _FOLD_STREAM)
    distance, route = np.full(len(rows.values), np.nan), np.ones(len(rows.values))
    for k in range(folds.n_folds):
        test = folds.regression == k
        train = rows.take(~test, np.zeros(len(rows.labels), dtype=bool))
        index = DistanceIndex().fit(space.view(train.inputs, "descriptors"), train.values)
        distance[test] = index.query(space.view(rows.inputs[test], "descriptors"))[1][:, target]
        router = PropertyModels(ensemble.recipe_name, space, problem.property_keys).fit_router(train, (seed, k + 1))
        if (said := router.router_says(rows.inputs[test])) is not None:
            route[test] = said
    nothing = LeftOut(route, route, {}, {})
    prepared = PropertyRows(target, np.array(data.regression.at_frac), folds, distance, route, rows, nothing)
    picks = picks_of(bundle._parts.ensemble).get(target, ())
    in_use = _left_out(ensemble.recipe_name, problem, ensemble.space.names, prepared, picks, seed)
    return replace(prepared, in_use=in_use)


def refit_property(
    bundle: SurrogateBundle,
    problem: DesignProblem,
    prepared: PropertyRows,
    picks: Sequence[str],
    region: FloatArray,
    seed: int = 0,
    say: Say | None = None,
) -> Refit:
    """Retrain a property with further descriptors.

    Args:
        bundle: The bundle in use.
        problem: The design problem.
        prepared: Rows and folds of the property.
        picks: Further descriptors, on top of those that the property was already refined with.
        region: Compositions at which the variance is compared, [R, E].
        seed: Seed of the fits.
        say: Told what happens.

    Raises:
        ConfigError: A descriptor is not in the catalogue.
    """
    p, parts = prepared.target, bundle._parts
    ensemble = base_of(parts.ensemble)
    before = picks_of(parts.ensemble).get(p, ())
    after = tuple(dict.fromkeys((*before, *picks)))
    if say:
        say(f"{problem.property_keys[p]} on unseen systems with {', '.join(after)}")
    left = [prepared.in_use, _left_out(ensemble.recipe_name, problem, ensemble.space.names, prepared, after, seed)]
    measured, system = prepared.rows.values[:, p], prepared.rows.system
    known = np.isfinite(measured) & np.isfinite(left[0].mean) & np.isfinite(left[1].mean)
    squares = [(side.mean - measured)[known] ** 2 for side in left]
    mse = [float(square.mean()) for square in squares]
    models = _fit(ensemble.recipe_name, problem, ensemble.space.names, prepared, after, (seed + _FIT_STREAM, 0))
    models.scales = {name: scale for name, scale in left[1].scales.items() if name in models.names}
    models.weights = {name: weight for name, weight in left[1].weights.items() if name in models.names}
    widening, share = _checked_intervals(bundle, problem, prepared, left[1])
    route = ensemble.predict(ensemble.space.transform(region)).route
    variances = [side.variance(region, route, p) for side in left]
    retrained = _bundle(bundle, problem, prepared, left[1], Refinement(p, after, models), widening, share)
    return Refit(
        bundle=retrained, n=int(known.sum()), n_systems=len(np.unique(system[known])),
        rmse_before=mse[0] ** 0.5, rmse_after=mse[1] ** 0.5, gain=1.0 - mse[1] / max(mse[0], 1e-300),
        p_value=_p_value(squares[0] - squares[1], system[known], seed), variance_before=variances[0],
        variance_after=variances[1], coverage=share,
    )  # fmt: skip


def _target(problem: DesignProblem, key: str) -> int:
    if key not in problem.property_keys:
        raise ConfigError(f"no property {key!r} to refine; the problem has: {', '.join(problem.property_keys)}")
    return problem.property_keys.index(key)


def _with_picks(
    problem: DesignProblem, base: Sequence[str], prepared: PropertyRows, picks: Sequence[str]
) -> tuple[PickedSpace, TrainingRows]:
    space = PickedSpace(problem.elements, base, picks, range(len(picks)))
    inputs = prepared.rows.inputs if not picks else space.transform(prepared.at_frac)
    return space, replace(prepared.rows, inputs=inputs)


def _fit(
    recipe: str,
    problem: DesignProblem,
    base: Sequence[str],
    prepared: PropertyRows,
    picks: Sequence[str],
    seed: tuple[int, ...],
) -> PropertyModels:
    space, rows = _with_picks(problem, base, prepared, picks)
    return PropertyModels(recipe, space, problem.property_keys).fit_property(prepared.target, rows, seed)


def _left_out(
    recipe: str, problem: DesignProblem, base: Sequence[str], prepared: PropertyRows, picks: Sequence[str], seed: int
) -> LeftOut:
    """Predict every row by models that never saw its chemical system."""
    space, rows = _with_picks(problem, base, prepared, picks)
    folds, p = prepared.folds, prepared.target
    no_class_rows = np.zeros(len(rows.labels), dtype=bool)
    members: dict[str, FloatArray] = {}
    fitted: list[PropertyModels] = []
    for k in range(folds.n_folds):
        test = folds.regression == k
        models = PropertyModels(recipe, space, problem.property_keys)
        # What is in use was fitted on several properties at once; what was refined already, on this one alone.
        models.fit_property(p, rows.take(~test, no_class_rows), (seed + _FIT_STREAM, k + 1), jointly=not picks)
        for name, values in models.members(rows.inputs[test]).items():
            members.setdefault(name, np.full(rows.values.shape, np.nan))[test] = values
        fitted.append(models)
    mean, spread = np.full(len(rows.values), np.nan), np.full(len(rows.values), np.nan)

    def factors(models: PropertyModels, chosen: NDArray[np.bool_]) -> tuple[dict[str, FloatArray], dict[str, float]]:
        scales = member_scales(models, members, rows, chosen)
        # What was never refined weighs its members as the recipe does.
        given = (models, members, prepared.route, scales, rows.values[:, p], p, chosen)
        return scales, stacked_weights(*given) if picks else {}

    for k, models in enumerate(fitted):
        test = folds.regression == k
        said = {name: values[test] for name, values in members.items() if name in models.names}
        # From the other folds, so that a row's own value takes no part in its prediction.
        fold_mean, fold_spread = models.combine(said, prepared.route[test], *factors(models, ~test))
        mean[test], spread[test] = fold_mean[:, p], fold_spread[:, p]
    everything = np.ones(len(rows.values), dtype=bool)
    return LeftOut(mean, spread, *factors(fitted[0], everything), tuple(fitted))


def _residuals(prepared: PropertyRows, left: LeftOut) -> Residuals:
    values = prepared.rows.values[:, [prepared.target]]
    columns = (left.mean[:, None], left.spread[:, None], prepared.distance[:, None])
    return Residuals(values, *columns, prepared.route, prepared.rows.system)


def _calibrator(
    bundle: SurrogateBundle, problem: DesignProblem, p: int, residuals: Residuals, widening: float
) -> IntervalCalibrator:
    factor = inflation(bundle.name, problem)[[p]] * widening
    return IntervalCalibrator().fit(residuals, plausible_range(problem)[[p]], factor)


def _checked_intervals(
    bundle: SurrogateBundle, problem: DesignProblem, prepared: PropertyRows, left: LeftOut
) -> tuple[float, float]:
    """Factor on the half-widths, 1 or more, and the share of measured values that the widened intervals hold.

    Intervals of each fold are calibrated on the others. Where they hold less than they promise, all are widened by
    the factor that was missing, within a limit.
    """
    measured = prepared.rows.values[:, prepared.target]
    lower, upper = _intervals(bundle, problem, prepared, left, 1.0)
    known = np.isfinite(measured) & np.isfinite(lower) & (upper > lower)
    missing = np.abs(measured - left.mean)[known] / (0.5 * (upper - lower)[known])
    widening = float(np.clip(conformal_quantile(missing), 1.0, MOST_WIDENING)) if known.any() else 1.0
    return widening, coverage(measured, *_intervals(bundle, problem, prepared, left, widening))


def _intervals(
    bundle: SurrogateBundle, problem: DesignProblem, prepared: PropertyRows, left: LeftOut, widening: float
) -> tuple[FloatArray, FloatArray]:
    """Ends of each row's interval, [N] each, calibrated on the other folds."""
    p, residuals = prepared.target, _residuals(prepared, left)
    lower, upper = np.full(len(left.mean), np.nan), np.full(len(left.mean), np.nan)
    for k in range(prepared.folds.n_folds):
        test = prepared.folds.regression == k
        side = residuals.rows(test)
        ends = _calibrator(bundle, problem, p, residuals.rows(~test), widening).intervals(
            side.mean, side.spread, side.distance, side.route
        )
        lower[test], upper[test] = ends[0][:, 0], ends[1][:, 0]
    return lower, upper


def _bundle(
    bundle: SurrogateBundle,
    problem: DesignProblem,
    prepared: PropertyRows,
    left: LeftOut,
    refinement: Refinement,
    widening: float,
    share: float,
) -> SurrogateBundle:
    """The bundle with one property's models, intervals and score replaced."""
    p, key, parts = prepared.target, problem.property_keys[prepared.target], bundle._parts
    others = [r for r in getattr(parts.ensemble, "refinements", ()) if r.target != p]
    ensemble = RefinedEnsemble(base_of(parts.ensemble), [*others, refinement])
    own = _calibrator(bundle, problem, p, _residuals(prepared, left), widening)
    intervals = parts.intervals.with_property(p, own)
    scored = score_regression(prepared.rows.values[:, p], left.mean, prepared.rows.system)
    score = None if scored is None else Score(split="system", **scored.to_dict())
    record = bundle.manifest.targets[key].model_copy(
        update={
            "members": tuple(refinement.models.names), "score": score, "feasible_score": None, "alternatives": {},
            "coverage_90": share if np.isfinite(share) else None,
        }
    )  # fmt: skip
    refined = dict(bundle.manifest.recipe.get("refined", {})) | {key: list(refinement.picks)}
    manifest = bundle.manifest.model_copy(
        update={
            "version": "", "files": {}, "targets": bundle.manifest.targets | {key: record},
            "recipe": bundle.manifest.recipe | {"refined": refined},
        }
    )  # fmt: skip
    return SurrogateBundle(replace(parts, ensemble=ensemble, intervals=intervals), manifest)


def _p_value(fall: FloatArray, system: NDArray[np.int64], seed: int) -> float:
    """Share of bootstrap samples of whole systems in which the summed squared error does not fall."""
    _, member = np.unique(system, return_inverse=True)
    sums = np.bincount(member.ravel(), weights=fall)
    rng = np.random.default_rng([seed, _FOLD_STREAM])
    drawn = rng.integers(len(sums), size=(N_BOOTSTRAP, len(sums)))
    return float((1 + np.sum(sums[drawn].sum(axis=1) <= 0)) / (N_BOOTSTRAP + 1))
