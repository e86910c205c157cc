"""An archive of goal alloys per base, found once by search: memory against which learning has to earn its place.

    archive = build_archive(task, predictor, rng)      # archive_build.py
    archive.save(folder)
    walk = ArchiveWalk.of(archive, task)               # archive_walk.py: straight to the nearest archived goal alloy
    label = ArchiveLabeler(Targets(archive, task, "robust"))  # what such a step would change, for behaviour cloning

See archive-design.md.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.legality import FloatArray
from aimat_ray.errors import ArtifactError, RunError
from aimat_ray.prediction import ARRAY_FIELDS, Prediction, Predictor, from_columns

FORMAT = "aimat-archive-1"
_ALLOYS, _MANIFEST = "alloys.npz", "archive.json"


@dataclass(frozen=True, eq=False)
class Archive:
    """Alloys that met a goal of their base when they were found.

    Attributes:
        elements: Symbols of the E axis.
        base: Base of each alloy, [N].
        at_frac: Compositions, [N, E].
        prediction: What the surrogate says about them.
        predictions_spent: Price of the search.
    """

    elements: tuple[str, ...]
    base: NDArray[np.str_]
    at_frac: FloatArray
    prediction: Prediction
    predictions_spent: int = 0

    def __len__(self) -> int:
        return len(self.at_frac)

    @property
    def version(self) -> str:
        """Version of the surrogate behind the stored predictions."""
        return self.prediction.version

    def rows(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Archive:
        """The alloys at `index`."""
        return replace(self, base=self.base[index], at_frac=self.at_frac[index], prediction=self.prediction.rows(index))

    def refreshed(self, predictor: Predictor) -> Archive:
        """The same alloys with the predictions of another surrogate, after a swap."""
        spent = self.predictions_spent + len(self)
        return replace(self, prediction=predictor.predict(self.at_frac), predictions_spent=spent)

    def save(self, folder: Path) -> None:
        """Write the archive: arrays in alloys.npz, the rest in archive.json.

        Raises:
            RunError: The folder can't be written.
        """
        buffer = io.BytesIO()
        columns = {name: getattr(self.prediction, name) for name in ARRAY_FIELDS}
        np.savez_compressed(buffer, allow_pickle=False, base=self.base, at_frac=self.at_frac, **columns)
        manifest = {
            "format": FORMAT,
            "surrogate_version": self.version,
            "elements": list(self.elements),
            "n": len(self),
            "predictions_spent": self.predictions_spent,
            "sha256": {_ALLOYS: hashlib.sha256(buffer.getvalue()).hexdigest()},
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _ALLOYS).write_bytes(buffer.getvalue())
            (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise RunError(f"can't write the archive to {folder}: {error.strerror}; choose another folder") from error

    @classmethod
    def load(cls, folder: Path) -> Archive:
        """Read what `save` wrote.

        Raises:
            ArtifactError: Missing, damaged, or of another format.
        """
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            content = (folder / _ALLOYS).read_bytes()
            if manifest["format"] != FORMAT:
                raise ArtifactError(
                    f"archive {folder}: format {manifest['format']!r}, expected {FORMAT!r}; build it again"
                )
            if hashlib.sha256(content).hexdigest() != manifest["sha256"][_ALLOYS]:
                raise ArtifactError(f"archive {folder}: checksum of {_ALLOYS} differs; build it again")
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                return cls(
                    elements=tuple(manifest["elements"]),
                    base=stored["base"],
                    at_frac=stored["at_frac"],
                    prediction=from_columns(
                        {name: stored[name] for name in ARRAY_FIELDS}, manifest["surrogate_version"]
                    ),
                    predictions_spent=int(manifest["predictions_spent"]),
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"archive {folder}: can't be read ({error}); build it again") from error
