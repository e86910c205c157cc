"""Which hyperparameters of a search mattered: what a forest loses when it no longer sees one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor

FloatArray = NDArray[np.float64]
MIN_SAMPLES = 8
_FOLDS, _ROUNDS, _SHUFFLES, _TREES = 4, 5, 5, 60


@dataclass(frozen=True)
class Sample:
    """One sample of a search.

    Attributes:
        name: Of its run.
        point: Number or word by dotted key of the setting.
        value: What is maximised, 0..1.
    """

    name: str
    point: dict[str, float | int | str]
    value: float


@dataclass(frozen=True)
class Importance:
    """What the settings explain.

    Attributes:
        r2: Share of the variance between samples that the forest predicts for samples it has not seen; at or below 0
            the other numbers mean nothing.
        loss: By setting: mean and standard deviation, over repeated folds, of the share of the variance that is no
            longer explained when the setting's values are shuffled.
    """

    r2: float
    loss: dict[str, tuple[float, float]]


def importance(samples: Sequence[Sample], seed: int = 0) -> Importance | None:
    """Importance of every setting, always on samples that the forest did not see.

    Args:
        samples: All with the same settings.
        seed: Of folds, forests and shuffles.

    Returns:
        None for fewer than MIN_SAMPLES samples, or where all reached the same.
    """
    values = np.array([sample.value for sample in samples])
    if len(samples) < MIN_SAMPLES or np.ptp(values) == 0:
        return None
    keys = list(samples[0].point)
    columns = encoded([sample.point for sample in samples])
    rng = np.random.default_rng(seed)
    scores: list[float] = []
    losses: dict[str, list[float]] = {key: [] for key in keys}
    for _ in range(_ROUNDS):
        fold = rng.permutation(np.arange(len(samples)) % _FOLDS)
        own = np.empty(len(samples))
        shuffled = {key: np.empty((_SHUFFLES, len(samples))) for key in keys}
        for k in range(_FOLDS):
            test = fold == k
            forest = _forest(columns, values, ~test, int(rng.integers(2**31)))
            own[test] = forest.predict(np.column_stack(list(columns.values()))[test])
            for key in keys:
                for i in range(_SHUFFLES):
                    changed = {**columns, key: columns[key][rng.permutation(len(samples))]}
                    shuffled[key][i, test] = forest.predict(np.column_stack(list(changed.values()))[test])
        variance = float(((values - values.mean()) ** 2).mean())
        error = float(((own - values) ** 2).mean())
        scores.append(1 - error / variance)
        for key in keys:
            losses[key].append((float(((shuffled[key] - values) ** 2).mean()) - error) / variance)
    spread = {key: (float(np.mean(found)), float(np.std(found))) for key, found in losses.items()}
    return Importance(float(np.mean(scores)), dict(sorted(spread.items(), key=lambda item: -item[1][0])))


def encoded(points: Sequence[Mapping[str, Any]]) -> dict[str, FloatArray]:
    """One column of numbers, [N], per setting: logarithms where values span more than a decade, ranks for words."""
    columns = {}
    for key in points[0]:
        values = [point[key] for point in points]
        numbers = [value for value in values if not isinstance(value, str)]
        if len(numbers) == len(values):
            column = np.array(numbers, dtype=np.float64)
            if column.min() > 0 and column.max() / column.min() > 10:
                column = np.log(column)
        else:
            kinds = sorted({str(value) for value in values})
            column = np.array([kinds.index(str(value)) for value in values], dtype=np.float64)
        columns[key] = column
    return columns


def samples_of(points: Sequence[tuple[str, Mapping[str, Any], float]]) -> list[Sample]:
    """Samples that were measured, from name, settings and value."""
    return [
        Sample(name, {key: _plain(item) for key, item in point.items()}, value)
        for name, point, value in points
        if math.isfinite(value)
    ]


def _plain(value: Any) -> float | int | str:
    """A number as it is; anything else as a word."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _forest(
    columns: Mapping[str, FloatArray], values: FloatArray, rows: NDArray[np.bool_], seed: int
) -> ExtraTreesRegressor:
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(n_estimators=_TREES, min_samples_leaf=2, random_state=seed)
    return forest.fit(np.column_stack(list(columns.values()))[rows], values[rows])
