"""Interquartile means with bootstrap intervals over seeds, and performance profiles.

The same definitions as the package rliable gives them: the mean of the middle half of all runs; intervals from
resampling seeds within each problem; the profile is the share of runs that score above a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import trim_mean

FloatArray = NDArray[np.float64]
RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """An interquartile mean.

    Attributes:
        mean: Of the middle half.
        lower: Of its 95 % interval.
        upper: Of its 95 % interval.
        n: Runs behind it.
    """

    mean: float
    lower: float
    upper: float
    n: int


def iqm(values: FloatArray) -> float:
    """Mean of the middle half; the plain mean of fewer than four values."""
    return float(trim_mean(values, 0.25)) if len(values) else float("nan")


def estimate(by_problem: Mapping[str, FloatArray], seed: int = 0) -> Estimate:
    """Interquartile mean over problems and seeds with its stratified bootstrap interval.

    Args:
        by_problem: Scores of the seeds of each problem.
        seed: Of the resampling.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in by_problem.values() if len(values)]
    if not groups:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([values[rng.integers(len(values), size=(RESAMPLES, len(values)))] for values in groups], 1)
    means = trim_mean(drawn, 0.25, axis=1)
    lower, upper = np.percentile(means, [2.5, 97.5])
    everything = np.concatenate(groups)
    return Estimate(iqm(everything), float(lower), float(upper), len(everything))


def profile(scores: FloatArray, levels: FloatArray) -> FloatArray:
    """Share of runs that score above each level, [L]."""
    return np.asarray((scores[None, :] > levels[:, None]).mean(axis=1))


def over_problems(table: pd.DataFrame, column: str) -> Estimate:
    """Interquartile mean of a column over the problems and seeds of a table; rows without a value are left out."""
    groups = {str(name): part[column].dropna().to_numpy(np.float64) for name, part in table.groupby("problem")}
    return estimate(groups)
