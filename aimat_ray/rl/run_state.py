"""What RLlib leaves out of a checkpoint (replay buffer, counters, env runners), in one .npz: nothing pickled."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs
from numpy.typing import NDArray

from aimat_ray.errors import RunError

Array = NDArray[Any]
FILE_NAME = "state.npz"
_SEPARATOR = "."


class RunState:
    """A component in RLlib's checkpoint protocol that stores a nested dict of arrays.

    Args:
        restore: Receives the nested dict when a checkpoint is read.
    """

    def __init__(self, restore: Callable[[dict[str, Any]], None]) -> None:
        self._restore = restore

    def save_to_path(self, path: Any, *, state: Mapping[str, Any], filesystem: Any = None, **_: Any) -> str:
        """Write `state` below `path` (called by RLlib)."""
        filesystem, folder = _filesystem(path, filesystem)
        filesystem.create_dir(folder, recursive=True)
        with filesystem.open_output_stream(f"{folder}/{FILE_NAME}") as stream:
            np.savez(stream, allow_pickle=False, **flatten(state))
        return folder

    def restore_from_path(self, path: Any, *, filesystem: Any = None, **_: Any) -> None:
        """Read what `save_to_path` wrote (called by RLlib)."""
        filesystem, folder = _filesystem(path, filesystem)
        with filesystem.open_input_stream(f"{folder}/{FILE_NAME}") as stream:
            content = io.BytesIO(stream.read())
        with np.load(content, allow_pickle=False) as arrays:
            self._restore(unflatten({name: arrays[name] for name in arrays.files}))


def _filesystem(path: Any, filesystem: Any) -> tuple[Any, str]:
    text = path.as_posix() if isinstance(path, Path) else str(path)
    if filesystem is not None:
        return filesystem, text
    found, inner = pyarrow.fs.FileSystem.from_uri(text)
    return found, inner


def flatten(state: Mapping[str, Any], prefix: str = "") -> dict[str, Array]:
    """Nested dict -> flat dict with dotted names."""
    flat: dict[str, Array] = {}
    for key, value in state.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, name + _SEPARATOR)
            continue
        array = np.asarray(value)
        if array.dtype == object:
            raise RunError(f"checkpoint entry {name}: expected numbers, text or an array of them, got {type(value)}")
        flat[name] = array
    return flat


def unflatten(flat: Mapping[str, Array]) -> dict[str, Any]:
    """The reverse of `flatten` (an empty dict is not restored)."""
    nested: dict[str, Any] = {}
    for name, array in flat.items():
        *parents, leaf = name.split(_SEPARATOR)
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = array
    return nested
