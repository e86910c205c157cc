"""Scores on alloys that a model has not seen; shared by fitting and by the benchmark.

Every score carries its split, its n, the number of chemical systems, and a 95 % interval from bootstrap samples of
whole systems (rows of one system are not independent).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
N_BOOTSTRAP = 400


@dataclass(frozen=True)
class RegressionScore:
    """Pooled out-of-fold score of one property.

    Attributes:
        r2: 1 - squared error / variance around the mean of the scored rows.
        rmse: Root mean squared error, in the property's unit.
        mae: Mean absolute error, in the property's unit.
        mape: Mean absolute error in % of the measured value, over the rows where that is not 0.
        n: Rows scored.
        n_systems: Chemical systems among them.
        lower: Lower end of the 95 % interval of `r2`.
        upper: Upper end of it.
    """

    r2: float
    rmse: float
    mae: float
    mape: float | None
    n: int
    n_systems: int
    lower: float
    upper: float

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class ClassScore:
    """Pooled out-of-fold score of the class probability; `lower` and `upper` belong to `auc`."""

    auc: float
    brier: float
    precision: float
    recall: float
    f1: float
    n: int
    n_systems: int
    lower: float
    upper: float

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers."""
        return asdict(self)


def score_regression(
    measured: FloatArray, predicted: FloatArray, system: NDArray[Any], seed: int = 0
) -> RegressionScore | None:
    """Score predictions [N] where both are finite; None with fewer than three rows.

    Args:
        measured: Measured values, [N].
        predicted: Out-of-fold predictions, [N].
        system: Chemical system of each row, [N].
        seed: Seed of the bootstrap.
    """
    known = np.isfinite(measured) & np.isfinite(predicted)
    y, f, group = measured[known], predicted[known], system[known]
    if len(y) < 3 or float(np.ptp(y)) == 0.0:
        return None
    # The sums per system are enough for every bootstrap sample.
    sums = _sums_by_group(group, np.stack([np.ones(len(y)), y, y**2, (y - f) ** 2], axis=1))
    lower, upper = _bootstrap_interval(sums, _r2_of_sums, seed)
    return RegressionScore(
        r2=float(_r2_of_sums(sums.sum(axis=0))), rmse=float(np.sqrt(np.mean((y - f) ** 2))),
        mae=float(np.mean(np.abs(y - f))), mape=_mape(y, f), n=len(y), n_systems=len(sums), lower=lower, upper=upper,
    )  # fmt: skip


def score_class(
    labels: FloatArray,
    probability: FloatArray,
    system: NDArray[Any],
    threshold: float = 0.5,
    seed: int = 0,
    ranking: FloatArray | None = None,
) -> ClassScore | None:
    """Score class probabilities [N]; None unless both classes occur.

    Args:
        labels: 1 or 0, [N].
        probability: Out-of-fold probabilities, [N].
        system: Chemical system of each row, [N].
        threshold: Probability from which a row counts as predicted feasible.
        seed: Seed of the bootstrap.
        ranking: Scores behind the AUC, [N]; the probabilities when None. Where each fold has a calibration of its own,
            calibrated probabilities of different folds do not rank against each other.
    """
    known = np.isfinite(labels) & np.isfinite(probability)
    y, p, group = labels[known], probability[known], system[known]
    order = p if ranking is None else ranking[known]
    if len(y) == 0 or y.min() == y.max():
        return None
    hit = float(np.sum((p >= threshold) & (y == 1)))
    precision = hit / max(float(np.sum(p >= threshold)), 1.0)
    recall = hit / float(np.sum(y == 1))
    lower, upper, n_systems = _auc_interval(y, order, group, seed)
    return ClassScore(
        auc=auc(y, order), brier=float(np.mean((p - y) ** 2)), precision=precision, recall=recall,
        f1=2 * precision * recall / max(precision + recall, 1e-12), n=len(y), n_systems=n_systems,
        lower=lower, upper=upper,
    )  # fmt: skip


def auc(labels: FloatArray, probability: FloatArray, weight: FloatArray | None = None) -> float:
    """Area under the ROC curve (ties count half), of rows with optional weights, [N] each."""
    w = np.ones(len(labels)) if weight is None else weight
    _, member = np.unique(probability, return_inverse=True)
    positive = np.bincount(member, weights=w * labels)
    negative = np.bincount(member, weights=w * (1.0 - labels))
    below = np.cumsum(negative) - negative
    total = positive.sum() * negative.sum()
    return float(np.sum(positive * (below + 0.5 * negative)) / total) if total > 0 else float("nan")


def coverage(measured: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """Share of the measured values that lie inside their interval; NaN where nothing is measured."""
    known = np.isfinite(measured) & np.isfinite(lower)
    inside = (measured >= lower) & (measured <= upper)
    return float(inside[known].mean()) if known.any() else float("nan")


def _mape(measured: FloatArray, predicted: FloatArray) -> float | None:
    some = measured != 0.0
    return float(100.0 * np.mean(np.abs(1.0 - predicted[some] / measured[some]))) if some.any() else None


def _sums_by_group(group: NDArray[Any], columns: FloatArray) -> FloatArray:
    _, member = np.unique(group, return_inverse=True)
    return np.stack([np.bincount(member, weights=column) for column in columns.T], axis=1)


def _r2_of_sums(sums: FloatArray) -> Any:
    n, y, y2, error = np.moveaxis(sums, -1, 0)
    return 1.0 - error / np.maximum(y2 - y**2 / n, 1e-12)


def _bootstrap_interval(sums: FloatArray, statistic: Callable[[FloatArray], Any], seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(sums), size=(N_BOOTSTRAP, len(sums)))
    values = statistic(sums[draws].sum(axis=1))
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def _auc_interval(y: FloatArray, p: FloatArray, group: NDArray[Any], seed: int) -> tuple[float, float, int]:
    _, member = np.unique(group, return_inverse=True)
    n_groups = int(member.max()) + 1
    rng, values = np.random.default_rng(seed), []
    for _ in range(N_BOOTSTRAP // 2):
        weight = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups).astype(np.float64)
        values.append(auc(y, p, weight[member]))
    return float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975)), n_groups
