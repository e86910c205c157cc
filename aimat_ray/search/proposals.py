"""Random moves worth trying: a mixture of sparse and dense, small and large ones. See proposals-design.md."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.legality import MIN_FRACTION, BoolArray, FloatArray, Limits
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import ENTER_ABOVE, PAPER_SLOTS
from aimat_ray.env.walk import WalkState, limits_of

# Sizes in units of the largest step: mostly large ones, because surrogates of trees are flat over small moves; a share
# of small ones (log-uniform) for goals with a tight limit on the change.
_LARGE = (0.5, 1.0)
_SMALL_DECADES = (-1.5, -0.3)
_SMALL_SHARE = 0.15
_LEAST_ENTRY = 0.1  # of the largest step: an element that enters must clear 0.1 at% with room to spare
_BOUND_SLACK = 1e-6  # an element this close to its bound can't give or take


class Kind(IntEnum):
    """Kinds of proposals."""

    DENSE = 0  # every present element moves a little
    TRANSFER = 1  # one present element gives to another
    ENTER = 2  # an absent element enters at the cost of a present one
    LEAVE = 3  # an optional element goes down by a full step, and out when it is small
    SHAKE = 4  # every number uniform: present elements move, and as many absent ones enter as the base admits


KIND_SHARES = (0.15, 0.25, 0.2, 0.2, 0.2)
"""Share of each kind; where a kind is impossible (no free place, nothing that may leave) a transfer takes its place."""


def propose(task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
    """Draw `k` moves for each walk.

    Args:
        task: What is designed.
        state: Where the walks stand.
        k: Proposals per walk.
        rng: Source of randomness.

    Returns:
        Actions in [-1, 1], [B * k, A]: the proposals of walk i are the rows i * k to (i + 1) * k - 1.
    """
    rows = np.repeat(np.arange(len(state)), k)
    if task.settings.mode == "paper":
        return slot_proposals(state.at_frac[rows], rng)
    return simplex_proposals(state.at_frac[rows], limits_of(task, state.base[rows]), task.max_step, rng)


def simplex_proposals(at_frac: FloatArray, limits: Limits, max_step: float, rng: np.random.Generator) -> FloatArray:
    """One random `simplex` action per row.

    Args:
        at_frac: Legal compositions, [N, E].
        limits: Windows of the rows.
        max_step: Largest change of one fraction in one step, 0..1.
        rng: Source of randomness.

    Returns:
        Actions in [-1, 1], [N, E]; absent elements that shall stay out have 0.
    """
    n = len(at_frac)
    present = at_frac > 0
    can_enter = ~present & (limits.upper > MIN_FRACTION)
    can_enter &= (present.sum(axis=1) < limits.max_elements)[:, None]
    kind = rng.choice(len(KIND_SHARES), size=n, p=KIND_SHARES)
    kind[(kind == Kind.ENTER) & ~can_enter.any(axis=1)] = Kind.TRANSFER
    size = _sizes(n, rng)
    action = np.zeros_like(at_frac)

    dense = np.flatnonzero(kind == Kind.DENSE)
    action[dense] = _dense(present[dense], size[dense], rng)

    shake = np.flatnonzero(kind == Kind.SHAKE)
    action[shake] = rng.uniform(-1.0, 1.0, (len(shake), at_frac.shape[1]))

    sparse = np.flatnonzero((kind != Kind.DENSE) & (kind != Kind.SHAKE))
    action[sparse] = _sparse(
        at_frac[sparse], can_enter[sparse], limits.rows(sparse), max_step, kind[sparse], size[sparse], rng
    )
    return action


def slot_proposals(at_frac: FloatArray, rng: np.random.Generator) -> FloatArray:
    """One random `paper` action per row, [N, 7]: half move all slots, half shift between two."""
    n = len(at_frac)
    used = np.minimum((at_frac > 0).sum(axis=1), PAPER_SLOTS)[:, None] > np.arange(PAPER_SLOTS)
    size = _sizes(n, rng)
    action = _dense(used, size, rng)
    sparse = np.flatnonzero(rng.random(n) < 0.5)
    receiver = _pick(used[sparse], rng)
    others = used[sparse].copy()
    others[np.arange(len(sparse)), receiver] = False
    donor = _pick(others, rng)
    action[sparse] = 0.0
    action[sparse, donor] -= size[sparse]
    action[sparse, receiver] = size[sparse]
    return action


def _sizes(n: int, rng: np.random.Generator) -> FloatArray:
    small = 10.0 ** rng.uniform(*_SMALL_DECADES, n)
    return np.where(rng.random(n) < _SMALL_SHARE, small, rng.uniform(*_LARGE, n))


def _dense(mask: BoolArray, size: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Mean-free noise on the masked entries, its largest entry `size`, [N, A]."""
    noise = np.where(mask, rng.standard_normal(mask.shape, dtype=np.float32), 0.0)
    noise -= np.where(mask, noise.sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1, keepdims=True), 1), 0.0)
    largest = np.abs(noise).max(axis=1, keepdims=True, initial=0.0)
    return noise * (size[:, None] / np.maximum(largest, 1e-12))


def _sparse(
    at_frac: FloatArray,
    can_enter: BoolArray,
    limits: Limits,
    max_step: float,
    kind: NDArray[np.intp],
    size: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Moves between two elements, a donor and a receiver per row, [N, E]."""
    rows, present = np.arange(len(at_frac)), at_frac > 0
    optional = present & (limits.lower <= 0)
    optional[rows, limits.base] = False
    leaves = (kind == Kind.LEAVE) & optional.any(axis=1)
    enters = kind == Kind.ENTER
    donors = present & (at_frac > limits.lower + _BOUND_SLACK)
    donor = _pick(np.where(leaves[:, None], optional, donors), rng)
    receivers = present & (at_frac < limits.upper - _BOUND_SLACK)
    receivers[rows, donor] = False
    receiver = _pick(np.where(enters[:, None], can_enter, receivers), rng)

    amount = np.where(leaves, 1.0, np.where(enters, np.maximum(size, _LEAST_ENTRY), size))
    # Asking a donor for more than it has would push the difference onto all the others.
    spare = (at_frac[rows, donor] - limits.lower[rows, donor]) / max_step
    given = np.minimum(amount, np.clip(spare, 0.0, 1.0))
    action = np.zeros_like(at_frac)
    action[rows, donor] = -given
    action[rows, receiver] = np.where(enters, ENTER_ABOVE + (1 - ENTER_ABOVE) * amount, given)
    return action


def _pick(mask: BoolArray, rng: np.random.Generator) -> NDArray[np.intp]:
    """A random marked column of each row, [N]; column 0 where none is marked."""
    order = np.cumsum(mask, axis=1, dtype=np.int16)
    wanted = 1 + (rng.random(len(mask)) * order[:, -1]).astype(np.int16)
    return (order >= wanted[:, None]).argmax(axis=1)
