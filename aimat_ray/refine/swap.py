"""Bring everything that was stored under an old surrogate to the current one, in one batched pass.

The replay buffer keeps what a transition needs to be lived again: both compositions, the base, the goal and the change
since the start stand in its observations. So rewards, observations, ends of episodes and labels are recomputed as the
environment would have made them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.alloy_env import Labeler
from aimat_ray.env.goals import FixedGoals, GoalBatch, HarderGoals
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, judge, observe, reward_of
from aimat_ray.experience.buffer import FlatReplayBuffer
from aimat_ray.prediction import Prediction, Predictor
from aimat_ray.refine.carry import carried, in_chunks
from aimat_ray.surrogate.changed import ChangedProperty

_CHUNK = 8_192
_DISPLACEMENT_SCALE = 10.0  # of the observation's block, see env/observation.py


@dataclass(frozen=True)
class Recomputed:
    """What a recomputation did.

    Attributes:
        version: Surrogate version of everything now.
        rows: Transitions recomputed.
        predictions: Different compositions predicted.
        seconds: How long it took.
        reward_change: Mean absolute change of a reward.
    """

    version: str
    rows: int
    predictions: int
    seconds: float
    reward_change: float


def recompute(
    buffer: FlatReplayBuffer,
    task: DesignTask,
    predictor: Predictor,
    labeler: Labeler | None,
    threads: int = 1,
    changed: ChangedProperty | None = None,
) -> Recomputed:
    """Recompute the live rows of a replay buffer.

    Args:
        buffer: The buffer; its rows are overwritten at the end, all at once.
        task: As the agent trains on it; `full` observations, mode `simplex`.
        predictor: The surrogate, already on its new version.
        labeler: Gives new labels where the buffer keeps some; None gives none.
        threads: Chunks of predictions in flight.
        changed: The one property in which the predictor differs from the version that all rows are of; what else the
            observations tell is carried over. None predicts everything.
    """
    began = time.monotonic()
    n = len(buffer)
    if n == 0:
        return Recomputed(predictor.version, 0, 0, 0.0, 0.0)
    at_frac, index, predictions = _predict_all(buffer, task, predictor, threads, changed)
    columns: dict[str, list[NDArray[Any]]] = {}
    for first in range(0, n, _CHUNK):
        rows = slice(first, min(first + _CHUNK, n))
        part = _relive(buffer, task, labeler, rows, at_frac, index[:, rows], predictions)
        for name, values in part.items():
            columns.setdefault(name, []).append(values)
    new = {name: np.concatenate(parts) for name, parts in columns.items()}
    change = float(np.abs(new["rewards"] - buffer.column("rewards")).mean())
    buffer.overwrite(new)
    return Recomputed(predictions.version, n, len(at_frac), time.monotonic() - began, change)


def _predict_all(
    buffer: FlatReplayBuffer, task: DesignTask, predictor: Predictor, threads: int, changed: ChangedProperty | None
) -> tuple[FloatArray, NDArray[np.intp], Prediction]:
    """Every different composition once: compositions [U, E], position of both ends of each row [2, N], predictions."""
    where = task.layout.blocks["at_frac"]
    both = np.concatenate([buffer.column("obs")[:, where], buffer.column("next_obs")[:, where]])
    keys = np.ascontiguousarray(both).view(np.dtype((np.void, both.shape[1] * both.itemsize))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    at_frac = both[first].astype(np.float64)
    at_frac /= at_frac.sum(axis=1, keepdims=True)
    # A robust reward needs intervals and domain, which observations don't tell.
    if changed is None or changed.version != predictor.version or task.settings.reward.robust:
        predictions = in_chunks(predictor.predict, at_frac, threads)
    else:
        predictions = carried(task, _rows_of(buffer, first), at_frac, predictor, changed, threads)
    return at_frac, inverse.reshape(2, len(buffer)), predictions


def _rows_of(buffer: FlatReplayBuffer, positions: NDArray[np.intp]) -> NDArray[np.float32]:
    """Observations at positions of both columns laid end to end, [U, O]."""
    later = positions >= len(buffer)
    rows = buffer.column("obs")[np.where(later, 0, positions)]
    rows[later] = buffer.column("next_obs")[positions[later] - len(buffer)]
    return rows


def _relive(
    buffer: FlatReplayBuffer,
    task: DesignTask,
    labeler: Labeler | None,
    rows: slice,
    at_frac: FloatArray,
    index: NDArray[np.intp],
    predictions: Prediction,
) -> dict[str, NDArray[Any]]:
    """The columns of some rows as the environment would make them now."""
    obs, next_obs = (buffer.column(name)[rows].astype(np.float64) for name in ("obs", "next_obs"))
    unlimited = np.full(len(obs), np.inf)
    limits = buffer.column("max_change")[rows].astype(np.float64) if "max_change" in buffer.schema else unlimited
    goals = _goals(task, obs, limits)
    before = _state(task, obs, at_frac[index[0]], goals, predictions.rows(index[0]))
    after = _state(task, next_obs, at_frac[index[1]], goals, predictions.rows(index[1]))
    after = replace(after, start=before.start, step=before.step + 1)
    # Every step of mode `simplex` is legal; a stored float32 may lie 1e-8 outside a window.
    verdict = judge(task, after, legal=np.ones(len(obs), dtype=bool))
    reward = reward_of(task, before, after, verdict, verdict.goal.astype(np.float64))
    columns: dict[str, NDArray[Any]] = {
        "obs": observe(task, before),
        "next_obs": observe(task, after),
        "rewards": reward.total.astype(np.float32),
        "terminateds": (~verdict.feasible | verdict.goal).astype(np.float32),
    }
    if "label" in buffer.schema:
        n_actions = buffer.schema["label"][0][0]
        columns["label"] = np.zeros((len(obs), n_actions), np.float32)
        columns["label_weight"] = np.zeros(len(obs), np.float32)
        if labeler is not None:
            columns["label"], columns["label_weight"] = labeler(before)
    return columns


def _goals(task: DesignTask, obs: FloatArray, max_change: FloatArray) -> GoalBatch:
    source = task.goals.source if isinstance(task.goals, HarderGoals) else task.goals
    if isinstance(source, FixedGoals):  # known to the last bit
        base = _base(task, obs)
        nothing = np.zeros((len(obs), task.layout.n_quantities))
        return task.goals.draw(base, nothing, np.random.default_rng(0))
    return goals_in(task, obs, max_change)


def goals_in(task: DesignTask, obs: FloatArray, max_change: FloatArray) -> GoalBatch:
    """The goals that observations were made with, [B]; exact to the precision of a float32.

    A bound ten widths of the measured range away from its middle is cut off there by the observation.

    Args:
        task: Knows the blocks of an observation.
        obs: Observations, [B, O].
        max_change: Largest allowed change from the start, [B]; an observation tells it in part only.
    """
    blocks, scale = task.layout.blocks, task.scale
    bounds = {}
    for side, free in (("at_least", -np.inf), ("at_most", np.inf)):
        value = obs[:, blocks[side]] * scale.width + scale.centre
        bounds[side] = np.where(obs[:, blocks[f"{side}_asked"]] > 0.5, value, free)
    return GoalBatch(bounds["at_least"], bounds["at_most"], max_change)


def _state(task: DesignTask, obs: FloatArray, at_frac: FloatArray, goals: GoalBatch, known: Prediction) -> WalkState:
    blocks = task.layout.blocks
    start = at_frac - obs[:, blocks["displacement"]] / _DISPLACEMENT_SCALE
    return WalkState(at_frac, start, _base(task, obs), np.zeros(len(obs), dtype=np.intp), goals, known)


def _base(task: DesignTask, obs: FloatArray) -> NDArray[np.intp]:
    """Position of each row's base among the task's, [B]."""
    position = np.zeros(len(task.problem.bases), dtype=np.intp)
    position[task.problem_base] = np.arange(len(task.bases))
    return np.asarray(position[obs[:, task.layout.blocks["base"]].argmax(axis=1)])
