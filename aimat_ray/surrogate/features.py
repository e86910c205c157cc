"""The inputs of the models: fractions, their square roots, and physics descriptors, computed once per batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aimat_ray.descriptors import DESCRIPTOR_CATALOGUE, Descriptors

FloatArray = NDArray[np.float64]
View = Literal["fractions", "descriptors", "trees", "kernel"]


class FeatureSpace:
    """All inputs of a batch in one matrix, and which columns each kind of model reads.

    Column order: fractions [E], square roots of the fractions [E], descriptors [D].

    Args:
        elements: Element of each composition column, [E].
        names: Descriptors to use; all by default.
    """

    def __init__(self, elements: Sequence[str], names: Sequence[str] | None = None) -> None:
        self.descriptors = Descriptors(elements, names)
        self.elements = tuple(elements)
        e, d = len(self.elements), len(self.descriptors.names)
        # Contiguous pieces: fractions | roots | descriptors.
        self._pieces: dict[View, tuple[slice, ...]] = {
            "fractions": (slice(0, e),),
            "descriptors": (slice(2 * e, 2 * e + d),),
            "trees": (slice(0, e), slice(2 * e, 2 * e + d)),
            "kernel": (slice(e, 2 * e + d),),
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the descriptor columns."""
        return self.descriptors.names

    def transform(self, at_frac: FloatArray) -> FloatArray:
        """All inputs, [B, E] -> [B, 2 E + D]."""
        return np.concatenate([at_frac, np.sqrt(at_frac), self.descriptors.transform(at_frac)], axis=1)

    def view(self, inputs: FloatArray, view: View) -> FloatArray:
        """The columns that a kind of model reads, [B, columns]."""
        parts = [inputs[:, piece] for piece in self._pieces[view]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def groups(self, view: View) -> list[list[int]]:
        """Columns of a view by group: one group of fractions or roots, then the descriptors' own groups."""
        first = [] if view == "descriptors" else [list(range(len(self.elements)))]
        if view == "fractions":
            return first
        kinds: dict[str, list[int]] = {}
        for i, name in enumerate(self.names):
            kinds.setdefault(DESCRIPTOR_CATALOGUE[name].group, []).append(i + sum(map(len, first)))
        return first + list(kinds.values())
