"""90 % intervals and class probabilities, calibrated on predictions for chemical systems unseen by the model."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.artifacts import ModelState

FloatArray = NDArray[np.float64]

CONFIDENCE = 0.9
# Edges between distance bands, in the domain's metric; the last band is everything beyond the last edge.
BAND_EDGES = (0.2, 0.4, 0.7)
MIN_BAND_ROWS = 40
MIN_ROWS = 10
UNCALIBRATED = 1e6


def conformal_quantile(scores: FloatArray, confidence: float = CONFIDENCE) -> float:
    """The split-conformal quantile: the ceil((n + 1) * confidence)-th smallest score (the largest if n is small)."""
    if len(scores) == 0:
        raise ValueError("no scores to calibrate on")
    rank = int(np.ceil((len(scores) + 1) * confidence))
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


class IntervalCalibrator:
    """Half-widths of intervals: a quantile per property and distance band times a normalised spread."""

    kind = "interval_calibrator"

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def fit(
        self, values: FloatArray, mean: FloatArray, spread: FloatArray, distance: FloatArray, plausible: FloatArray
    ) -> Self:
        """Learn the quantiles from out-of-fold predictions of unseen systems.

        Args:
            values: Measured values, [N, P].
            mean: Out-of-fold predictions, [N, P].
            spread: Out-of-fold spread of the members, [N, P].
            distance: Distance to the nearest training row that measures the property, [N, P].
            plausible: Lowest and highest plausible value, [P, 2].
        """
        n_properties, n_bands = values.shape[1], len(BAND_EDGES) + 1
        # A property that can't be calibrated gets the whole plausible range.
        quantiles = np.full((n_properties, n_bands), UNCALIBRATED)
        floor = np.ones(n_properties)
        for p in range(n_properties):
            known = np.isfinite(values[:, p]) & np.isfinite(mean[:, p])
            residual = np.abs(values[known, p] - mean[known, p])
            if known.sum() < MIN_ROWS:
                continue
            floor[p] = max(float(np.median(residual)), 1e-6)
            scores = residual / (spread[known, p] + floor[p])
            quantiles[p] = _quantiles_by_band(scores, _band(distance[known, p]))
        self._arrays = {"quantiles": quantiles, "floor": floor, "plausible": plausible}
        return self

    def intervals(self, mean: FloatArray, spread: FloatArray, distance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends, [B, P] each, within the plausible range."""
        a = self._arrays
        band = _band(distance)
        quantile = a["quantiles"][np.arange(mean.shape[1]), band]
        half = quantile * (spread + a["floor"])
        low, high = a["plausible"].T
        return np.clip(mean - half, low, high), np.clip(mean + half, low, high)

    @property
    def widest(self) -> FloatArray:
        """The plausible width of each property, [P]: the spread of what is not known at all."""
        low, high = self._arrays["plausible"].T
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


def _quantiles_by_band(scores: FloatArray, band: NDArray[np.int64]) -> FloatArray:
    """One quantile per band; a band with few rows borrows from nearer ones, and none is below the band before it."""
    quantiles = np.zeros(len(BAND_EDGES) + 1)
    for b in range(len(quantiles)):
        chosen = scores[band == b]
        reach = b
        while len(chosen) < MIN_BAND_ROWS and reach > 0:
            reach -= 1
            chosen = scores[(band >= reach) & (band <= b)]
        if len(chosen) < MIN_BAND_ROWS:
            chosen = scores
        quantiles[b] = conformal_quantile(chosen)
    return np.maximum.accumulate(quantiles)


def _band(distance: FloatArray) -> NDArray[np.int64]:
    return np.searchsorted(np.array(BAND_EDGES), distance, side="left").astype(np.int64)


def _logit(probability: FloatArray) -> FloatArray:
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def _sigmoid(value: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0)))
