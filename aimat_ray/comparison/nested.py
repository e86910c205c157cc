"""Choosing a family's settings inside the training rows, and fitting with them.

Nothing here sees a test row: inner folds are drawn from the training rows by chemical system, SMOTE and scaling are
made from the rows that a model is fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.comparison.candidates import CLASSIFIERS, REGRESSORS, Candidate, Params, Scaling
from aimat_ray.surrogate.boosting import oversample
from aimat_ray.surrogate.validation import auc

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
N_INNER_FOLDS = 2
# Settings are chosen on at most so many of the training rows; the fit itself uses them all.
MAX_SEARCH_ROWS = 1_000


@dataclass(frozen=True, eq=False)
class Rows:
    """Training rows of one target.

    Attributes:
        features: Inputs, [N, D].
        target: Values, or labels 0 and 1, [N]; all known.
        system: Chemical system of each row, [N].
    """

    features: FloatArray
    target: FloatArray
    system: NDArray[np.int64]

    def take(self, chosen: BoolArray | NDArray[np.intp]) -> Rows:
        """Some of the rows."""
        return Rows(self.features[chosen], self.target[chosen], self.system[chosen])


@dataclass(frozen=True)
class Choice:
    """What nested folds chose."""

    params: Params
    smote: bool = False


def fit_predict_regressor(
    name: str, rows: Rows, test: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, Choice]:
    """Choose settings on inner folds, fit on all training rows, and predict test inputs [B, D] -> [B]."""
    candidate = REGRESSORS[name]
    choices = [Choice(params) for params in candidate.grid]
    seed = _seed(rng)

    def loss(choice: Choice, train: Rows, held: Rows) -> float:
        return float(np.sum((_regress(candidate, choice, train, held.features, seed) - held.target) ** 2))

    best = choose(choices, rows, rng, loss)
    return _regress(candidate, best, rows, test, seed), best


def fit_predict_classifier(
    name: str, rows: Rows, test: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, Choice]:
    """Choose settings (SMOTE or not among them) on inner folds, fit, and score test inputs [B, D] -> [B], 0..1."""
    candidate = CLASSIFIERS[name]
    choices = [Choice(params, smote) for params in candidate.grid for smote in (False, True)]
    seed = _seed(rng)

    def loss(choice: Choice, train: Rows, held: Rows) -> float:
        if np.ptp(train.target) == 0 or np.ptp(held.target) == 0:
            return 0.0
        return -auc(held.target, _classify(candidate, choice, train, held.features, seed)) * len(held.target)

    best = choose(choices, rows, rng, loss)
    return _classify(candidate, best, rows, test, seed), best


def choose(choices: list[Choice], rows: Rows, rng: np.random.Generator, loss: Any) -> Choice:
    """The choice with the least loss, summed over inner folds by chemical system.

    Args:
        choices: What to choose among.
        rows: Training rows.
        rng: Draws the inner folds.
        loss: Maps (choice, training rows, held-out rows) to a loss that adds up over folds.
    """
    if len(choices) == 1:
        return choices[0]
    inner = inner_folds(rows.system, rng)
    order = rng.permutation(len(rows.target))[:MAX_SEARCH_ROWS]
    rows, inner = rows.take(order), inner[order]
    total = np.zeros(len(choices))
    for k in range(N_INNER_FOLDS):
        held = inner == k
        if held.sum() < 2 or (~held).sum() < 10:
            continue
        total += [loss(choice, rows.take(~held), rows.take(held)) for choice in choices]
    return choices[int(np.argmin(total))]


def inner_folds(system: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Inner fold of each row, [N]; the rows of a system stay together."""
    _, member = np.unique(system, return_inverse=True)
    return (rng.permutation(int(member.max()) + 1) % N_INNER_FOLDS)[member].astype(np.int64)


def _regress(candidate: Candidate, choice: Choice, rows: Rows, test: FloatArray, seed: int) -> FloatArray:
    train, held = _scaled(candidate.scaling, rows.features, test)
    mean, spread = float(rows.target.mean()), float(rows.target.std()) or 1.0
    assert candidate.make is not None
    model = candidate.make(choice.params, seed).fit(train, (rows.target - mean) / spread)
    return mean + spread * np.asarray(model.predict(held), np.float64).ravel()


def _classify(candidate: Candidate, choice: Choice, rows: Rows, test: FloatArray, seed: int) -> FloatArray:
    train, held = _scaled(candidate.scaling, rows.features, test)
    labels = rows.target
    if choice.smote:
        train, labels = oversample(train, labels, np.random.default_rng(seed))
    assert candidate.make is not None
    model = candidate.make(choice.params, seed).fit(train, labels.astype(np.int64))
    if not hasattr(model, "predict_proba"):  # support vectors: the side of the margin, squashed
        return 1.0 / (1.0 + np.exp(-np.asarray(model.decision_function(held), np.float64)))
    return np.asarray(model.predict_proba(held), np.float64)[:, 1]


def _scaled(scaling: Scaling, train: FloatArray, test: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inputs scaled by the training rows."""
    if scaling == "none":
        return train, test
    if scaling == "unit":
        low, span = train.min(axis=0), np.ptp(train, axis=0)
        span = np.where(span > 0, span, 1.0)
        return (train - low) / span, np.clip((test - low) / span, 0.0, 1.0)
    centre, scale = train.mean(axis=0), train.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    return (train - centre) / scale, (test - centre) / scale


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31 - 1))
