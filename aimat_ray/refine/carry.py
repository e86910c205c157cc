"""Predictions for many stored compositions: all anew, or only the property that a refinement changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.legality import FloatArray
from aimat_ray.env.observation import CLIP
from aimat_ray.env.task import DesignTask
from aimat_ray.prediction import ARRAY_FIELDS, DomainReason, Prediction, Predictor, from_columns
from aimat_ray.surrogate.changed import ChangedProperty

_CHUNK = 8_192
Said = TypeVar("Said")


def in_chunks(predict: Callable[[FloatArray], Prediction], at_frac: FloatArray, threads: int) -> Prediction:
    """Predict compositions [U, E], several chunks at a time."""
    parts = _mapped(predict, at_frac, threads)
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAY_FIELDS}
    return from_columns(arrays, parts[0].version)


def carried(
    task: DesignTask,
    obs: NDArray[np.float32],
    at_frac: FloatArray,
    predictor: Predictor,
    changed: ChangedProperty,
    threads: int,
) -> Prediction:
    """Predictions of the version before, read from observations, with one property predicted anew.

    Intervals are not in an observation: they are set to the mean, and every composition counts as in the domain. So
    this serves goals that are judged on means only. A value that the observation cut off is predicted.

    Args:
        task: Knows the blocks of an observation.
        obs: An observation of each composition, [U, O], of the version before.
        at_frac: The compositions, [U, E].
        predictor: The current version.
        changed: In what it differs.
        threads: Chunks in flight.
    """
    blocks, scale, n_properties = task.layout.blocks, task.scale, task.layout.n_properties
    told = obs[:, blocks["quantities"]][:, :n_properties].astype(np.float64)
    width, centre = scale.width[:n_properties], scale.centre[:n_properties]
    spread = obs[:, blocks["spread"]].astype(np.float64)
    p_feasible = 0.5 * (obs[:, blocks["p_feasible"]][:, 0].astype(np.float64) + 1.0)
    mean, spread_of = told * width + centre, spread * width
    said = _mapped(changed.predict, at_frac, threads)
    mean[:, changed.target] = np.concatenate([part[0] for part in said])
    spread_of[:, changed.target] = np.concatenate([part[1] for part in said])
    n = len(at_frac)
    columns = {
        "p_feasible": p_feasible, "mean": mean, "lower": mean, "upper": mean, "spread": spread_of,
        "distance": obs[:, blocks["distance"]][:, 0].astype(np.float64), "in_domain": np.ones(n, dtype=bool),
        "reason": np.full(n, DomainReason.INSIDE, dtype=np.uint8),
    }  # fmt: skip
    predictions = from_columns(columns, predictor.version)
    cut = np.flatnonzero((np.abs(told) >= CLIP).any(axis=1) | (spread >= CLIP).any(axis=1))
    return predictions.updated(cut, in_chunks(predictor.predict, at_frac[cut], threads)) if len(cut) else predictions


def _mapped(predict: Callable[[FloatArray], Said], at_frac: FloatArray, threads: int) -> list[Said]:
    chunks = [at_frac[i : i + _CHUNK] for i in range(0, len(at_frac), _CHUNK)]
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        return list(pool.map(predict, chunks))
