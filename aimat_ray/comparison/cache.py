"""Finished cells on disk, one file each, named by content hash: an interrupted comparison continues where it was."""

from __future__ import annotations

import io
import json
import os
import uuid
import zipfile
import zlib
from pathlib import Path

import numpy as np

from aimat_ray.comparison.cells import CellResult
from aimat_ray.errors import RunError

_META = "meta"


class CellCache:
    """A folder of finished cells.

    Args:
        folder: Made when needed.

    Raises:
        RunError: The folder can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder}: can't be made ({error.strerror}); choose another folder with --out") from error
        if not os.access(folder, os.W_OK):
            raise RunError(f"{folder}: not writable; choose another folder with --out")

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
        temporary = self._path(key).with_suffix(f".{uuid.uuid4().hex}")
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"
