"""The offline adviser: which descriptors does the error of the surrogate follow?

The error on unseen chemical systems is regressed on each candidate alone by small trees, always tested on systems
that they have not seen. The best candidate, and what still helps beside it, is proposed, unless errors dealt out to
other systems at random (a permutation test) are followed as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aimat_ray.refine.advisers.base import AdviceError, FloatArray, Question
from aimat_ray.refine.records import Proposal

NAME = "statistical"
SCREENED = 24  # candidates kept by mutual information
N_PERMUTATIONS = 40
LEVEL = 0.05  # of the permutation test
LEAST_STEP = 0.01  # further explained share that a second or third descriptor must bring
LEAST_ROWS = 40
_DEPTH, _LEAST_LEAF, _BAGS = 4, 12, 8


class StatisticalAdviser:
    """Mutual information, then trees on grouped folds; the same question always gets the same answer."""

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
        screened = _screen(x, y, usable, question.seed)
        shares = {i: explained(x[:, [i]], y, fold, question.seed) for i in screened}
        best = max(shares, key=lambda i: shares[i])
        p_value = _permuted(x[:, [best]], y, fold, system, shares[best], len(screened), question.seed)
        if shares[best] <= 0 or p_value > LEVEL:
            raise AdviceError(
                f"the error follows no candidate: {question.candidates[best]} explains {shares[best]:.1%} of it on "
                f"unseen systems (p = {p_value:.2f})"
            )
        chosen = _grown(x, y, fold, best, screened, shares, question)
        names = question.check(tuple(question.candidates[i] for i in chosen))
        share = explained(x[:, chosen], y, fold, question.seed)
        reason = f"explains {share:.1%} of the squared error on unseen systems (p = {p_value:.3f} for {names[0]})"
        return Proposal(descriptors=names, reason=reason, adviser=NAME)


def explained(x: FloatArray, y: FloatArray, fold: NDArray[np.int64], seed: int) -> float:
    """Share of the squared error [N] that trees on columns [N, D] explain in folds that they have not seen."""
    from sklearn.ensemble import ExtraTreesRegressor

    predicted = np.zeros(len(y))
    for k in np.unique(fold):
        test = fold == k
        if test.all():
            continue
        trees = ExtraTreesRegressor(
            n_estimators=_BAGS, max_depth=_DEPTH, min_samples_leaf=_LEAST_LEAF, random_state=seed, n_jobs=1
        ).fit(x[~test], y[~test])
        predicted[test] = trees.predict(x[test])
    return float(1.0 - np.sum((y - predicted) ** 2) / max(np.sum(y**2), 1e-300))


def _clipped(residual: FloatArray) -> FloatArray:
    """Errors with the largest ones pulled in, so that single rows don't decide."""
    low, high = np.percentile(residual, [2, 98])
    return np.clip(residual, low, high)


def _screen(x: FloatArray, y: FloatArray, usable: list[int], seed: int) -> list[int]:
    from sklearn.feature_selection import mutual_info_regression

    information = mutual_info_regression(x[:, usable], y, random_state=seed)
    order = np.argsort(-information, kind="stable")[:SCREENED]
    return [usable[i] for i in order]


def _permuted(
    x: FloatArray,
    y: FloatArray,
    fold: NDArray[np.int64],
    system: NDArray[np.int64],
    share: float,
    n_compared: int,
    seed: int,
) -> float:
    """Chance that errors dealt out anew to whole systems are followed as well by the best of the candidates."""
    rng = np.random.default_rng([seed, 41])
    order = np.argsort(system, kind="stable")
    blocks = np.split(order, np.flatnonzero(np.diff(system[order])) + 1)
    above = 0
    for _ in range(N_PERMUTATIONS):
        dealt = np.empty_like(y)
        dealt[order] = np.concatenate([y[blocks[i]] for i in rng.permutation(len(blocks))])
        above += explained(x, dealt, fold, seed) >= share
    single = (above + 1) / (N_PERMUTATIONS + 1)
    # The best of many was picked. With so few permutations a full correction could never be passed, so what none of
    # them reached counts as found; the verdict tests the retrained surrogate itself anyway.
    return single if above == 0 else min(1.0, single * np.sqrt(n_compared))


def _grown(
    x: FloatArray,
    y: FloatArray,
    fold: NDArray[np.int64],
    best: int,
    screened: list[int],
    shares: dict[int, float],
    question: Question,
) -> list[int]:
    """The best candidate and those that still help beside it."""
    chosen, share = [best], shares[best]
    for i in sorted(screened, key=lambda i: -shares[i])[:10]:
        if len(chosen) == question.most:
            break
        if i not in chosen and (wider := explained(x[:, [*chosen, i]], y, fold, question.seed)) > share + LEAST_STEP:
            chosen, share = [*chosen, i], wider
    return chosen
