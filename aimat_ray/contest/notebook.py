"""What a method keeps of its evaluations: the best different designs, by the robust margin that everybody may know."""

from __future__ import annotations

import numpy as np

from aimat_ray.data.composition import composition_key
from aimat_ray.env.goals import thresholds_met
from aimat_ray.env.legality import MIN_ELEMENTS, BoolArray, FloatArray, check_legality
from aimat_ray.env.safety import robust_margin
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import limits_of
from aimat_ray.prediction import Prediction
from aimat_ray.search.diversity import distinct_rows

_AT_GOAL = 10.0  # above what any margin can be: designs at the goal come first
_KEPT = 4_096
_FULL = 32_768


def is_alloy(task: DesignTask, at_frac: FloatArray) -> BoolArray:
    """Whether rows are compositions of the task's first base, [N]; its window is another question."""
    report = check_legality(at_frac, limits_of(task, np.zeros(len(at_frac), dtype=np.intp)))
    enough = (at_frac > 0).sum(axis=1) >= MIN_ELEMENTS
    return report.finite & report.sum_ok & report.base_is_largest & enough & (at_frac >= 0).all(axis=1)


class Notebook:
    """Takes in evaluated compositions of one base with a fixed goal, and gives back the best ones.

    Args:
        task: What is designed; its first base and goal count.
    """

    def __init__(self, task: DesignTask) -> None:
        self._task = task
        n_elements = len(task.problem.elements)
        self._rows: list[FloatArray] = [np.zeros((0, n_elements))]
        self._scores: list[FloatArray] = [np.zeros(0)]
        self._n = 0

    def write(self, at_frac: FloatArray, prediction: Prediction) -> None:
        """Take in a batch, [B, E]; what is no alloy of the base is left out."""
        task, base = self._task, np.zeros(len(at_frac), dtype=np.intp)
        legal = np.flatnonzero(is_alloy(task, at_frac))
        if legal.size == 0:
            return
        at_frac, prediction = at_frac[legal], prediction.rows(legal)
        quantities = task.problem.with_derived(prediction.mean)
        goals = task.goals.draw(base[legal], quantities, np.random.default_rng(0))
        met = thresholds_met(quantities, goals).all(axis=1)
        met &= prediction.p_feasible >= task.problem.feasibility.threshold
        score = robust_margin(task.problem, prediction, goals) + _AT_GOAL * met
        self._rows.append(at_frac.copy())
        self._scores.append(score)
        self._n += len(score)
        if self._n > _FULL:
            self._thin()

    def best(self, n: int) -> FloatArray:
        """The best compositions of which no two agree within 1 at%, at most `n`, best first."""
        self._thin()
        rows, scores = self._rows[0], self._scores[0]
        return rows[distinct_rows(rows, scores, n)]

    def is_full(self, n: int) -> bool:
        """Whether `n` different compositions are at the goal, as the surrogate sees it."""
        self._thin()
        rows, scores = self._rows[0], self._scores[0]
        at_goal = scores > _AT_GOAL / 2
        return len(distinct_rows(rows[at_goal], scores[at_goal], n)) >= n

    def _thin(self) -> None:
        """Keep the best composition of each 1 at% cell, and of these the best."""
        rows, scores = np.concatenate(self._rows), np.concatenate(self._scores)
        order = np.argsort(-scores, kind="stable")
        _, first = np.unique(composition_key(rows[order], 0), return_index=True)
        kept = order[np.sort(first)][:_KEPT]
        self._rows, self._scores, self._n = [rows[kept]], [scores[kept]], len(kept)
