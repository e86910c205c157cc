"""90 % intervals and class probabilities, calibrated on predictions for chemical systems unseen by the model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.artifacts import ModelState
from aimat_ray.surrogate.domain import OUTSIDE

FloatArray = NDArray[np.float64]

CONFIDENCE = 0.9
# The alloys of one system err together, so a quantile over few systems falls short on new ones. The level that is asked
# for lies above the nominal one by this many standard errors of a share over so many systems (calibration-design.md).
CAUTION = 0.65
# Edges between distance bands, in the domain's metric; the last band is everything beyond the last edge.
BAND_EDGES = (0.1, 0.2, 0.4)
MIN_BAND_ROWS = 40
MIN_ROWS = 10
UNCALIBRATED = 1e6  # quantile of a property that can't be calibrated: its interval is the plausible range
# Beyond the first distance to a measured value of a property nothing was calibrated: up to the second, its interval
# grows to the whole plausible range.
BEYOND = (OUTSIDE, 1.0)
_PRIOR = 2.5  # weight of the pull of the exponents towards zero, in rows
_SPREAD_OFFSET, _DISTANCE_OFFSET, _MEAN_OFFSET = 0.1, 0.05, 0.1
_MAX_EXPONENT = 1.5
N_TERMS = 5


@dataclass(frozen=True, eq=False)
class Residuals:
    """Measured values beside predictions by models that had not seen the alloy's system.

    Attributes:
        values: Measured values, [N, P]; NaN where unknown.
        mean: Predictions, [N, P]; NaN where a property is not modelled.
        spread: Spread of the members, [N, P].
        distance: Distance to the nearest training row that measures the property, [N, P].
        route: How much an alloy resembles feasible measured rows, [N], 0..1.
        system: Chemical system of each row, [N].
    """

    values: FloatArray
    mean: FloatArray
    spread: FloatArray
    distance: FloatArray
    route: FloatArray
    system: NDArray[np.int64]

    def rows(self, chosen: NDArray[np.bool_]) -> Residuals:
        """The rows of a mask."""
        return Residuals(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def of(self, p: int) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.int64]]:
        """Absolute residual [n], terms of the expected error [n, 5], distance [n] and system [n] of one property."""
        known = np.isfinite(self.values[:, p]) & np.isfinite(self.mean[:, p])
        mean, distance = self.mean[known, p], self.distance[known, p]
        residual = np.abs(self.values[known, p] - mean)
        scale = max(float(np.median(residual)), 1e-9) if len(residual) else 1.0
        terms = np.stack(_terms(mean, self.spread[known, p], distance, self.route[known], scale), axis=1)
        return residual, terms, distance, self.system[known]


def conformal_quantile(scores: FloatArray, confidence: float = CONFIDENCE) -> float:
    """The split-conformal quantile: the ceil((n + 1) * confidence)-th smallest score (the largest if n is small)."""
    if len(scores) == 0:
        raise ValueError("no scores to calibrate on")
    rank = int(np.ceil((len(scores) + 1) * confidence))
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


class IntervalCalibrator:
    """Half-widths of intervals: expected error times a conformal quantile that depends on the distance to data.

    The expected error of a property is

        c0 (spread / s + .1)^c1 (distance + .05)^c2 (|mean| / s + .1)^c3 exp(c4 (1 - route))

    with c1, c2, c3 of 0 or more, so that intervals widen with disagreement and away from data; s is the median
    residual. The quantile of residual / expected error is taken per distance band and interpolated between the
    bands' median distances.
    """

    kind = "interval_calibrator"

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def fit(self, residuals: Residuals, plausible: FloatArray, inflation: FloatArray | None = None) -> Self:
        """Learn expected errors and quantiles from predictions for unseen chemical systems.

        Args:
            residuals: What to learn from.
            plausible: Lowest and highest plausible value, [P, 2].
            inflation: Declared factor on the half-widths, [P]; 1 by default.
        """
        n_properties, n_bands = len(plausible), len(BAND_EDGES) + 1
        nodes = np.tile(np.array([0.0, *BAND_EDGES]), (n_properties, 1))
        quantiles = np.full((n_properties, n_bands), UNCALIBRATED)
        scale, exponents = np.ones(n_properties), np.zeros((n_properties, N_TERMS))
        for p in range(n_properties):
            residual, terms, distance, system = residuals.of(p)
            if len(residual) < MIN_ROWS:
                continue
            scale[p] = max(float(np.median(residual)), 1e-9)
            exponents[p] = _fit_exponents(residual, terms)
            scores = residual * np.exp(-terms @ exponents[p])
            nodes[p], quantiles[p] = _by_band(scores, distance, system)
        if inflation is not None:
            quantiles = quantiles * inflation[:, None]
        self._arrays = {
            "nodes": nodes, "quantiles": quantiles, "scale": scale, "exponents": exponents, "plausible": plausible,
        }  # fmt: skip
        return self

    def intervals(
        self, mean: FloatArray, spread: FloatArray, distance: FloatArray, route: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends, [B, P] each, within the plausible range.

        Args:
            mean: Predictions, [B, P].
            spread: Spread of the members, [B, P].
            distance: Distance to the nearest measured row of the property, [B, P].
            route: How much an alloy resembles feasible measured rows, [B].
        """
        a = self._arrays
        terms = _terms(mean, spread, distance, route[:, None], a["scale"])
        # Summed term by term in a fixed order, whatever the number of rows (BLAS does not promise that).
        error = np.exp(sum(term * exponent for term, exponent in zip(terms, a["exponents"].T, strict=True)))
        columns = zip(distance.T, a["nodes"], a["quantiles"], strict=True)
        half = error * np.stack([np.interp(*column) for column in columns], axis=1)
        low, high = a["plausible"].T
        unknown = np.clip((distance - BEYOND[0]) / (BEYOND[1] - BEYOND[0]), 0.0, 1.0)
        half = np.maximum(half, unknown * (high - low))
        return np.clip(mean - half, low, high), np.clip(mean + half, low, high)

    def with_property(self, p: int, other: IntervalCalibrator) -> IntervalCalibrator:
        """A copy with property `p` calibrated by `other`, a calibrator of that one property."""
        changed = IntervalCalibrator()
        changed._arrays = {name: array.copy() for name, array in self._arrays.items()}
        for name, array in other._arrays.items():
            changed._arrays[name][p] = array[0]
        return changed

    @property
    def plausible(self) -> FloatArray:
        """Lowest and highest plausible value of each property, [P, 2]; no interval ends outside."""
        return np.asarray(self._arrays["plausible"])

    @property
    def widest(self) -> FloatArray:
        """The plausible width of each property, [P]: the spread of what is not known at all."""
        low, high = self.plausible.T
        return np.asarray(high - low)

    def state(self) -> ModelState:
        """The quantiles."""
        return ModelState(self.kind, arrays=self._arrays)

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The calibrator that `state` came from."""
        calibrator = cls()
        calibrator._arrays = dict(state.arrays)
        return calibrator


class ClassCalibrator:
    """Platt scaling: p -> sigmoid(slope * logit(p) + shift), fitted on out-of-fold probabilities."""

    kind = "class_calibrator"

    def __init__(self, slope: float = 1.0, shift: float = 0.0) -> None:
        self.slope, self.shift = slope, shift

    def fit(self, probability: FloatArray, labels: FloatArray) -> Self:
        """Maximise the likelihood of labels [N] given out-of-fold probabilities [N] by Newton's method."""
        design = np.stack([_logit(probability), np.ones(len(labels))], axis=1)
        weights = np.array([1.0, 0.0])
        for _ in range(50):
            p = _sigmoid(design @ weights)
            gradient = design.T @ (labels - p) - 1e-3 * (weights - [1.0, 0.0])
            curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            weights = weights + step
            if np.abs(step).max() < 1e-10:
                break
        # A negative slope would turn the classifier round; then the labels say nothing about it.
        self.slope, self.shift = (float(weights[0]), float(weights[1])) if weights[0] > 0 else (1.0, 0.0)
        return self

    def apply(self, probability: FloatArray) -> FloatArray:
        """Calibrated probabilities, [B]."""
        if self.slope == 1.0 and self.shift == 0.0:
            return probability
        return _sigmoid(self.slope * _logit(probability) + self.shift)


