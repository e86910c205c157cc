"""How a prediction travels between processes: two arrays and the version, instead of eight arrays in an object."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aimat_ray.errors import ServiceError
from aimat_ray.surrogate.base import FloatArray, Prediction

_BLOCKS = ("mean", "lower", "upper", "spread")


class Reply(NamedTuple):
    """A prediction on the wire; everything in it was made by one version.

    Attributes:
        version: Version of the surrogate that answered.
        serial: Number of the channel's change that made it current.
        values: p_feasible, distance, then mean, lower, upper and spread, [B, 2 + 4P], float64.
        flags: in_domain and reason, [B, 2], uint8.
    """

    version: str
    serial: int
    values: FloatArray
    flags: NDArray[np.uint8]


class Ask(NamedTuple):
    """A request that may be answered together with others.

    Attributes:
        at_frac: Atomic fractions, [B, E].
        nearest: How many of the nearest measured alloys are wanted per composition.
        version: Version that must answer; None for the current one.
    """

    at_frac: FloatArray
    nearest: int = 0
    version: str | None = None


class Answer(NamedTuple):
    """A reply with the nearest measured alloys; everything in it belongs to one version.

    Attributes:
        reply: The prediction.
        nearest_formula: Measured alloys in at%, nearest first, B lists of k.
        nearest_distance: Their distances in at%, [B, k].
    """

    reply: Reply
    nearest_formula: list[list[str]]
    nearest_distance: FloatArray


def pack(prediction: Prediction, serial: int) -> Reply:
    """Prepare a prediction for sending; no digit is lost."""
    columns = [prediction.p_feasible[:, None], prediction.distance[:, None]]
    values = np.concatenate([*columns, *(getattr(prediction, name) for name in _BLOCKS)], axis=1)
    flags = np.stack([prediction.in_domain.astype(np.uint8), prediction.reason], axis=1)
    return Reply(prediction.version, serial, values, flags)


def unpack(reply: Reply, n_rows: int) -> Prediction:
    """Read a reply.

    Args:
        reply: What the service sent.
        n_rows: Number of compositions that were asked for.

    Raises:
        ServiceError: The reply has another number of rows, or no whole number of properties.
    """
    version, _, values, flags = reply
    n_properties, rest = divmod(values.shape[1] - 2, len(_BLOCKS))
    if rest or values.shape[0] != n_rows or flags.shape != (n_rows, 2):
        raise ServiceError(f"surrogate {version} sent {values.shape} values for {n_rows} compositions")
    blocks = {name: values[:, 2 + i * n_properties : 2 + (i + 1) * n_properties] for i, name in enumerate(_BLOCKS)}
    return Prediction(
        p_feasible=values[:, 0],
        distance=values[:, 1],
        in_domain=flags[:, 0].astype(np.bool_),
        reason=flags[:, 1],
        version=version,
        **blocks,
    )
