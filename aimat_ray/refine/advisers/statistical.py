"""The offline adviser: which descriptors does the error of the surrogate follow?

The error on unseen chemical systems is averaged in bins of each candidate, and the averages are tested on folds of
systems that they were not made from. The best candidate, and what still helps beside it, is proposed, unless errors
dealt out to other systems at random are followed as well by the best of their candidates (a permutation test of the
largest share, so that having picked the best of many is paid for).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aimat_ray.refine.advisers.base import AdviceError, FloatArray, Question
from aimat_ray.refine.records import Proposal

NAME = "statistical"
N_BINS = 8
SHRINKAGE = 10.0  # rows of zero error that each bin is averaged with
N_PERMUTATIONS = 199
LEVEL = 0.05  # of the permutation test
LEAST_STEP = 0.01  # further explained share that a second or third descriptor must bring
LEAST_ROWS = 40

IntArray = NDArray[np.int64]


class StatisticalAdviser:
    """Binned errors on grouped folds; the same question always gets the same answer."""

    def propose(self, question: Question) -> Proposal:
        """See `Adviser`.

        Raises:
            AdviceError: Too few measured rows, or the error follows no candidate better than chance.
        """
        known = np.isfinite(question.residual)
        if known.sum() < LEAST_ROWS:
            raise AdviceError(f"only {int(known.sum())} measured rows of {question.trigger.property_key}")
        y, x = _clipped(question.residual[known]), question.values[known]
        fold, system = question.fold[known], question.system[known]
        spent = {name for names in question.tried for name in names[:1]}  # leading names that did not help
        usable = [i for i, name in enumerate(question.candidates) if name not in spent and np.ptp(x[:, i]) > 0]
        if not usable:
            raise AdviceError("no candidate is left")
        bins = {i: binned(x[:, i]) for i in usable}
        shares = {i: explained(bins[i], y, fold) for i in usable}
        best = max(shares, key=lambda i: shares[i])
        p_value = _p_value(list(bins.values()), y, fold, system, shares[best], question.seed)
        if shares[best] <= 0 or p_value > LEVEL:
            raise AdviceError(
                f"the error follows no candidate: {question.candidates[best]} explains {max(shares[best], 0.0):.1%} "
                f"of it on unseen systems (p = {p_value:.2f})"
            )
        chosen, share = _grown(bins, y, fold, best, shares, question.most)
        names = question.check(tuple(question.candidates[i] for i in chosen))
        reason = f"explains {share:.1%} of the squared error on unseen systems (p = {p_value:.3f})"
        return Proposal(descriptors=names, reason=reason, adviser=NAME)


def binned(values: FloatArray) -> IntArray:
    """Number of the quantile bin of each value, [N]."""
    edges = np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1])
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def predicted(bins: IntArray, y: FloatArray, fold: IntArray) -> FloatArray:
    """Mean error of each row's bin over the other folds, drawn towards zero, [N]."""
    n_folds = int(fold.max()) + 1
    place = fold * N_BINS + bins
    sums = np.bincount(place, weights=y, minlength=n_folds * N_BINS).reshape(n_folds, N_BINS)
    counts = np.bincount(place, minlength=n_folds * N_BINS).reshape(n_folds, N_BINS)
    means = (sums.sum(axis=0) - sums) / (counts.sum(axis=0) - counts + SHRINKAGE)
    return np.asarray(means[fold, bins])


def explained(bins: IntArray, y: FloatArray, fold: IntArray) -> float:
    """Share of the squared error [N] that one descriptor's bins explain in folds that they were not made from."""
    return float(1.0 - np.sum((y - predicted(bins, y, fold)) ** 2) / max(float(np.sum(y**2)), 1e-300))


def _clipped(residual: FloatArray) -> FloatArray:
    """Errors with the largest ones pulled in, so that single rows don't decide."""
    low, high = np.percentile(residual, [2, 98])
    return np.clip(residual, low, high)


def _p_value(bins: list[IntArray], y: FloatArray, fold: IntArray, system: IntArray, share: float, seed: int) -> float:
    """Chance that the best candidate explains as much of errors that are dealt out anew to whole systems."""
    rng = np.random.default_rng([seed, 41])
    order = np.argsort(system, kind="stable")
    blocks = np.split(order, np.flatnonzero(np.diff(system[order])) + 1)
    above = 0
    for _ in range(N_PERMUTATIONS):
        dealt = np.empty_like(y)
        dealt[order] = np.concatenate([y[blocks[i]] for i in rng.permutation(len(blocks))])
        above += max(explained(b, dealt, fold) for b in bins) >= share
    return (above + 1) / (N_PERMUTATIONS + 1)


def _grown(
    bins: dict[int, IntArray], y: FloatArray, fold: IntArray, best: int, shares: dict[int, float], most: int
) -> tuple[list[int], float]:
    """The best candidate and those that explain something of what it leaves, and their common share."""
    chosen, left, total = [best], y - predicted(bins[best], y, fold), max(float(np.sum(y**2)), 1e-300)
    while len(chosen) < most:
        rest = {i: predicted(b, left, fold) for i, b in bins.items() if i not in chosen}
        if not rest:
            break
        step = {i: float(np.sum(left**2) - np.sum((left - said) ** 2)) / total for i, said in rest.items()}
        following = max(step, key=lambda i: step[i])
        if step[following] < LEAST_STEP:
            break
        chosen.append(following)
        left = left - rest[following]
    return chosen, 1.0 - float(np.sum(left**2)) / total
