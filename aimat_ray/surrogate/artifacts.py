"""Fitted models on disk: plain arrays, CatBoost's own format and JSON; every file's checksum is verified on loading.

A fitted model turns itself into a `ModelState`, a tree of named arrays, blobs and numbers. This module writes
such trees and reads them back. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.errors import ArtifactError

ARRAYS_FILE = "arrays.npz"
STATE_FILE = "state.json"
MANIFEST_FILE = "manifest.json"
BLOB_SUFFIX = ".cbm"


@dataclass(frozen=True)
class ModelState:
    """Everything that a fitted model is made of.

    Attributes:
        kind: Which class reads it back (see `surrogate.families.restore`).
        meta: Numbers, strings and lists that JSON can hold.
        arrays: Named arrays of numbers or booleans.
        blobs: Named byte strings in a format of their own (CatBoost models).
        children: Named states of the models inside this one.
    """

    kind: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    children: Mapping[str, ModelState] = field(default_factory=dict)

    def walk(self, path: str = "") -> Iterator[tuple[str, ModelState]]:
        """This state and all below it, with their paths (`""`, `"tg_k"`, `"tg_k/gp"` ...)."""
        yield path, self
        for name, child in self.children.items():
            yield from child.walk(f"{path}/{name}" if path else name)


def pack(state: ModelState) -> dict[str, bytes]:
    """The files of a state, as bytes; equal states give equal bytes.

    Returns:
        File name to content: `state.json`, `arrays.npz` and one `.cbm` per blob.
    """
    arrays: dict[str, NDArray[Any]] = {}
    files: dict[str, bytes] = {}
    for path, node in state.walk():
        arrays.update({f"{path}:{name}": np.ascontiguousarray(a) for name, a in sorted(node.arrays.items())})
        files.update({_blob_name(path, name): blob for name, blob in node.blobs.items()})
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    files[ARRAYS_FILE] = buffer.getvalue()
    files[STATE_FILE] = json.dumps(_skeleton(state), indent=1, sort_keys=True).encode()
    return files


def unpack(files: Mapping[str, bytes]) -> ModelState:
    """Read back what `pack` made.

    Raises:
        ArtifactError: A part is missing, or would need unpickling.
    """
    try:
        with np.load(io.BytesIO(files[ARRAYS_FILE]), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return _build(json.loads(files[STATE_FILE]), "", arrays, files)
    except (KeyError, ValueError, TypeError, EOFError) as error:
        raise ArtifactError(f"stored surrogate: incomplete or damaged ({error}); fit it again") from error


def checksums(files: Mapping[str, bytes]) -> dict[str, str]:
    """The sha256 of each file, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def content_hash(document: Mapping[str, Any]) -> str:
    """The sha256 over a JSON document in canonical form."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_folder(folder: Path, files: Mapping[str, bytes], manifest: str) -> None:
    """Write all files and the manifest into `folder`; it appears whole or not at all.

    Args:
        folder: Target; must not hold anything but the same artifact.
        files: File name to content.
        manifest: JSON text of the manifest, which lists the files' checksums.
    """
    if (folder / MANIFEST_FILE).is_file() and (folder / MANIFEST_FILE).read_text(encoding="utf-8") == manifest:
        return
    staging: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, content in files.items():
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (staging / MANIFEST_FILE).write_text(manifest, encoding="utf-8")
        staging.chmod(0o755)
        staging.replace(folder)
    except OSError as error:
        raise ArtifactError(
            f"can't write the surrogate to {folder}: {error.strerror}; choose another folder"
        ) from error
    finally:
        if staging is not None and staging.exists():
            shutil.rmtree(staging)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artifact folder.

    Raises:
        ArtifactError: No manifest there, or not JSON.
    """
    path = folder / MANIFEST_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"no surrogate in {folder}: {MANIFEST_FILE} can't be read ({error.strerror})") from error
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error}); the surrogate is damaged, fit it again") from error
    if not isinstance(document, dict):
        raise ArtifactError(f"{path}: expected an object; the surrogate is damaged, fit it again")
    return document


def read_files(folder: Path, expected: Mapping[str, str]) -> dict[str, bytes]:
    """Read an artifact's files and verify each against its checksum.

    Args:
        folder: The artifact.
        expected: File name to sha256, from the manifest.

    Raises:
        ArtifactError: A file is missing or its checksum differs.
    """
    files: dict[str, bytes] = {}
    for name, digest in expected.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ArtifactError(f"{folder}: the manifest names a file outside the folder ({name!r})")
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{path}: missing or unreadable ({error.strerror}); fit the surrogate again") from error
        found = hashlib.sha256(files[name]).hexdigest()
        if found != digest:
            raise ArtifactError(f"{path}: checksum is {found[:12]}, the manifest says {digest[:12]}; fit it again")
    return files


def _blob_name(path: str, name: str) -> str:
    return f"{path}/{name}{BLOB_SUFFIX}".lstrip("/")


def _skeleton(state: ModelState) -> dict[str, Any]:
    return {
        "kind": state.kind,
        "meta": dict(state.meta),
        "arrays": sorted(state.arrays),
        "blobs": sorted(state.blobs),
        "children": {name: _skeleton(child) for name, child in state.children.items()},
    }


def _build(
    node: Mapping[str, Any], path: str, arrays: Mapping[str, NDArray[Any]], files: Mapping[str, bytes]
) -> ModelState:
    return ModelState(
        kind=str(node["kind"]),
        meta=node["meta"],
        arrays={name: arrays[f"{path}:{name}"] for name in node["arrays"]},
        blobs={name: files[_blob_name(path, name)] for name in node["blobs"]},
        children={
            name: _build(child, f"{path}/{name}" if path else name, arrays, files)
            for name, child in node["children"].items()
        },
    )
