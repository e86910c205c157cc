"""Finished cells on disk, one JSON file each under its hash: an interrupted contest continues where it was."""

from __future__ import annotations

import json
from typing import Any

from aimat_ray.comparison.cell_folder import CellFolder


class CellCache(CellFolder):
    """A folder of finished cells; see CellFolder for what it needs and raises."""

    def load(self, key: str) -> dict[str, Any] | None:
        """What was kept under a key; None where there is nothing, or a damaged file."""
        try:
            document = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) and "scores" in document else None

    def save(self, key: str, document: dict[str, Any]) -> None:
        """Keep a result; it is there completely or not at all."""
        self.write(self.folder / f"{key}.json", json.dumps(document).encode())
