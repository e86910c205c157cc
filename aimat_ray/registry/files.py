"""Files that are there completely or not at all: durable writes, checksums of a folder."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from aimat_ray.errors import ArtifactError

SEAL = "checksums.json"
_BLOCK = 1 << 20


class FileSum(BaseModel):
    """Checksum and size of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int


class Seal(BaseModel):
    """What a version folder holds; written last, so a folder without it was never finished."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: str
    version: str
    files: dict[str, FileSum]


def fsync_path(path: Path) -> None:
    """Force a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str, mode: int = 0o666) -> None:
    """Replace a file; readers see the old text or the new, also if the machine stops in between.

    Args:
        path: The file.
        text: Its new contents.
        mode: Permissions, less the process's umask; the file never has more, not for a moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        fsync_path(temporary)
        temporary.replace(path)
        fsync_path(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def file_sum(path: Path) -> FileSum:
    """Checksum a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return FileSum(sha256=digest.hexdigest(), size=path.stat().st_size)


def folder_files(folder: Path) -> Iterator[str]:
    """Relative names (with '/') of the regular files below a folder, in sorted order."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return iter(sorted(path.relative_to(folder).as_posix() for path in paths))


def seal_folder(folder: Path, name: str, version: str) -> None:
    """Write the checksums of everything in a folder, then force all of it to disk."""
    sums = {relative: file_sum(folder / relative) for relative in folder_files(folder) if relative != SEAL}
    seal = Seal(name=name, version=version, files=sums)
    write_atomically(folder / SEAL, seal.model_dump_json(indent=1) + "\n")
    for relative in sums:
        fsync_path(folder / relative)
    for path in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        fsync_path(path)


def read_seal(folder: Path) -> Seal:
    """Read a folder's checksums.

    Raises:
        ArtifactError: The folder has none, or they can't be read.
    """
    path = folder / SEAL
    try:
        return Seal.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{folder} is not a stored surrogate: it has no {SEAL}") from None
    except (ValidationError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is damaged; publish or fit this surrogate again") from error


def seal_digest(folder: Path) -> str:
    """One checksum over a sealed folder: that of its list of checksums."""
    return file_sum(folder / SEAL).sha256


def verify_folder(folder: Path) -> Seal:
    """Compare every file of a sealed folder with its checksum.

    Returns:
        The seal.

    Raises:
        ArtifactError: A file is missing, was added, or has other contents.
    """
    seal = read_seal(folder)
    present = set(folder_files(folder)) - {SEAL}
    if present != set(seal.files):
        odd = sorted(present ^ set(seal.files))
        raise ArtifactError(f"{folder} is damaged: {', '.join(odd)} missing or unexpected; fit or publish it again")
    for relative, expected in seal.files.items():
        if file_sum(folder / relative) != expected:
            raise ArtifactError(
                f"{folder / relative} does not match its checksum {expected.sha256[:12]}...; "
                "the file was changed or damaged: fit or publish this surrogate again"
            )
    return seal


def read_files(folder: Path) -> dict[str, bytes]:
    """The contents of a sealed folder, its seal included, to send to another machine."""
    return {relative: (folder / relative).read_bytes() for relative in folder_files(folder)}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write what `read_files` returned into a new folder.

    Raises:
        ArtifactError: A name would leave the folder.
    """
    for relative, content in files.items():
        path = folder / relative
        if Path(relative).is_absolute() or ".." in Path(relative).parts:
            raise ArtifactError(f"file name {relative!r} leaves the version's folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
