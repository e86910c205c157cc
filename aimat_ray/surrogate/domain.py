"""Where a surrogate may be believed: distances to measured alloys, and one answer with a reason.

Distance here is the root mean square over the standardised descriptors between an alloy and its nearest measured
alloy: 0 at a measured alloy, about 1 between unrelated ones. See calibration-design.md for the limits.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.artifacts import ModelState
from aimat_ray.surrogate.base import DomainReason
from aimat_ray.surrogate.linalg import blockwise, contiguous, squared_distances, standardise

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# Limits on the distance, from errors on unseen systems (calibration-design.md).
INSIDE, OUTSIDE = 0.4, 0.7
# Chemical systems that must share the majority element: with one, no prediction for an unseen system could be tested.
MIN_SYSTEMS = 2
NO_ROW = 99.0  # distance where nothing is measured


class DistanceIndex:
    """Distances in descriptor space to the nearest row of any kind, and to the nearest that measures a property."""

    kind = "distance_index"

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def fit(self, descriptors: FloatArray, values: FloatArray) -> Self:
        """Remember the rows.

        Args:
            descriptors: Descriptors of the measured alloys, [N, D].
            values: Property values, [N, P]; NaN where unknown.
        """
        scaled, centre, scale = standardise(descriptors)
        # Rows that measure the same properties lie together, so one pass of minima per group of them is enough.
        patterns, member = np.unique(np.isfinite(values), axis=0, return_inverse=True)
        order = np.argsort(member.ravel(), kind="stable")
        rows = scaled[order] / np.sqrt(scaled.shape[1])
        self._arrays = contiguous({
            "centre": centre, "scale": scale * np.sqrt(scaled.shape[1]), "patterns": patterns,
            "starts": np.searchsorted(member.ravel()[order], np.arange(len(patterns))).astype(np.int64),
            "rows": rows.T.astype(np.float32), "rows_sq": np.sum(rows**2, axis=1).astype(np.float32),
        })  # fmt: skip
        return self

    def query(self, descriptors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Distance to the nearest row [B], and per property to the nearest that measures it [B, P]."""
        by_pattern = np.ascontiguousarray(blockwise(self._query_block, descriptors).T)
        squares = [by_pattern[index].min(axis=0) if len(index) else None for index in self._groups()]
        n, far = len(descriptors), NO_ROW**2
        columns = np.stack([np.full(n, far) if column is None else column for column in squares], axis=1)
        nearest = by_pattern.min(axis=0, initial=far)
        return np.sqrt(np.clip(nearest, 0.0, far)), np.sqrt(np.clip(columns, 0.0, far))

    def _groups(self) -> list[NDArray[np.intp]]:
        """Groups of rows that measure a property, for each property."""
        return [np.flatnonzero(measured) for measured in self._arrays["patterns"].T]

    def _query_block(self, descriptors: FloatArray) -> FloatArray:
        """Squared distance to the nearest row of every group, [b, groups]."""
        a = self._arrays
        x = ((descriptors - a["centre"]) / a["scale"]).astype(np.float32)
        nearest = np.minimum.reduceat(squared_distances(x, a["rows"], a["rows_sq"]), a["starts"], axis=1)
        return np.asarray(nearest, np.float64)

    def state(self) -> ModelState:
        """The rows and scales."""
        return ModelState(self.kind, arrays=self._arrays)

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The index that `state` came from."""
        index = cls()
        index._arrays = dict(state.arrays)
        return index


class Domain:
    """Decides whether compositions lie where the surrogate was calibrated."""

    kind = "domain"

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def fit(self, at_frac: FloatArray, values: FloatArray, system: NDArray[Any]) -> Self:
        """Learn which elements, bases and properties the measured rows cover.

        Args:
            at_frac: Atomic fractions of the measured rows, [N, E].
            values: Property values, [N, P].
            system: Chemical system of each row, [N].
        """
        measured = np.isfinite(values).any(axis=1)
        rows, systems = at_frac[measured], system[measured]
        majority = rows >= rows.max(axis=1, keepdims=True) - 1e-9
        n_systems = np.array([len(np.unique(systems[majority[:, e]])) for e in range(rows.shape[1])])
        self._arrays = {
            "seen": np.asarray((rows > 0).any(axis=0)),
            "n_systems": n_systems.astype(np.int64),
            "modelled": np.asarray(np.isfinite(values).any(axis=0)),
        }
        return self

    def decide(self, at_frac: FloatArray, distance: FloatArray, by_property: FloatArray) -> NDArray[np.uint8]:
        """The first reason that applies, in the order of this function, [B].

        Args:
            at_frac: Atomic fractions, [B, E].
            distance: Distance to the nearest measured row, [B].
            by_property: Distance to the nearest row that measures each property, [B, P].
        """
        a = self._arrays
        reason = np.full(len(at_frac), int(DomainReason.INSIDE), np.uint8)
        near = (by_property[:, a["modelled"]] <= OUTSIDE).sum(axis=1)
        # Half of the properties: an alloy next to crystalline rows only (three mechanical properties) is not covered.
        reason[2 * near < int(a["modelled"].sum())] = DomainReason.NO_MEASURED_NEIGHBOUR
        reason[a["n_systems"][at_frac.argmax(axis=1)] < MIN_SYSTEMS] = DomainReason.FEW_SYSTEMS
        reason[distance > OUTSIDE] = DomainReason.TOO_FAR
        reason[(at_frac[:, ~a["seen"]] > 0).any(axis=1)] = DomainReason.UNSEEN_ELEMENT
        return reason

    def state(self) -> ModelState:
        """What was learnt."""
        return ModelState(self.kind, arrays=self._arrays)

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The domain that `state` came from."""
        domain = cls()
        domain._arrays = dict(state.arrays)
        return domain


class Neighbours:
    """The measured alloys nearest to a composition, in at% (half the sum of absolute differences)."""

    def __init__(self, at_frac: FloatArray) -> None:
        self.at_frac = at_frac

    def __call__(self, at_frac: FloatArray, k: int = 1) -> tuple[NDArray[np.int64], FloatArray]:
        """Find the k nearest.

        Args:
            at_frac: Atomic fractions, [B, E].
            k: How many, at most as many as there are alloys.

        Returns:
            Row index of the regression table [B, k] and distance in at% [B, k], nearest first; equals by row.
        """
        k = min(k, len(self.at_frac))
        index = np.empty((len(at_frac), k), np.int64)
        distance = np.empty((len(at_frac), k))
        for i, row in enumerate(at_frac):
            d = 50.0 * np.abs(self.at_frac - row).sum(axis=1)
            index[i] = np.argsort(d, kind="stable")[:k]
            distance[i] = d[index[i]]
        return index, distance
