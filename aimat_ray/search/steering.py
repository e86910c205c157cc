"""Actions that lead to a given composition: the inverse of the moves in env/transition.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.legality import MIN_ELEMENTS, MIN_FRACTION, BoolArray, FloatArray, Limits
from aimat_ray.env.observation import Float32Array
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import ENTER_ABOVE, change_to_slots
from aimat_ray.env.walk import WalkState, limits_of, move

_ARRIVED = 1e-9
_SHORTEST_LABEL = 0.3  # of the largest step
_STANDING = 1e-6  # of the largest step: no direction to go on in


def steer(task: DesignTask, state: WalkState, target: FloatArray) -> FloatArray:
    """Actions of the task's mode that lead walks to their targets, [B, A].

    Args:
        task: What is designed.
        state: Where the walks stand.
        target: Compositions to go to, [B, E]; in mode `paper` only the present elements can be steered.
    """
    if task.settings.mode == "paper":
        return slots_toward(state.at_frac, target, task.max_step)
    return action_toward(state.at_frac, target, limits_of(task, state.base), task.max_step)


def label_towards(task: DesignTask, state: WalkState, target: FloatArray) -> Float32Array:
    """What a step towards the targets would change, [B, E] in units of the largest step: labels for behaviour cloning.

    Who learns to make tiny steps at last stands still a little before the border of a goal: a label is at least 0.3 of
    the largest step long, also where the target is nearer. The first composition at the goal ends a walk anyway.
    """
    effect = (move(task, state, steer(task, state, target)) - state.at_frac) / task.max_step
    return lengthened(effect, _SHORTEST_LABEL, _SHORTEST_LABEL).astype(np.float32)


def lengthened(effect: FloatArray, below: float, to: float) -> FloatArray:
    """Effects [B, E] in units of the largest step, shorter ones than `below` as long as `to`; none stays none."""
    length = np.abs(effect).max(axis=1, keepdims=True)
    short = (length < below) & (length > _STANDING)
    return np.asarray(np.where(short, effect * (to / np.maximum(length, _STANDING)), effect))


def action_toward(at_frac: FloatArray, target: FloatArray, limits: Limits, max_step: float) -> FloatArray:
    """The `simplex` action that goes straight to a legal target, as far as one step leads.

    All elements move in proportion, so that the walk stays on the line between the two. Where the base admits no more
    elements, those of the target wait until one that is not in it has left; their share waits with the base element.
    (Two walks stall: three present elements can't be exchanged where the base admits no fourth, and an element can't
    leave where the window leaves the others no room for its share.)

    Args:
        at_frac: Legal compositions, [B, E].
        target: Legal compositions of the same windows, [B, E].
        limits: Windows of the rows.
        max_step: Largest change of one fraction in one step, 0..1.

    Returns:
        Actions in [-1, 1], [B, E]; zeros where the target is reached.
    """
    wanted = target - at_frac
    present = at_frac > 0
    largest = np.abs(wanted).max(axis=1, keepdims=True)
    push = wanted * np.minimum(1.0, max_step / np.maximum(largest, _ARRIVED)) / max_step
    enters = ~present & (target > 0)
    # A smaller entry would be dropped as a trace at once.
    push = np.where(enters, np.minimum(np.maximum(push, 2 * MIN_FRACTION / max_step), wanted / max_step), push)
    waits = _waiting(at_frac, target, enters, limits)
    if waits.any():
        push = _make_room(at_frac, target, push, waits, limits, max_step)
    action = np.where(enters & ~waits, ENTER_ABOVE + (1 - ENTER_ABOVE) * push, np.where(present, push, 0.0))
    return np.clip(np.where(largest <= _ARRIVED, 0.0, action), -1.0, 1.0)


def _waiting(at_frac: FloatArray, target: FloatArray, enters: BoolArray, limits: Limits) -> BoolArray:
    """Elements of the target that find no free place, the smallest ones, [B, E]."""
    free = limits.max_elements - (at_frac > 0).sum(axis=1)
    waits = np.zeros_like(enters)
    crowded = np.flatnonzero(enters.sum(axis=1) > free)
    wishes = np.where(enters[crowded], target[crowded], 0.0)
    waits[crowded] = enters[crowded] & ~_largest(wishes, free[crowded])
    return waits


def _largest(values: FloatArray, n: NDArray[np.intp]) -> BoolArray:
    """The `n` largest positive entries of each row, [B, E]."""
    order = np.argsort(-values, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    return (values > 0) & (rank < n[:, None])


def _make_room(
    at_frac: FloatArray, target: FloatArray, push: FloatArray, waits: BoolArray, limits: Limits, max_step: float
) -> FloatArray:
    """Where elements wait: the smallest one outside the target leaves at full speed, and the others take its share."""
    rows = np.flatnonzero(waits.any(axis=1))
    x, n = at_frac[rows], np.arange(len(rows))
    present = x > 0
    surplus = present & (target[rows] <= 0)
    # One at a time: where too few elements or too little room would remain, the move lets none of them go.
    leaves = _largest(np.where(surplus, 1.0 - x, 0.0), np.minimum(1, present.sum(axis=1) - MIN_ELEMENTS))
    new = np.where(waits[rows], 0.0, push[rows])
    new = np.where(leaves, -np.minimum(1.0, x / max_step), new)
    # First the base, then all others that have room: the projection would lift the leaving elements again.
    room = np.minimum(1.0, (limits.upper[rows] - x) / max_step) - new
    room = np.where(present & ~leaves, room, 0.0).clip(min=0.0)
    missing = np.maximum(-new.sum(axis=1), 0.0)
    base = limits.base[rows]
    at_base = np.minimum(room[n, base], missing)
    new[n, base] += at_base
    room[n, base] -= at_base
    missing = (missing - at_base)[:, None]
    new += room * np.minimum(1.0, missing / np.maximum(room.sum(axis=1, keepdims=True), 1e-12))
    result = push.copy()
    result[rows] = new
    return result


def slots_toward(at_frac: FloatArray, target: FloatArray, max_step: float) -> FloatArray:
    """The `paper` action that moves the present elements straight towards a target, [B, 7]."""
    present = at_frac > 0
    wanted = np.where(present, target - at_frac, 0.0)
    wanted -= np.where(present, wanted.sum(axis=1, keepdims=True) / present.sum(axis=1, keepdims=True), 0.0)
    largest = np.maximum(np.abs(wanted).max(axis=1, keepdims=True), max_step)
    return change_to_slots(at_frac, wanted / largest)
