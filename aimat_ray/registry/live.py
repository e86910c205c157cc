"""A loaded surrogate version that answers requests: the model, its reference answers and its measured alloys."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aimat_ray.data.formulas import format_formulas
from aimat_ray.registry.canary import canary_rows, check_canary
from aimat_ray.registry.neighbours import NearestAlloys
from aimat_ray.registry.store import VersionInfo
from aimat_ray.registry.wire import Answer, Ask, Reply, pack
from aimat_ray.surrogate.base import FloatArray

if TYPE_CHECKING:
    from aimat_ray.surrogate.bundle import SurrogateBundle


class LiveSurrogate:
    """One version in this process. Safe to call from several threads: families need not be.

    Args:
        info: Which version, and which change of the channel made it current.
        bundle: The loaded version.
    """

    def __init__(self, info: VersionInfo, bundle: SurrogateBundle) -> None:
        self.info = info
        self._bundle = bundle
        self._lock = threading.Lock()
        self._nearest = NearestAlloys(bundle.measured_at_frac)
        self._formulas = format_formulas(bundle.measured_at_frac, bundle.elements)
        self._rows = canary_rows(len(bundle.elements))
        self._reference = bundle.predict(self._rows)

    @property
    def n_elements(self) -> int:
        """Length of the E axis."""
        return int(self._rows.shape[1])

    def renumbered(self, info: VersionInfo) -> LiveSurrogate:
        """The same loaded version after another change of the channel."""
        twin = copy.copy(self)  # shares model and lock
        twin.info = info
        return twin

    def predict(self, at_frac: FloatArray) -> Reply:
        """Predict a batch, [B, E]."""
        with self._lock:
            return pack(self._bundle.predict(at_frac), self.info.serial)

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answer several requests with one prediction; their `version` is the caller's business."""
        reply = self.predict(np.concatenate([ask.at_frac for ask in asks]))
        answers, start = [], 0
        for ask in asks:
            stop = start + len(ask.at_frac)
            part = reply._replace(values=reply.values[start:stop], flags=reply.flags[start:stop])
            index, distance = self._nearest(ask.at_frac, ask.nearest)
            formulas = [[self._formulas[j] for j in row] for row in index.tolist()]
            answers.append(Answer(part, formulas, distance))
            start = stop
        return answers

    def check(self) -> None:
        """Repeat the reference answers.

        Raises:
            ArtifactError: They are not what they were when this version was loaded.
        """
        with self._lock:
            check_canary(self._bundle, self._rows, self._reference)
