"""The model families by name, and how a stored model comes back."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.errors import ArtifactError
from aimat_ray.surrogate.artifacts import ModelState
from aimat_ray.surrogate.boosting import BoostedClassifier, BoostedRegressor
from aimat_ray.surrogate.edrvfl import EdRvfl
from aimat_ray.surrogate.forest import Forest, ForestClassifier
from aimat_ray.surrogate.gp import GroupedGp
from aimat_ray.surrogate.svr import SupportVectors

FloatArray = NDArray[np.float64]


class Regressor(Protocol):
    """A model of several targets with missing values. Row results do not depend on the batch, to the bit."""

    kind: ClassVar[str]

    def fit(
        self,
        features: FloatArray,
        targets: FloatArray,
        rng: np.random.Generator,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """Fit from scratch on features [N, D] and targets [N, M], NaN where unknown; groups are systems, [N]."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict, [B, D] -> [B, M]."""

    def state(self) -> ModelState:
        """Everything needed to predict."""

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The model that `state` came from."""


REGRESSORS: dict[str, type[Any]] = {
    cls.kind: cls for cls in (BoostedRegressor, EdRvfl, Forest, GroupedGp, SupportVectors)
}
CLASSIFIERS: dict[str, type[Any]] = {cls.kind: cls for cls in (BoostedClassifier, ForestClassifier)}


def make(kind: str, **params: Any) -> Any:
    """A new, unfitted model of a family.

    Raises:
        KeyError: Unknown family.
    """
    return (REGRESSORS | CLASSIFIERS)[kind](**params)


def restore(state: ModelState) -> Any:
    """The model that `state` came from.

    Raises:
        ArtifactError: A family that this version does not know.
    """
    known = REGRESSORS | CLASSIFIERS
    if state.kind not in known:
        raise ArtifactError(f"stored model of unknown family {state.kind!r}; known: {', '.join(sorted(known))}")
    return known[state.kind].from_state(state)
