"""The folder of a run: what is written where. Everything is written to a temporary name first and then renamed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from aimat_ray.errors import RunError

_KEPT_CHECKPOINTS = 2


class RunDirectory:
    """Paths and atomic writes below one run's folder.

    Args:
        path: The folder; made if it does not exist.

    Raises:
        RunError: The folder can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise RunError(f"output folder {self.path} can't be written: {error.strerror or error}") from error

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_json(self, name: str, document: Any) -> None:
        """Write a JSON document; numbers that are not finite become null."""
        text = json.dumps(_finite(document), indent=1, ensure_ascii=False)
        self._replace(name, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def read_json(self, name: str) -> Any:
        """Read a JSON document.

        Raises:
            RunError: It is missing or broken.
        """
        try:
            return json.loads((self / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self / name} can't be read ({error}); is this the folder of a run?") from error

    def write_yaml(self, name: str, document: Any) -> None:
        """Write a YAML document."""
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        self._replace(name, lambda path: path.write_text(text, encoding="utf-8"))

    def write_table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Write rows as parquet or CSV, by the name's ending."""
        frame = pd.DataFrame(rows) if rows else pd.DataFrame({"rank": [], "formula": []})
        write = frame.to_csv if name.endswith(".csv") else frame.to_parquet
        self._replace(name, lambda path: write(path, index=False))

    def read_table(self, name: str) -> list[dict[str, Any]]:
        """Rows of a parquet table, or none if it does not exist."""
        path = self / name
        if not path.is_file():
            return []
        return [{str(key): value for key, value in row.items()} for row in pd.read_parquet(path).to_dict("records")]

    def _replace(self, name: str, write: Callable[[Path], Any]) -> None:
        final = self / name
        temporary = final.with_name(f".{final.name}.part{final.suffix}")
        write(temporary)
        temporary.replace(final)

    def new_checkpoint(self, env_steps: int, save: Callable[[Path], Any]) -> Path:
        """Save a checkpoint completely or not at all, and drop the oldest ones."""
        final = self / "checkpoints" / f"{env_steps:012d}"
        temporary = final.with_name(f".{final.name}.part")
        for stale in (temporary, final):
            shutil.rmtree(stale, ignore_errors=True)
        temporary.parent.mkdir(exist_ok=True)
        save(temporary)
        temporary.replace(final)
        for old in self._checkpoints()[:-_KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint."""
        complete = self._checkpoints()
        return complete[-1] if complete else None

    def _checkpoints(self) -> list[Path]:
        return sorted(path for path in (self / "checkpoints").glob("[0-9]*") if path.is_dir())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
