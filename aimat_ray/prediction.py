"""What everybody who asks for a prediction gets, whoever answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class DomainReason(IntEnum):
    """Why a composition is, or is not, inside the domain of the surrogate (one code per composition)."""

    INSIDE = 0
    UNSEEN_ELEMENT = 1
    TOO_FAR = 2
    FEW_SYSTEMS = 3
    NO_MEASURED_NEIGHBOUR = 4


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predictions for a batch of compositions, all made by one surrogate version.

    Attributes:
        p_feasible: Probability of the feasible class, [B], 0..1.
        mean: Property values, [B, P], in the units of the property keys.
        lower: Lower end of the 90 % interval, [B, P].
        upper: Upper end of the 90 % interval, [B, P].
        spread: Disagreement between members of the ensemble, [B, P], same units.
        distance: Distance to the nearest training composition in the domain's metric, [B].
        in_domain: Whether the surrogate may be believed here, [B].
        reason: A `DomainReason` code, [B], uint8.
        version: Version of the surrogate that answered.
    """

    p_feasible: FloatArray
    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    spread: FloatArray
    distance: FloatArray
    in_domain: NDArray[np.bool_]
    reason: NDArray[np.uint8]
    version: str

    def __len__(self) -> int:
        return len(self.p_feasible)

    def rows(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Prediction:
        """The predictions at `index` (integers, mask or slice)."""
        return from_columns({name: getattr(self, name)[index] for name in ARRAY_FIELDS}, self.version)

    def updated(self, index: NDArray[np.intp] | NDArray[np.bool_], other: Prediction) -> Prediction:
        """A copy with the rows at `index` taken from `other`, which must be of the same version."""
        if other.version != self.version:
            raise ValueError(f"predictions of two versions can't be mixed: {self.version}, {other.version}")
        columns = {name: getattr(self, name).copy() for name in ARRAY_FIELDS}
        for name, column in columns.items():
            column[index] = getattr(other, name)
        return from_columns(columns, self.version)


ARRAY_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Prediction) if f.name != "version")


def from_columns(columns: Mapping[str, NDArray[Any]], version: str) -> Prediction:
    """A prediction from its arrays by name (`ARRAY_FIELDS`)."""
    return Prediction(**columns, version=version)


@runtime_checkable
class Predictor(Protocol):
    """Answers for batches of compositions: a SurrogateBundle, a SurrogateClient, or the oracle."""

    @property
    def version(self) -> str:
        """Version of the surrogate that answers now."""

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict a batch.

        Args:
            at_frac: Atomic fractions, [B, E], non-negative, rows summing to 1 (normalised by the caller).
        """
