"""A distilled surrogate: a small net that imitates a bundle where walks go. Quick, differentiable, and never a judge.

It scores moves before one of them is made; what is made is predicted by the bundle itself. The forward pass is numpy;
fitting, and the same pass in torch, are in rl/. See distil-design.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.elements import load_element_table, load_pair_enthalpies
from aimat_ray.env.legality import FloatArray
from aimat_ray.errors import ArtifactError
from aimat_ray.prediction import DomainReason, Prediction

Float32Array = NDArray[np.float32]
FORMAT = "aimat-distilled-1"
ROOT_SHIFT = 1e-4  # under the root of a fraction, so that its slope stays finite at zero
N_LAYERS = 3
_WEIGHTS, _MANIFEST = "net.npz", "distilled.json"
_CHUNK = 4096

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class DistilledSurrogate:
    """The net with its scaling. A `Predictor`.

    Attributes:
        teacher: Version of the surrogate that it imitates.
        elements: Symbols of the E axis.
        n_properties: P.
        arrays: weight_0 [F, H], bias_0 [H] ... of the layers; feature_mean, feature_scale [F]; answer_mean,
            answer_scale [4 P + 1].
        fidelity: How well it imitates on held-out walks.
    """

    teacher: str
    elements: tuple[str, ...]
    n_properties: int
    arrays: dict[str, NDArray[Any]] = field(repr=False)
    fidelity: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def version(self) -> str:
        """Content hash; never equal to a bundle's version."""
        return f"distilled-{_digest(_packed(self.arrays))[:12]}"

    @cached_property
    def chemistry(self) -> tuple[FloatArray, FloatArray]:
        """Constants of the features, scaled, nothing missing: element properties [E, K], pair enthalpies [E, E]."""
        return chemistry_of(self.elements)

    def predict(self, at_frac: FloatArray) -> Prediction:
        """What the net believes that the surrogate would answer."""
        parts = [self._outputs(at_frac[first : first + _CHUNK]) for first in range(0, max(len(at_frac), 1), _CHUNK)]
        out, p = np.concatenate(parts).astype(np.float64), self.n_properties
        answers = out[:, : 4 * p + 1] * self.arrays["answer_scale"] + self.arrays["answer_mean"]
        mean = answers[:, :p]
        inside = out[:, 4 * p + 2] > 0
        return Prediction(
            p_feasible=1.0 / (1.0 + np.exp(-np.clip(out[:, 4 * p + 1], -30, 30))),
            mean=mean,
            lower=np.minimum(answers[:, p : 2 * p], mean),
            upper=np.maximum(answers[:, 2 * p : 3 * p], mean),
            spread=np.maximum(answers[:, 3 * p : 4 * p], 0.0),
            distance=np.maximum(answers[:, 4 * p], 0.0),
            in_domain=inside,
            reason=np.where(inside, DomainReason.INSIDE, DomainReason.TOO_FAR).astype(np.uint8),
            version=self.version,
        )

    def _outputs(self, at_frac: FloatArray) -> Float32Array:
        values = features(at_frac, *self.chemistry) - self.arrays["feature_mean"]
        hidden = (values / self.arrays["feature_scale"]).astype(np.float32)
        for layer in range(N_LAYERS):
            hidden = hidden @ self.arrays[f"weight_{layer}"] + self.arrays[f"bias_{layer}"]
            if layer < N_LAYERS - 1:
                np.maximum(hidden, 0.0, out=hidden)
        return hidden

    def save(self, folder: Path) -> None:
        """Write the net into a folder, completely or not at all.

        Raises:
            ArtifactError: The folder can't be written.
        """
        content = _packed(self.arrays)
        manifest = {
            "format": FORMAT,
            "version": self.version,
            "teacher": self.teacher,
            "elements": list(self.elements),
            "n_properties": self.n_properties,
            "fidelity": self.fidelity,
            "sha256": {_WEIGHTS: _digest(content)},
        }
        staging = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
        try:
            staging.mkdir(parents=True)
            (staging / _WEIGHTS).write_bytes(content)
            (staging / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            staging.rename(folder)
        except OSError as error:
            raise ArtifactError(
                f"can't write the distilled surrogate to {folder}: {error.strerror or error}"
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> DistilledSurrogate:
        """Read what `save` wrote.

        Raises:
            ArtifactError: Missing, damaged, or of another format.
        """
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            content = (folder / _WEIGHTS).read_bytes()
            if manifest["format"] != FORMAT or _digest(content) != manifest["sha256"][_WEIGHTS]:
                raise ArtifactError(f"distilled surrogate {folder}: damaged or of another format; distil it again")
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            return cls(
                teacher=manifest["teacher"],
                elements=tuple(manifest["elements"]),
                n_properties=int(manifest["n_properties"]),
                arrays=arrays,
                fidelity=manifest["fidelity"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"distilled surrogate {folder}: can't be read ({error}); make it with aimat surrogate distil"
            ) from error


def chemistry_of(elements: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Constants of the features, see `DistilledSurrogate.chemistry`."""
    raw = load_element_table(elements).values
    scaled = (raw - np.nanmean(raw, axis=0)) / np.maximum(np.nanstd(raw, axis=0), 1e-12)
    return np.nan_to_num(scaled), np.nan_to_num(load_pair_enthalpies(elements)) / 25.0


def features(at_frac: FloatArray, properties: FloatArray, enthalpies: FloatArray) -> FloatArray:
    """Inputs of the net; rl.distilled_net has the same in torch.

    Fractions and their roots; mean and variance of every element property; mixing enthalpy, its positive part, entropy.

    Args:
        at_frac: Compositions, [B, E].
        properties: Scaled element properties, [E, K].
        enthalpies: Scaled pair enthalpies, [E, E].

    Returns:
        [B, 2 E + 2 K + 3].
    """
    mean = at_frac @ properties
    variance = at_frac @ properties**2 - mean**2
    mixing = 2.0 * ((at_frac @ enthalpies) * at_frac).sum(axis=1, keepdims=True)
    repulsion = 2.0 * ((at_frac @ np.maximum(enthalpies, 0.0)) * at_frac).sum(axis=1, keepdims=True)
    entropy = -(at_frac * np.log(np.maximum(at_frac, ROOT_SHIFT))).sum(axis=1, keepdims=True)
    return np.concatenate([at_frac, np.sqrt(at_frac + ROOT_SHIFT), mean, variance, mixing, repulsion, entropy], axis=1)


def answer_columns(prediction: Prediction) -> FloatArray:
    """What the net learns of an answer beside class and domain, [B, 4 P + 1]."""
    parts = (prediction.mean, prediction.lower, prediction.upper, prediction.spread, prediction.distance[:, None])
    return np.concatenate(parts, axis=1)


def distilled_folder(store_root: Path, bundle_name: str, bundle_version: str) -> Path:
    """Where the distilled twin of a stored bundle lies: beside its versions, under its version."""
    return store_root / bundle_name / "distilled" / bundle_version


def stored_distilled(store_root: Path, bundle_name: str, bundle_version: str) -> DistilledSurrogate | None:
    """The distilled twin of a stored bundle; None where it was never made, or is damaged or of another teacher."""
    folder = distilled_folder(store_root, bundle_name, bundle_version)
    if not folder.is_dir():
        return None
    try:
        found = DistilledSurrogate.load(folder)
    except ArtifactError as error:
        logger.warning("%s", error.message)
        return None
    return found if found.teacher == bundle_version else None


def _packed(arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
