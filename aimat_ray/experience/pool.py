"""The trusted experience pool: transitions between measured alloys, with provenance per property and end.

Two measured alloys with the same elements that differ by at most one step are a step whose ends are known. See
pool-design.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.measurements import AlloyTable
from aimat_ray.env.legality import BoolArray, FloatArray, check_legality
from aimat_ray.env.observation import Float32Array
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import change_to_slots
from aimat_ray.env.walk import WalkState, judge, limits_of, observe, reward_of
from aimat_ray.prediction import Prediction, Predictor

MIN_POOL_ELEMENTS = 3
MAX_POOL_ELEMENTS = 7


@dataclass(frozen=True, slots=True)
class TrustedPool:
    """Steps between measured alloys.

    Attributes:
        at_frac: Compositions before the step, [N, E].
        change: What the step changes, [N, E]; rows sum to 0.
        next_at_frac: Compositions after it, [N, E]; equal to at_frac + change.
        values: Measured properties at both ends, [N, 2, P]; NaN where not measured.
        source_row: Rows of the table at both ends, [N, 2].
    """

    at_frac: FloatArray
    change: FloatArray
    next_at_frac: FloatArray
    values: FloatArray
    source_row: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.at_frac)

    @property
    def measured(self) -> BoolArray:
        """Which properties are measured at each end, [N, 2, P]; the others are imputed by a surrogate."""
        return np.isfinite(self.values)

    @property
    def n_compositions(self) -> int:
        """Number of different table rows that take part."""
        return len(np.unique(self.source_row))

    @property
    def max_abs_residual(self) -> float:
        """Largest |s + a - s'| over all transitions and elements."""
        if len(self) == 0:
            return 0.0
        return float(np.abs(self.at_frac + self.change - self.next_at_frac).max())

    def rows(self, index: NDArray[np.intp] | BoolArray) -> TrustedPool:
        """The transitions at `index`."""
        return TrustedPool(
            self.at_frac[index],
            self.change[index],
            self.next_at_frac[index],
            self.values[index],
            self.source_row[index],
        )


def build_pool(table: AlloyTable, max_step: float) -> TrustedPool:
    """Find every ordered pair of rows that is one step apart.

    Args:
        table: Measured alloys.
        max_step: Largest difference of one fraction, 0..1.

    Returns:
        All ordered pairs of different rows with the same 3..7 present elements and no difference above `max_step`.
    """
    present = table.at_frac > 0
    count = present.sum(axis=1)
    usable = np.flatnonzero((count >= MIN_POOL_ELEMENTS) & (count <= MAX_POOL_ELEMENTS))
    _, group = np.unique(present[usable], axis=0, return_inverse=True)
    pairs = []
    for g in range(int(group.max(initial=-1)) + 1):
        members = usable[group.ravel() == g]
        difference = np.abs(table.at_frac[members][:, None] - table.at_frac[members][None]).max(axis=2)
        near = difference <= max_step  # in binary, as published; see pool-design.md on pairs at exactly one step
        np.fill_diagonal(near, False)
        i, j = np.nonzero(near)
        pairs.append(np.stack([members[i], members[j]], axis=1))
    rows = np.concatenate(pairs) if pairs else np.zeros((0, 2), dtype=np.intp)
    first, second = rows[:, 0], rows[:, 1]
    return TrustedPool(
        at_frac=table.at_frac[first],
        change=table.at_frac[second] - table.at_frac[first],
        next_at_frac=table.at_frac[second],
        values=np.stack([table.values[first], table.values[second]], axis=1),
        source_row=rows,
    )


def usable_in(pool: TrustedPool, task: DesignTask, only_measured: bool) -> tuple[TrustedPool, NDArray[np.intp]]:
    """The transitions that an agent of a task could make itself, and their base.

    Args:
        pool: All transitions.
        task: What is designed; both ends must be legal for one of its bases.
        only_measured: Keep only transitions with every quantity of the base's goal measured at both ends.

    Returns:
        The transitions and the position of each one's base in `task.bases`. A tie between two bases gives two entries.
    """
    keep, bases = [], []
    for b in range(len(task.bases)):
        base = np.full(len(pool), b, dtype=np.intp)
        limits = limits_of(task, base)
        good = check_legality(pool.at_frac, limits).legal & check_legality(pool.next_at_frac, limits).legal
        if task.settings.mode == "paper":
            column = task.windows.base[b]
            good = pool.at_frac[:, column] >= pool.at_frac.max(axis=1)
        if only_measured:
            asked = task.goals.draw(base[:1], np.zeros((1, len(task.problem.quantity_keys))), np.random.default_rng(0))
            known = np.asarray(np.isfinite(task.problem.with_derived(pool.values)).all(axis=1))
            good &= known[:, asked.asked[0]].all(axis=1)
        keep.append(np.flatnonzero(good))
        bases.append(base[good])
    return pool.rows(np.concatenate(keep)), np.concatenate(bases)


@dataclass(frozen=True, slots=True)
class PoolExperience:
    """The pool as an agent of a task would have lived it."""

    observation: Float32Array
    action: Float32Array
    reward: FloatArray
    next_observation: Float32Array
    terminated: BoolArray
    at_frac: FloatArray
    next_at_frac: FloatArray


def experience_of(
    pool: TrustedPool,
    base: NDArray[np.intp],
    task: DesignTask,
    predictor: Predictor,
    rng: np.random.Generator,
) -> PoolExperience:
    """Reward the pool by the task's own reward: measured values where they exist, the surrogate's elsewhere.

    Args:
        pool: Transitions.
        base: Position of each one's base in `task.bases`, [N].
        task: What is designed.
        predictor: The surrogate.
        rng: For goals that are drawn at random.
    """
    before = _known(predictor.predict(pool.at_frac), pool.values[:, 0])
    after = _known(predictor.predict(pool.next_at_frac), pool.values[:, 1])
    goals = task.goals.draw(base, task.judged(before), rng)
    steps = np.zeros(len(pool), dtype=np.intp)
    state = WalkState(pool.at_frac, pool.at_frac, base, steps, goals, before)
    next_state = replace(state, at_frac=pool.next_at_frac, step=steps + 1, prediction=after)
    verdict = judge(task, next_state)
    reward = reward_of(task, state, next_state, verdict, verdict.goal.astype(np.float64))
    change = pool.change / task.max_step
    action = change_to_slots(pool.at_frac, change) if task.settings.mode == "paper" else change
    return PoolExperience(
        observation=observe(task, state),
        action=action.astype(np.float32),
        reward=reward.total,
        next_observation=observe(task, next_state),
        terminated=~verdict.feasible | verdict.goal,
        at_frac=pool.at_frac,
        next_at_frac=pool.next_at_frac,
    )


def _known(prediction: Prediction, values: FloatArray) -> Prediction:
    """Predictions with measured values in place of predicted ones; a measured value has no interval."""
    known = np.isfinite(values)
    return replace(
        prediction,
        mean=np.where(known, values, prediction.mean),
        lower=np.where(known, values, prediction.lower),
        upper=np.where(known, values, prediction.upper),
        spread=np.where(known, 0.0, prediction.spread),
    )
