"""Weights of the members of a refined property, found on chemical systems that the members had not seen.

A recipe weighs its members alike because they did about as well on the bundle's own descriptors. With a descriptor
that one family can use and another cannot, that no longer holds, and the poor member's error would count as doubt.
Source: Breiman, Stacked regressions, Machine Learning 24 (1996) 49; the spread with such weights is the variance
between the models of a Bayesian model average (Hoeting et al., Statistical Science 14 (1999) 382).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.base import FloatArray
from aimat_ray.surrogate.ensemble import Ensemble

LEAST_LOG_WEIGHT = -3.0  # of the weakest member relative to the strongest: its doubt is never silenced


def stacked_weights(
    models: Ensemble,
    members: Mapping[str, FloatArray],
    route: FloatArray,
    scales: Mapping[str, FloatArray],
    measured: FloatArray,
    p: int,
    chosen: NDArray[np.bool_],
) -> dict[str, float]:
    """Positive weights, largest 1, that minimise the squared error of the combination.

    Args:
        models: Knows how members combine.
        members: What each says of rows whose systems it had not seen, name to [N, P].
        route: Weight of the members for feasible rows, [N].
        scales: Factors of the members, name to [P].
        measured: Measured values, [N]; NaN where unknown.
        p: Position of the property.
        chosen: Rows to use, [N].

    Returns:
        Weight by name, between exp(`LEAST_LOG_WEIGHT`) and 1.
    """
    from scipy.optimize import minimize

    names = [name for name in members if name in models.names]
    known = chosen & np.isfinite(measured) & np.all([np.isfinite(members[n][:, p]) for n in names], axis=0)
    if len(names) < 2 or known.sum() < len(names):
        return dict.fromkeys(names, 1.0)
    said = {name: members[name][known] for name in names}
    size = max(float(np.var(measured[known])), 1e-300)

    def error(log_weights: FloatArray) -> float:
        weights = dict(zip(names, np.exp(log_weights), strict=True))
        mean, _ = models.combine(said, route[known], scales, weights)
        return float(np.mean((mean[:, p] - measured[known]) ** 2)) / size

    start, bounds = np.full(len(names), LEAST_LOG_WEIGHT / 2), [(LEAST_LOG_WEIGHT, 0.0)] * len(names)
    found = minimize(error, start, method="L-BFGS-B", bounds=bounds).x
    log_weights = np.maximum(found - found.max(), LEAST_LOG_WEIGHT)
    return {name: float(weight) for name, weight in zip(names, np.exp(log_weights), strict=True)}