def _terms(
    mean: FloatArray, spread: FloatArray, distance: FloatArray, route: FloatArray, scale: FloatArray | float
) -> tuple[FloatArray, ...]:
    """Logarithms of what the expected error is a product of: N_TERMS arrays of one shape."""
    return (
        np.ones_like(mean),
        np.log(spread / scale + _SPREAD_OFFSET),
        np.log(distance + _DISTANCE_OFFSET),
        np.log(np.abs(mean) / scale + _MEAN_OFFSET),
        (1.0 - route) + np.zeros_like(mean),
    )


def _fit_exponents(residual: FloatArray, terms: FloatArray) -> FloatArray:
    """Maximum likelihood of Laplace-distributed residuals whose scale is the product of `terms`, [N_TERMS]."""
    from scipy.optimize import minimize

    def loss(exponents: FloatArray) -> tuple[float, FloatArray]:
        log_scale = terms @ exponents
        ratio = residual * np.exp(-log_scale)
        pull = np.concatenate([[0.0], 2.0 * _PRIOR * exponents[1:]])
        value = np.sum(log_scale + ratio) + _PRIOR * np.sum(exponents[1:] ** 2)
        return float(value), terms.T @ (1.0 - ratio) + pull

    start = np.array([np.log(max(residual.mean(), 1e-12)), 0.0, 0.0, 0.0, 0.0])
    bounds = [(None, None), *[(0.0, _MAX_EXPONENT)] * 3, (-_MAX_EXPONENT, _MAX_EXPONENT)]
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x, np.float64)


def _by_band(scores: FloatArray, distance: FloatArray, system: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Median distance and quantile of each band; a band with few rows borrows from the nearer ones, or from all."""
    band = np.searchsorted(np.array(BAND_EDGES), distance, side="left")
    nodes, quantiles = np.array([0.0, *BAND_EDGES]), np.zeros(len(BAND_EDGES) + 1)
    for b in range(len(quantiles)):
        # The last band counts in full from its edge on: there the errors grow fastest.
        if b < len(BAND_EDGES) and (band == b).any():
            nodes[b] = np.median(distance[band == b])
        chosen = band == b
        for reach in range(b - 1, -1, -1):
            if chosen.sum() >= MIN_BAND_ROWS:
                break
            chosen = (band >= reach) & (band <= b)
        if chosen.sum() < MIN_BAND_ROWS:
            chosen = np.ones(len(scores), dtype=bool)
        quantiles[b] = conformal_quantile(scores[chosen], cautious_level(len(np.unique(system[chosen]))))
    return nodes, quantiles


def cautious_level(n_systems: int) -> float:
    """The level to ask for with so many systems, so that new systems are covered at the nominal one."""
    return min(CONFIDENCE + CAUTION * np.sqrt(CONFIDENCE * (1.0 - CONFIDENCE) / max(n_systems, 1)), 0.99)


def _logit(probability: FloatArray) -> FloatArray:
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def _sigmoid(value: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0)))
