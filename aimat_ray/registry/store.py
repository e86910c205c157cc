"""Surrogate versions on disk: written once, checked on load, with one current version per channel.

    <root>/<bundle name>/<version>/           files of SurrogateBundle.save, canary.npz, checksums.json
    <root>/<bundle name>/current/<key>.json   pointer of a channel (see channel.py, pointer.py)
    <root>/<bundle name>/fits/<key>.json      which version a fit with these inputs gave

See registry-design.md for why.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimat_ray.errors import AimatError, ArtifactError
from aimat_ray.registry.canary import canary_rows, check_canary, read_canary, write_canary
from aimat_ray.registry.channel import Channel, check_name
from aimat_ray.registry.files import (
    SEAL,
    Seal,
    fsync_path,
    read_seal,
    seal_digest,
    seal_folder,
    verify_folder,
    write_atomically,
    write_files,
)
from aimat_ray.registry.pointer import Pointer, parse_pointer

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData
    from aimat_ray.problem import DesignProblem
    from aimat_ray.registry.fits import Fit
    from aimat_ray.surrogate.bundle import SurrogateBundle

Loader = Callable[[Path], Any]
ROOT_VARIABLE = "AIMAT_STORE"
LOCK_TIMEOUT_S = 60.0
ABANDONED_S = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """Which version is current, and where it lies.

    Attributes:
        name: Bundle name.
        version: Version of the surrogate.
        serial: Number of the channel's last change; 0 for a version looked up outside a channel.
        path: Folder of the version on the machine that answered.
        sha256: Checksum over the folder.
    """

    name: str
    version: str
    serial: int
    path: str
    sha256: str


def default_root() -> Path:
    """Where surrogates are kept: AIMAT_STORE, else the user's cache folder."""
    if chosen := os.environ.get(ROOT_VARIABLE):
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("aimat-ray", appauthor=False) / "surrogates"


