"""What an action does to a composition: two modes, both pure functions on batches.

`simplex` (default): the action pushes every element up or down; the result is mapped onto the legal region, so that an
illegal move can't be expressed. `paper`: seven slots on the present elements, as published, where illegal moves exist.
See transition-design.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.legality import MIN_ELEMENTS, MIN_FRACTION, BoolArray, FloatArray, Limits

ENTER_ABOVE = 0.5  # an absent element enters when its action exceeds this
PAPER_SLOTS = 7
_MAX_ITERATIONS = 80
_TOLERANCE = 1e-15
CHANGE_TOLERANCE = 1e-9  # of the allowed change from the start
_BISECTIONS = 30


def simplex_step(at_frac: FloatArray, action: FloatArray, limits: Limits, max_step: float | FloatArray) -> FloatArray:
    """Move compositions and map them onto the legal region of their base.

    Args:
        at_frac: Legal atomic fractions, [B, E]. Not modified.
        action: One number per element in [-1, 1], [B, E].
        limits: Windows of the rows.
        max_step: Largest change of one fraction in one step, 0..1; or one per row, [B, 1].

    Returns:
        Legal atomic fractions, [B, E]; each row sums to 1 within 1e-12.
    """
    action = np.clip(action, -1.0, 1.0)
    present = at_frac > 0
    entering = _entering(present, action, limits)
    push = np.where(present, action, 0.0) + np.where(entering, (action - ENTER_ABOVE) / (1 - ENTER_ABOVE), 0.0)
    active = present | entering
    low = np.where(active, np.maximum(limits.lower, at_frac - max_step), 0.0)
    high = np.where(active, np.minimum(limits.upper, at_frac + max_step), 0.0)
    wanted = at_frac + max_step * push
    moved = project(wanted, low, high, limits.base)
    return _drop_traces(moved, wanted, low, high, present, limits)


def _entering(present: BoolArray, action: FloatArray, limits: Limits) -> BoolArray:
    """Absent elements that enter: the strongest wishes, as many as the base still admits, [B, E]."""
    wish = ~present & (limits.upper > MIN_FRACTION) & (action > ENTER_ABOVE)
    if not wish.any():
        return wish
    free = limits.max_elements - present.sum(axis=1)
    rank = np.argsort(np.argsort(np.where(wish, -action, np.inf), axis=1, kind="stable"), axis=1, kind="stable")
    return wish & (rank < free[:, None])


def _drop_traces(
    moved: FloatArray,
    wanted: FloatArray,
    low: FloatArray,
    high: FloatArray,
    present: BoolArray,
    limits: Limits,
) -> FloatArray:
    """Elements below 0.1 at% leave and the rest takes their share.

    Where that would leave too few elements, or the rest has no room, the present ones stay at 0.1 at%.
    """
    trace = (moved < MIN_FRACTION) & (high > 0) & (limits.lower <= 0)
    too_few = (moved > 0).sum(axis=1) < MIN_ELEMENTS
    rows = np.flatnonzero((trace & (moved > 0)).any(axis=1) | too_few)
    if rows.size == 0:
        return moved
    trace, base = trace[rows], limits.base[rows]
    remaining = (high[rows] > 0).sum(axis=1) - trace.sum(axis=1)
    top = high[rows, base][:, None]
    room = np.where(trace, 0.0, np.minimum(high[rows], top)).sum(axis=1)
    may_leave = ((remaining >= MIN_ELEMENTS) & (room >= 1))[:, None]
    leaves = trace & (may_leave | ~present[rows])
    # Whatever stays keeps 0.1 at%: making room for one trace must not make another.
    stays = (high[rows] > 0) & ~leaves & (limits.lower[rows] <= 0)
    result = moved.copy()
    result[rows] = project(
        wanted[rows],
        np.where(leaves, 0.0, np.where(stays, np.maximum(low[rows], MIN_FRACTION), low[rows])),
        np.where(leaves, 0.0, high[rows]),
        base,
    )
    return result


def project(wanted: FloatArray, low: FloatArray, high: FloatArray, base: NDArray[np.intp]) -> FloatArray:
    """Map rows onto {low <= x <= high, sum x = 1, no element above the base} by one common shift per row.

    x_i = clip(wanted_i - shift, low_i, min(high_i, x_base)); the sum falls monotonically with the shift, which is
    found by Newton's method inside a bracket (the sum is piecewise linear, so it ends after a few steps). A row that is
    already in the region stays as it is. The result of a row does not depend on the other rows, to the bit.

    Args:
        wanted: Fractions before the map, [B, E].
        low: Lower bounds, [B, E].
        high: Upper bounds, [B, E]; zero keeps an element out.
        base: Position of the base element, [B]. The region must not be empty.

    Returns:
        Fractions, [B, E].
    """
    packed = _Packing(high)
    y, lo, hi = packed.pack(wanted), packed.pack(low), packed.pack(high)
    is_base = packed.mark(base)
    rows = np.arange(len(wanted))
    y_base, hi_base = wanted[rows, base], high[rows, base]
    lo_base = np.maximum(low[rows, base], np.where(is_base, 0.0, lo).max(axis=0, initial=0.0))
    lo = np.where(is_base, lo_base, lo)

    def at(shift: FloatArray) -> tuple[FloatArray, FloatArray]:
        top = np.minimum(np.maximum(y_base - shift, lo_base), hi_base)
        cap = np.maximum(np.minimum(hi, top), lo)
        return np.minimum(np.maximum(y - shift, lo), cap), top

    # Beyond these shifts every element sits at a bound.
    left = (y - hi).min(axis=0, initial=0.0) - 1.0
    right = (y - lo).max(axis=0, initial=0.0) + 1.0
    shift = np.zeros(len(wanted))
    x, top = at(shift)
    for _ in range(_MAX_ITERATIONS):
        excess = _ordered_sum(x) - 1.0
        done = np.abs(excess) <= _TOLERANCE
        if done.all():
            break
        left = np.where(excess > 0, shift, left)
        right = np.where(excess < 0, shift, right)
        # An element falls when the shift grows: by itself, or with the base that caps it.
        base_moves = (top > lo_base) & (top < hi_base)
        n_moving = ((x > lo) & (x < hi) & ((x < top) | base_moves)).sum(axis=0)
        newton = shift + excess / np.maximum(n_moving, 1)
        inside = (newton > left) & (newton < right) & (n_moving > 0)
        shift = np.where(done, shift, np.where(inside, newton, 0.5 * (left + right)))
        x, top = at(shift)
    return packed.unpack(x)


class _Packing:
    """The few entries of a [B, E] array that can be non-zero, as a dense [K, B] array: small, and quick along B."""

    def __init__(self, high: FloatArray) -> None:
        self.shape = high.shape
        self.row, self.column = np.nonzero(high > 0)
        count = np.bincount(self.row, minlength=len(high))
        self.slot = np.arange(len(self.row)) - np.repeat(np.cumsum(count) - count, count)
        self.width = int(count.max(initial=1))

    def pack(self, values: FloatArray) -> FloatArray:
        """[B, E] to [K, B]; unused places are zero."""
        packed = np.zeros((self.width, self.shape[0]))
        packed[self.slot, self.row] = values[self.row, self.column]
        return packed

    def mark(self, column: NDArray[np.intp]) -> BoolArray:
        """Where one column of each row went, [K, B]."""
        marked = np.zeros((self.width, self.shape[0]), dtype=bool)
        marked[self.slot, self.row] = self.column == column[self.row]
        return marked

    def unpack(self, packed: FloatArray) -> FloatArray:
        """[K, B] to [B, E]."""
        values = np.zeros(self.shape)
        values[self.row, self.column] = packed[self.slot, self.row]
        return values


def _ordered_sum(packed: FloatArray) -> FloatArray:
    """Sum over K in order: numpy's own sum groups by the array's shape, which so neighbours could change a bit."""
    total = packed[0].copy()
    for row in packed[1:]:
        total += row
    return total


def keep_near(
    moved: FloatArray, before: FloatArray, start: FloatArray, max_change: FloatArray, limits: Limits
) -> FloatArray:
    """Pull moves that exchange too many atoms since the start back to the largest allowed change.

    The pull leads straight towards the start, so that a walk can slide along the border of what is allowed. Where that
    would make a trace or one element too many, the move is shortened instead; where even this would, it is not made.

    Args:
        moved: Legal fractions after the moves, [B, E]. Not modified.
        before: Legal fractions before the moves, within the allowed change, [B, E].
        start: Legal fractions at the start of the walks, [B, E].
        max_change: Largest allowed sum of |x - start| / 2, [B]; infinite where free.
        limits: Windows of the rows.

    Returns:
        Legal fractions within the allowed change, [B, E].
    """
    change = exchanged(moved, start)
    rows = np.flatnonzero(change > max_change + CHANGE_TOLERANCE)
    if rows.size == 0:
        return moved
    at, home, wanted, most = before[rows], start[rows], moved[rows], max_change[rows]
    pulled = home + (wanted - home) * (most / change[rows])[:, None]
    windows = limits.rows(rows)
    made_it = _tidy(pulled, windows)[:, None]
    if not made_it.all():
        shorter = at + (wanted - at) * _largest_share(at, wanted, home, most)[:, None]
        pulled = np.where(made_it, pulled, np.where(_tidy(shorter, windows)[:, None], shorter, at))
    result = moved.copy()
    result[rows] = pulled
    return result


def exchanged(at_frac: FloatArray, start: FloatArray) -> FloatArray:
    """Fraction of atoms exchanged since the start, [B]."""
    change: FloatArray = 0.5 * np.abs(at_frac - start).sum(axis=1)
    return change


def _tidy(at_frac: FloatArray, limits: Limits) -> BoolArray:
    """Whether rows have no trace and not too many elements; the bounds hold anyway, because they are convex."""
    present = at_frac > 0
    trace = present & (at_frac < MIN_FRACTION) & (limits.lower <= 0)
    tidy: BoolArray = ~trace.any(axis=1) & (present.sum(axis=1) <= limits.max_elements)
    return tidy


def _largest_share(before: FloatArray, moved: FloatArray, start: FloatArray, max_change: FloatArray) -> FloatArray:
    """Largest share of moves that stays within the allowed change, [B]; found by bisection, on the safe side."""
    low, high = np.zeros(len(before)), np.ones(len(before))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        inside = exchanged(before + (moved - before) * middle[:, None], start) <= max_change
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def paper_step(at_frac: FloatArray, action: FloatArray, max_step: float) -> FloatArray:
    """The published move: slot i shifts the i-th present element; the mean over used slots is subtracted.

    Args:
        at_frac: Atomic fractions, [B, E]. Not modified.
        action: Slots in [-1, 1], [B, 7].
        max_step: Largest change of one fraction, 0..1.

    Returns:
        Fractions, [B, E], which may be illegal.
    """
    return at_frac + slots_to_change(at_frac, action) * max_step


def slots_to_change(at_frac: FloatArray, action: FloatArray) -> FloatArray:
    """Spread slot actions over the elements, mean-free over the used slots, [B, E] in units of the largest step."""
    present = at_frac > 0
    slot = np.cumsum(present, axis=1) - 1
    used = present & (slot < action.shape[1])
    spread = np.where(used, np.take_along_axis(action, np.clip(slot, 0, action.shape[1] - 1), axis=1), 0.0)
    count = np.maximum(used.sum(axis=1, keepdims=True), 1)
    return np.where(used, spread - spread.sum(axis=1, keepdims=True) / count, 0.0)


def change_to_slots(at_frac: FloatArray, change: FloatArray, n_slots: int = PAPER_SLOTS) -> FloatArray:
    """The slot action that makes a given sum-free change of present elements, [B, n_slots]."""
    present = at_frac > 0
    slot = np.cumsum(present, axis=1) - 1
    slots = np.zeros((len(at_frac), n_slots))
    rows, columns = np.nonzero(present & (slot < n_slots))
    slots[rows, slot[rows, columns]] = change[rows, columns]
    return slots
