"""A small, complete surrogate for tests of what surrounds a surrogate: it saves, loads and is quick."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aimat_ray.errors import ArtifactError
from aimat_ray.problem import DesignProblem, load_problem
from aimat_ray.surrogate.base import DomainReason, FloatArray, Prediction

_FILE = "linear.npz"
_HALF_WIDTH = 0.1


@dataclass(frozen=True)
class FakeManifest:
    """The fields of a bundle manifest that the registry reads."""

    name: str
    version: str
    problem: str
    data_checksum: str
    synthetic: bool = True


@dataclass(frozen=True, eq=False)
class LinearBundle:
    """Properties that are linear in the fractions; same interface as `SurrogateBundle`.

    Attributes:
        name: Bundle name.
        weights: Property values of the pure elements, [E, P].
        data_checksum: Checksum of the data it pretends to be fitted on.
    """

    name: str
    weights: FloatArray
    data_checksum: str = "0" * 64

    @classmethod
    def random(cls, seed: int, name: str = "default", problem: DesignProblem | None = None) -> LinearBundle:
        """A bundle with its own weights for every seed."""
        shape = problem or load_problem()
        weights = np.random.default_rng(seed).uniform(1, 10, (len(shape.elements), len(shape.properties)))
        return cls(name, weights)

    @cached_property
    def version(self) -> str:
        """Hash of the contents."""
        return hashlib.sha256(self.name.encode() + self.weights.tobytes()).hexdigest()[:12]

    @property
    def manifest(self) -> FakeManifest:
        """See `BundleManifest`."""
        return FakeManifest(self.name, self.version, "bmg", self.data_checksum)

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of the E axis."""
        return load_problem().elements

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict a batch [B, E], one row at a time so that rows do not depend on the batch."""
        mean = (at_frac[:, :, None] * self.weights).sum(axis=1)
        n_rows = len(at_frac)
        half = np.full_like(mean, _HALF_WIDTH)
        return Prediction(
            p_feasible=mean[:, 0] / 10.0,
            mean=mean,
            lower=mean - half,
            upper=mean + half,
            spread=half,
            distance=np.zeros(n_rows),
            in_domain=np.ones(n_rows, dtype=np.bool_),
            reason=np.full(n_rows, DomainReason.INSIDE, dtype=np.uint8),
            version=self.version,
        )

    @property
    def measured_at_frac(self) -> FloatArray:
        """See `SurrogateBundle`: here the pure elements."""
        return np.eye(len(self.elements))

    def neighbours(self, at_frac: FloatArray, k: int = 1) -> tuple[NDArray[np.int64], FloatArray]:
        """See `Neighbours`."""
        distance = 50.0 * np.abs(at_frac[:, None] - self.measured_at_frac).sum(axis=2)
        index = np.argsort(distance, axis=1, kind="stable")[:, :k]
        return index, np.take_along_axis(distance, index, axis=1)

    def save(self, folder: Path) -> None:
        """Write the bundle's files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / _FILE, allow_pickle=False, weights=self.weights, name=np.array(self.name))

    @classmethod
    def load(cls, folder: Path) -> LinearBundle:
        """Read what `save` wrote.

        Raises:
            ArtifactError: The file is missing or damaged.
        """
        try:
            with np.load(folder / _FILE, allow_pickle=False) as archive:
                return cls(str(archive["name"]), archive["weights"])
        except (OSError, KeyError, ValueError) as error:
            raise ArtifactError(f"{folder / _FILE} can't be read") from error
