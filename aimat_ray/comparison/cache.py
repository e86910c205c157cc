"""Finished cells on disk, one file each, named by content hash: an interrupted comparison continues where it was."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from aimat_ray.comparison.cell_folder import CellFolder
from aimat_ray.comparison.cells import CellResult

_META = "meta"


class CellCache(CellFolder):
    """A folder of finished cells; see CellFolder for what it needs and raises."""

    def load(self, key: str) -> CellResult | None:
        """The result under a key; None where there is none, or where the file is damaged."""
        try:
            with np.load(self._path(key), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files if name != _META}
                meta = json.loads(str(stored[_META]))
            return CellResult(arrays, dict(meta["chosen"]), float(meta["seconds"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

    def save(self, key: str, result: CellResult) -> None:
        """Keep a result; it is there completely or not at all."""
        buffer = io.BytesIO()
        meta = json.dumps({"chosen": dict(result.chosen), "seconds": result.seconds})
        np.savez_compressed(buffer, **dict(result.arrays), **{_META: np.array(meta)})  # type: ignore[arg-type]
        self.write(self._path(key), buffer.getvalue())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"
