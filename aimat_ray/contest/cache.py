"""Finished cells on disk, one JSON file each under its hash: an interrupted contest continues where it was."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from aimat_ray.errors import RunError


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

    def load(self, key: str) -> dict[str, Any] | None:
        """What was kept under a key; None where there is nothing, or a damaged file."""
        try:
            document = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) and "scores" in document else None

    def save(self, key: str, document: dict[str, Any]) -> None:
        """Keep a result; it is there completely or not at all."""
        path = self.folder / f"{key}.json"
        temporary = path.with_suffix(f".{uuid.uuid4().hex}")
        temporary.write_text(json.dumps(document), encoding="utf-8")
        temporary.replace(path)