def load_bundle(folder: Path) -> SurrogateBundle:
    """Load a surrogate bundle from its folder."""
    from aimat_ray.surrogate.bundle import SurrogateBundle

    return SurrogateBundle.load(folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class SurrogateStore:
    """Immutable surrogate versions below one folder.

    Several processes may use one root at once, also on several machines if the file system is shared.

    Args:
        root: Folder of the store; made when the first version is written. Default: `default_root()`.
        load: Reads a version's folder; a test's stand-in for `SurrogateBundle.load`.
    """

    def __init__(self, root: Path | str | None = None, load: Loader = load_bundle) -> None:
        self.root = Path(root).expanduser().absolute() if root is not None else default_root()
        self._load = load

    # ---- versions

    def put(self, bundle: SurrogateBundle) -> str:
        """Store a bundle; storing it again does nothing.

        Returns:
            Its version.

        Raises:
            ArtifactError: The folder can't be written, or the bundle answers with NaN.
        """
        name, version = check_name("bundle name", bundle.name), check_name("version", bundle.version)

        def fill(folder: Path) -> None:
            bundle.save(folder)
            write_canary(folder, bundle, canary_rows(len(bundle.elements)))
            seal_folder(folder, name, version)

        self._write_version(name, version, fill)
        return version

    def put_files(self, files: Mapping[str, bytes]) -> str:
        """Store a version that arrives as files (see `files.read_files`) from another machine.

        Returns:
            Its version.

        Raises:
            ArtifactError: The files are not complete, or do not match their checksums.
        """
        try:
            seal = Seal.model_validate_json(files[SEAL])
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"the files sent are not a stored surrogate: no usable {SEAL}") from error
        name, version = check_name("bundle name", seal.name), check_name("version", seal.version)

        def fill(folder: Path) -> None:
            write_files(folder, files)
            verify_folder(folder)
            for relative in files:
                fsync_path(folder / relative)

        self._write_version(name, version, fill)
        return version

    def get(self, version: str, name: str | None = None) -> SurrogateBundle:
        """Load a version after checking its files and its reference answers.

        Args:
            version: Version, as `put` returned it.
            name: Bundle name; looked up if not given.

        Raises:
            ArtifactError: Not in the store, damaged, or not answering as it did when it was stored.
        """
        folder = self.path(version, name)
        verify_folder(folder)
        try:
            bundle: SurrogateBundle = self._load(folder)
        except AimatError:
            raise
        except Exception as error:
            raise ArtifactError(f"{folder} can't be loaded ({error!r}); fit or publish this surrogate again") from error
        check_canary(bundle, *read_canary(folder, version))
        return bundle

    def path(self, version: str, name: str | None = None) -> Path:
        """Folder of a version.

        Raises:
            ArtifactError: Not in the store.
        """
        check_name("version", version)
        names = [check_name("bundle name", name)] if name else self.names()
        for candidate in (self.root / known / version for known in names):
            if (candidate / SEAL).is_file():
                return candidate
        known_versions = [v for known in names for v in self.versions(known)]
        raise ArtifactError(
            f"no surrogate version {version!r} in {self.root}; "
            f"it holds: {', '.join(known_versions[-8:]) or 'nothing yet'}"
        )

    def info(self, version: str, name: str | None = None, serial: int = 0) -> VersionInfo:
        """Name, folder and checksum of a version."""
        folder = self.path(version, name)
        return VersionInfo(read_seal(folder).name, version, serial, str(folder), seal_digest(folder))

    def names(self) -> list[str]:
        """Names of the bundles that have versions."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and path.name[0] != ".")

    def versions(self, name: str) -> list[str]:
        """Complete versions of a bundle, oldest first."""
        seals = (self.root / check_name("bundle name", name)).glob(f"*/{SEAL}")
        complete = [(path.stat().st_mtime_ns, path.parent.name) for path in seals]
        return [version for _, version in sorted(complete) if version[0] != "."]

    def get_or_fit(
        self,
        name: str,
        data: AlloyData,
        problem: DesignProblem,
        seed: int,
        progress: Any = None,
        fit: Fit | None = None,
    ) -> SurrogateBundle:
        """The bundle for these inputs: from the store if it was fitted before, else fitted now and stored.

        Args:
            name: Bundle name ("default", "paper", "judge").
            data: The alloys to fit.
            problem: The design problem.
            seed: Seed of the fit.
            progress: Passed on to the fit.
            fit: Stand-in for `fit_bundle`.
        """
        from aimat_ray.registry.fits import get_or_fit

        return get_or_fit(self, name, data, problem, seed, progress, fit)

    # ---- the current version of a channel

    def pointer(self, channel: Channel) -> Pointer:
        """State of a channel; empty if nothing was published.

        Raises:
            ArtifactError: The pointer file is damaged.
        """
        path = self._pointer_path(channel)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Pointer(channel=str(channel))
        return parse_pointer(text, str(path))

    def current(self, channel: Channel) -> VersionInfo | None:
        """The channel's current version, or None before the first publication."""
        pointer = self.pointer(channel)
        if pointer.current is None:
            return None
        return self.info(pointer.current, channel.name, pointer.serial)

    def set_current(self, channel: Channel, version: str, note: str = "", request: str = "") -> Pointer:
        """Make a stored version the channel's current one.

        Args:
            channel: The channel to change.
            version: A version that is in the store; its files are checked first.
            note: Why; kept in the history.
            request: Identity of the request; a repeated one changes nothing.

        Raises:
            ArtifactError: The version is missing or damaged; the pointer stays.
        """
        verify_folder(self.path(version, channel.name))
        return self._move(channel, lambda pointer: pointer.published(version, _now(), note, request))

    def rollback(
        self, channel: Channel, note: str = "", request: str = "", expected_serial: int | None = None
    ) -> Pointer:
        """Make the channel's previous version current again; see `Pointer.rolled_back`.

        Raises:
            ArtifactError: There is none, or it is damaged; the pointer stays.
        """

        def back(pointer: Pointer) -> Pointer:
            after = pointer.rolled_back(_now(), note, request, expected_serial)
            if after is not pointer and after.current:
                verify_folder(self.path(after.current, channel.name))
            return after

        return self._move(channel, back)

    def _move(self, channel: Channel, change: Callable[[Pointer], Pointer]) -> Pointer:
        with self.lock(channel.name, f"current-{channel.key}"):
            before = self.pointer(channel)
            after = change(before)
            if after is not before:
                with _readable_errors(self.root):
                    write_atomically(self._pointer_path(channel), after.model_dump_json(indent=1) + "\n")
        return after

    def _pointer_path(self, channel: Channel) -> Path:
        return self.root / channel.name / "current" / f"{channel.key}.json"

    # ---- writing

    @contextmanager
    def lock(self, name: str, what: str, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold a lock of this store among processes; it goes when its holder dies.

        Args:
            name: Bundle name.
            what: What is locked.
            timeout_s: How long to wait for another holder; negative waits without end.

        Raises:
            ArtifactError: The lock was not free in time, or the store can't be written.
        """
        from filelock import FileLock, Timeout

        folder = self.root / name
        with _readable_errors(self.root):
            folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{what}.lock", timeout=timeout_s)
        with _readable_errors(self.root):
            try:
                lock.acquire()
            except Timeout as error:  # an OSError too, so it is caught before the others
                raise ArtifactError(
                    f"another process has held {name}/{what} in {self.root} for {timeout_s:.0f} s; "
                    "wait for it to end, or end it"
                ) from error
        try:
            yield
        finally:
            lock.release()

    def _write_version(self, name: str, version: str, fill: Callable[[Path], None]) -> None:
        """Fill a temporary folder, then rename it: the version is visible complete or not at all."""
        final = self.root / name / version
        if self._intact(final):
            return
        staging = final.with_name(f".writing-{uuid.uuid4().hex}")
        temporary = staging / version
        with _readable_errors(self.root):
            temporary.mkdir(parents=True)
            try:
                self._sweep(final.parent)
                fill(temporary)
                self._place(temporary, final)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def _place(self, temporary: Path, final: Path) -> None:
        if final.exists() and not self._intact(final):
            with self.lock(final.parent.name, "repair"):
                if final.exists() and not self._intact(final):  # nobody else repaired it meanwhile
                    log.warning("version %s was damaged and is replaced", final)
                    final.rename(final.with_name(f".damaged-{uuid.uuid4().hex}"))
        try:
            temporary.rename(final)  # fails if another writer was first: its files are the same, by checksum
        except OSError:
            if not self._intact(final):
                raise
        fsync_path(final.parent)

    @staticmethod
    def _intact(folder: Path) -> bool:
        try:
            verify_folder(folder)
        except (ArtifactError, OSError):
            return False
        return True

    @staticmethod
    def _sweep(folder: Path) -> None:
        """Remove what writers that were killed left behind long ago."""
        for path in folder.glob(".writing-*"):
            with suppress(FileNotFoundError):  # another writer may end, and remove its folder, at any moment
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _readable_errors(root: Path) -> Iterator[None]:
    """Turn an error of the file system into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"can't write to the surrogate store {root}: {error.strerror or error}; "
            f"free some space, correct the permissions, or set {ROOT_VARIABLE} to another folder"
        ) from error
