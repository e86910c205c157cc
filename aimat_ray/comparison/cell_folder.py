"""A folder of finished cells, each file there completely or not at all; what is in a file is the cache's business."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from aimat_ray.errors import RunError


class CellFolder:
    """A writable folder.

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

    def write(self, path: Path, content: bytes) -> None:
        """Put a file into its place in one move."""
        temporary = path.with_suffix(f".{uuid.uuid4().hex}")
        temporary.write_bytes(content)
        temporary.replace(path)
