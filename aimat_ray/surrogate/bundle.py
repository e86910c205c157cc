"""SurrogateBundle: class probability, every property with a 90 % interval, and the domain, under one version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from aimat_ray.errors import ArtifactError
from aimat_ray.surrogate.artifacts import (
    ModelState,
    checksums,
    content_hash,
    pack,
    read_files,
    read_manifest,
    unpack,
    write_folder,
)
from aimat_ray.surrogate.base import DomainReason, Prediction
from aimat_ray.surrogate.calibration import ClassCalibrator, IntervalCalibrator
from aimat_ray.surrogate.domain import DistanceIndex, Domain, Neighbours
from aimat_ray.surrogate.ensemble import Ensemble
from aimat_ray.surrogate.manifest import FORMAT, BundleManifest
from aimat_ray.surrogate.refined import RefinedEnsemble, restore_ensemble

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData
    from aimat_ray.problem import DesignProblem
    from aimat_ray.surrogate.out_of_fold import Progress

FloatArray = NDArray[np.float64]
BundleName = Literal["paper", "default", "judge"]
BUNDLE_NAMES: tuple[BundleName, ...] = ("paper", "default", "judge")
VERSION_DIGITS = 12


@dataclass(frozen=True, eq=False)
class BundleParts:
    """The fitted parts of a bundle.

    Attributes:
        ensemble: Class model and property models.
        fallback: Value given for a property that is not modelled, [P].
        class_calibrator: Calibrates the class probability.
        intervals: Calibrates the intervals.
        index: Distances to the measured rows.
        domain: Decides on the domain.
        at_frac: Measured rows, [N, E], for `neighbours`.
    """

    ensemble: Ensemble | RefinedEnsemble
    fallback: FloatArray
    class_calibrator: ClassCalibrator
    intervals: IntervalCalibrator
    index: DistanceIndex
    domain: Domain
    at_frac: FloatArray

    def state(self) -> ModelState:
        """All parts as one state."""
        return ModelState(
            "bundle",
            meta={"class_slope": self.class_calibrator.slope, "class_shift": self.class_calibrator.shift},
            arrays={"fallback": self.fallback, "at_frac": self.at_frac},
            children={
                "ensemble": self.ensemble.state(),
                "intervals": self.intervals.state(),
                "index": self.index.state(),
                "domain": self.domain.state(),
            },
        )

    @classmethod
    def from_state(cls, state: ModelState) -> BundleParts:
        """The parts that `state` came from.

        Raises:
            ArtifactError: The state does not fit this version of the program.
        """
        try:
            return cls(
                ensemble=restore_ensemble(state.children["ensemble"]),
                fallback=state.arrays["fallback"],
                class_calibrator=ClassCalibrator(state.meta["class_slope"], state.meta["class_shift"]),
                intervals=IntervalCalibrator.from_state(state.children["intervals"]),
                index=DistanceIndex.from_state(state.children["index"]),
                domain=Domain.from_state(state.children["domain"]),
                at_frac=state.arrays["at_frac"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"stored surrogate does not fit this version of the program ({error!r}); fit it again"
            ) from error


class SurrogateBundle:
    """What everybody calls. Make one with `fit_bundle` or `SurrogateBundle.load`."""

    def __init__(self, parts: BundleParts, manifest: BundleManifest, files: dict[str, bytes] | None = None) -> None:
        self._parts = parts
        self._files = pack(parts.state()) if files is None else files
        if not manifest.version:
            unnamed = manifest.model_copy(update={"files": checksums(self._files)})
            digest = content_hash(unnamed.model_dump(mode="json"))[:VERSION_DIGITS]
            manifest = unnamed.model_copy(update={"version": f"{manifest.name}-{digest}"})
        self.manifest = manifest

    @property
    def name(self) -> str:
        """Bundle name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """Name and content hash; the same data, recipe and seed give the same version."""
        return self.manifest.version

    @property
    def elements(self) -> tuple[str, ...]:
        """The E axis."""
        return self.manifest.elements

    @property
    def properties(self) -> tuple[str, ...]:
        """The P axis."""
        return self.manifest.properties

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict a batch; a row's answer does not depend on the rest of the batch, to the bit.

        Args:
            at_frac: Atomic fractions, [B, E], non-negative, rows summing to 1 (normalised by the caller).
        """
        parts, space = self._parts, self._parts.ensemble.space
        at_frac = np.ascontiguousarray(at_frac, dtype=np.float64)
        inputs = space.transform(at_frac)
        answer = parts.ensemble.predict(inputs)
        unknown = np.isnan(answer.mean)
        mean = np.where(unknown, parts.fallback, answer.mean)
        spread = np.where(unknown, parts.intervals.widest, answer.spread)
        distance, by_property = parts.index.query(space.view(inputs, "descriptors"))
        lower, upper = parts.intervals.intervals(mean, spread, by_property, answer.route)
        reason = parts.domain.decide(at_frac, distance, by_property)
        return Prediction(
            p_feasible=parts.class_calibrator.apply(answer.p_feasible),
            mean=np.clip(mean, lower, upper),
            lower=lower,
            upper=upper,
            spread=spread,
            distance=distance,
            in_domain=reason == DomainReason.INSIDE,
            reason=reason,
            version=self.version,
        )

    @cached_property
    def neighbours(self) -> Neighbours:
        """The measured alloys nearest to a composition: `neighbours(at_frac, k) -> (index, distance in at%)`."""
        return Neighbours(self._parts.at_frac)

    @property
    def measured_at_frac(self) -> FloatArray:
        """Atomic fractions of the measured rows that `neighbours` points into, [N, E]."""
        return self._parts.at_frac

    def property_distance(self, at_frac: FloatArray) -> FloatArray:
        """Distance to the nearest measured row of each property, [B, E] -> [B, P] (see `domain`)."""
        space = self._parts.ensemble.space
        return self._parts.index.query(space.view(space.transform(at_frac), "descriptors"))[1]

    def save(self, folder: Path | str) -> None:
        """Write models, arrays and manifest into `folder`.

        Raises:
            ArtifactError: The folder can't be written, or holds something else.
        """
        write_folder(Path(folder), self._files, self.manifest.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path | str) -> SurrogateBundle:
        """Read a bundle and verify every file's checksum.

        Raises:
            ArtifactError: Missing, damaged, or of another format.
        """
        document = read_manifest(Path(folder))
        if document.get("format") != FORMAT:
            raise ArtifactError(
                f"{folder}: surrogate format {document.get('format')!r}, this program reads {FORMAT}; fit it again"
            )
        try:
            manifest = BundleManifest.model_validate(document)
        except ValidationError as error:
            raise ArtifactError(f"{folder}: the manifest does not fit ({error}); fit the surrogate again") from error
        files = read_files(Path(folder), manifest.files)
        return cls(BundleParts.from_state(unpack(files)), manifest, files)


def fit_bundle(
    data: AlloyData,
    problem: DesignProblem,
    name: str,
    seed: int,
    progress: Progress | None = None,
    descriptors: Sequence[str] | None = None,
) -> SurrogateBundle:
    """Fit a named bundle with its own honest scores and calibration.

    Args:
        data: The alloys.
        problem: The design problem.
        name: "paper", "default" or "judge".
        seed: The same data and seed give the same version and the same predictions, to the bit.
        progress: Told what happens, with the share done (0..1).
        descriptors: Descriptors to use; all by default.

    Raises:
        ConfigError: Unknown bundle name or descriptor.
        DataError: Too few alloys to fit anything.
    """
    from aimat_ray.surrogate.fitting import fit_parts

    parts, manifest = fit_parts(data, problem, name, seed, progress, descriptors)
    return SurrogateBundle(parts, manifest)


def describe_reason(code: int) -> str:
    """A domain reason in words, for tables."""
    words: dict[int, str] = {
        DomainReason.INSIDE: "inside",
        DomainReason.UNSEEN_ELEMENT: "contains an element that no measured alloy has",
        DomainReason.TOO_FAR: "far from every measured alloy",
        DomainReason.FEW_SYSTEMS: "too few measured chemical systems with this majority element",
        DomainReason.NO_MEASURED_NEIGHBOUR: "most properties have no measured value nearby",
    }
    return words[int(code)]
