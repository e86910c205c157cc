"""Gaussian-process regression with one relevance per group of inputs, fast mean in float32.

Kernel: signal * Matern-5/2(sum_g weight_g d_g^2) + linear * sum_g weight_g x_g.x'_g + noise, where d_g^2 is the mean
squared difference over the columns of group g. The weights and variances maximise the marginal likelihood of one
target; the other targets use the same kernel (and keep their own noise-to-signal ratio), so that a prediction
for all of them needs one kernel matrix. Source of the kernel: Rasmussen and Williams, Gaussian Processes for
Machine Learning (2006), sections 4.2, 5.1 and 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.artifacts import ModelState
from aimat_ray.surrogate.linalg import blockwise, contiguous, squared_distances, standardise

FloatArray = NDArray[np.float64]
ROOT5 = np.float64(np.sqrt(5.0))
_LOG_BOUNDS = (-9.0, 5.0)
_LOG_NOISE_BOUNDS = (np.log(1e-3), 5.0)  # less noise would ask more of float32 than it can give


@dataclass(frozen=True)
class GpParams:
    """What is fixed before fitting.

    Attributes:
        groups: Columns of each group of inputs; empty means one group of all columns.
        max_kernel_rows: Most rows used to choose the kernel; the fit itself uses all rows.
        max_iterations: Most optimiser iterations for the kernel.
    """

    groups: Sequence[Sequence[int]] = ()
    max_kernel_rows: int = 600
    max_iterations: int = 40


class GroupedGp:
    """Gaussian processes for several targets that share one kernel."""

    kind: ClassVar[str] = "gp"

    def __init__(self, **params: Any) -> None:
        self.params = GpParams(**params)
        self._arrays: dict[str, NDArray[Any]] = {}

    def fit(
        self,
        features: FloatArray,
        targets: FloatArray,
        rng: np.random.Generator,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """Choose the kernel on the target with the most values (the first of equals), then solve all targets.

        Args:
            features: Inputs, [N, D].
            targets: Values, [N, M]; NaN where unknown.
            rng: Draws the rows for choosing the kernel where there are too many.
            groups: Not used.
        """
        scaled, centre, scale = standardise(features)
        known = np.isfinite(targets)
        mean, spread = np.nanmean(targets, axis=0), np.nanstd(targets, axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        lead = int(np.argmax(known.sum(axis=0)))
        rows = _subset(np.flatnonzero(known[:, lead]), self.params.max_kernel_rows, rng)
        parts = [list(g) for g in self.params.groups] or [list(range(features.shape[1]))]
        log_hyper = choose_kernel(
            scaled[rows], (targets[rows, lead] - mean[lead]) / spread[lead], parts, self.params.max_iterations
        )
        weighted = scaled * _column_weights(log_hyper, parts, features.shape[1])
        used = known.any(axis=1)
        signal, linear, noise = np.exp(log_hyper[len(parts) :])
        alpha = np.zeros((int(used.sum()), targets.shape[1]))
        for m in range(targets.shape[1]):
            rows_m = np.flatnonzero(known[:, m])
            kernel = _kernel(weighted[rows_m], weighted[rows_m], signal, linear)
            kernel[np.diag_indices_from(kernel)] += noise
            alpha[known[used, m], m] = np.linalg.solve(kernel, (targets[rows_m, m] - mean[m]) / spread[m])
        base = weighted[used]
        self._arrays = contiguous({
            "centre": centre, "column_scale": scale / _column_weights(log_hyper, parts, features.shape[1]),
            "mean": mean, "spread": spread, "log_hyper": log_hyper,
            "rows": base.T.astype(np.float32), "rows_sq": np.sum(base**2, axis=1).astype(np.float32),
            "alpha": (signal * alpha).astype(np.float32), "slope": (linear * base.T @ alpha).astype(np.float32),
        })  # fmt: skip
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Posterior mean, [B, D] -> [B, M], in float32 on fixed blocks."""
        return blockwise(self._predict_block, features)

    def _predict_block(self, features: FloatArray) -> FloatArray:
        a = self._arrays
        x = ((features - a["centre"]) / a["column_scale"]).astype(np.float32)
        shape = _matern_single(x, a["rows"], a["rows_sq"])
        scaled = (shape @ a["alpha"] + x @ a["slope"]).astype(np.float64)
        result: FloatArray = a["mean"] + a["spread"] * scaled
        return result

    def state(self) -> ModelState:
        """Everything needed to predict."""
        meta = {
            "groups": [list(map(int, g)) for g in self.params.groups],
            "max_kernel_rows": self.params.max_kernel_rows,
            "max_iterations": self.params.max_iterations,
        }
        return ModelState(self.kind, meta=meta, arrays=self._arrays)

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The model that `state` came from."""
        model = cls(**state.meta)
        model._arrays = dict(state.arrays)
        return model


def choose_kernel(
    scaled: FloatArray, target: FloatArray, groups: Sequence[Sequence[int]], max_iterations: int
) -> FloatArray:
    """Maximise the marginal likelihood.

    Args:
        scaled: Standardised inputs, [N, D].
        target: Standardised values, [N].
        groups: Columns of each group.
        max_iterations: Most optimiser iterations.

    Returns:
        Natural logarithms of the group weights, signal, linear and noise variances, [G + 3].
    """
    from scipy.optimize import minimize

    distances = np.stack([_squared_distances(scaled[:, g], scaled[:, g]) / len(g) for g in groups])
    products = np.stack([scaled[:, g] @ scaled[:, g].T / len(g) for g in groups])
    start = np.concatenate([np.full(len(groups), np.log(0.3)), np.log([1.0, 0.1, 0.05])])
    result = minimize(
        _negative_log_likelihood, start, args=(distances, products, target), jac=True, method="L-BFGS-B",
        bounds=[*[_LOG_BOUNDS] * (len(start) - 1), _LOG_NOISE_BOUNDS], options={"maxiter": max_iterations},
    )  # fmt: skip
    return np.asarray(result.x, np.float64)


def _negative_log_likelihood(
    log_hyper: FloatArray, distances: FloatArray, products: FloatArray, target: FloatArray
) -> tuple[float, FloatArray]:
    """Negative log marginal likelihood and its gradient; see the module docstring for the kernel."""
    from scipy.linalg import cho_factor, cho_solve

    weights, (signal, linear, noise) = np.exp(log_hyper[:-3]), np.exp(log_hyper[-3:])
    d2 = np.tensordot(weights, distances, 1)
    root = ROOT5 * np.sqrt(np.maximum(d2, 0.0))
    decay = np.exp(-root)
    shape = (1.0 + root + root**2 / 3.0) * decay
    dot = np.tensordot(weights, products, 1)
    kernel = signal * shape + linear * dot
    kernel[np.diag_indices_from(kernel)] += noise + 1e-8
    factor = cho_factor(kernel, lower=True)
    alpha = cho_solve(factor, target)
    # d(-log L)/d theta = -0.5 tr((alpha alpha' - K^-1) dK/d theta)
    pull = -0.5 * (np.outer(alpha, alpha) - cho_solve(factor, np.eye(len(target))))
    d_shape = pull * (signal * (-5.0 / 6.0) * (1.0 + root) * decay)  # dK/d(d^2) of the Matern part
    gradient = np.concatenate([
        weights * (np.tensordot(distances, d_shape, 2) + linear * np.tensordot(products, pull, 2)),
        [signal * np.sum(pull * shape), linear * np.sum(pull * dot), noise * np.trace(pull)],
    ])  # fmt: skip
    value = 0.5 * target @ alpha + np.sum(np.log(np.diag(factor[0]))) + 0.5 * len(target) * np.log(2 * np.pi)
    return float(value), gradient


def _column_weights(log_hyper: FloatArray, groups: Sequence[Sequence[int]], n_columns: int) -> FloatArray:
    weights = np.zeros(n_columns)
    for value, group in zip(np.exp(log_hyper[: len(groups)]), groups, strict=True):
        weights[list(group)] += value / len(group)
    # A column of no group must not matter; a tiny weight keeps the division below defined.
    return np.sqrt(np.maximum(weights, 1e-12))


def _squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    cross = left @ right.T
    squares = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1)[None, :] - 2.0 * cross
    return np.maximum(squares, 0.0)


def _kernel(left: FloatArray, right: FloatArray, signal: float, linear: float) -> FloatArray:
    root = ROOT5 * np.sqrt(_squared_distances(left, right))
    return signal * (1.0 + root + root**2 / 3.0) * np.exp(-root) + linear * (left @ right.T)


def _matern_single(x: NDArray[np.float32], rows: NDArray[np.float32], rows_sq: NDArray[np.float32]) -> Any:
    """Matern-5/2 correlations in float32, [b, N], with as few passes over memory as numpy allows."""
    root = squared_distances(x, rows, rows_sq)
    np.maximum(root, np.float32(0.0), out=root)
    root *= np.float32(5.0)
    np.sqrt(root, out=root)
    decay = np.exp(-root)
    shape = root * np.float32(1.0 / 3.0)
    shape += np.float32(1.0)
    shape *= root
    shape += np.float32(1.0)
    shape *= decay
    return shape


def _subset(rows: NDArray[np.intp], limit: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return rows if len(rows) <= limit else np.sort(rng.choice(rows, limit, replace=False))
