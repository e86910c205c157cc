"""Where a sweep is stored: a folder that all machines see, or an address such as s3://bucket/sweep.

Runs write into a local folder. With an address, that folder is a scratch folder of the machine, which is copied to the
address whenever a run has saved a checkpoint, and fetched from there when the run goes on elsewhere.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aimat_ray.errors import RunError

RUNS, TUNE = "runs", "tune"  # folders of a sweep
SWEEP_FILE = "sweep.json"
RUN_FILE, FINISHED_FILE = "run.json", "evaluation.json"  # of a run: it has begun, it has ended
_WAITS_S = (1.0, 2.0, 4.0, 8.0)  # between attempts
T = TypeVar("T")


@dataclass(frozen=True)
class SweepStorage:
    """A sweep's folder or address.

    Attributes:
        url: Path of a folder, or an address that pyarrow's file systems know (s3://, gs://, hdfs://).
    """

    url: str

    @property
    def is_remote(self) -> bool:
        """Whether it is an address rather than a folder."""
        return "://" in self.url

    @property
    def root(self) -> Path:
        """Local folder of the sweep: the folder itself, or the scratch folder of this machine."""
        if not self.is_remote:
            return Path(self.url).resolve()
        name = "".join(c if c.isalnum() else "-" for c in self.url.partition("?")[0])
        return Path(tempfile.gettempdir()) / "aimat-sweeps" / name

    @property
    def name(self) -> str:
        """Last part of the folder's path, or of the address."""
        return self._shown.rstrip("/").rpartition("/")[2] if self.is_remote else self.root.name

    @property
    def tune_url(self) -> str:
        """Place of Tune's own record."""
        if not self.is_remote:
            return str(self.root / TUNE)
        path, mark, query = self.url.partition("?")
        return f"{path.rstrip('/')}/{TUNE}{mark}{query}"

    def run_folder(self, name: str) -> Path:
        """Local folder of a run, as far as it is stored already."""
        folder = self.root / RUNS / name
        if self.is_remote and not folder.exists():
            self.fetch(f"{RUNS}/{name}")
        return folder

    def finished_runs(self, names: Sequence[str]) -> set[str]:
        """Those of the named runs that are stored and finished."""
        if not self.is_remote:
            return {name for name in names if (self.root / RUNS / name / FINISHED_FILE).is_file()}
        from pyarrow import fs

        def look() -> set[str]:
            remote, base = self._remote()
            found = remote.get_file_info([f"{base}/{RUNS}/{name}/{FINISHED_FILE}" for name in names])
            return {name for name, info in zip(names, found, strict=True) if info.type == fs.FileType.File}

        return _persistently(f"looking for finished runs at {self._shown}", look)

    def fetch(self, part: str) -> None:
        """Copy a file or folder of the sweep from the address to this machine; nothing where there is none."""
        if not self.is_remote:
            return
        from pyarrow import fs

        def copy() -> None:
            remote, base = self._remote()
            info = remote.get_file_info(f"{base}/{part}")
            if info.type == fs.FileType.NotFound:
                return
            local = self.root / part
            local.parent.mkdir(parents=True, exist_ok=True)
            if info.type == fs.FileType.File:
                fs.copy_files(f"{base}/{part}", str(local), source_filesystem=remote)
                return
            partial = local.with_name(f".{local.name}.part")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            fs.copy_files(f"{base}/{part}", str(partial), source_filesystem=remote)
            partial.replace(local)

        _persistently(f"fetching {part} from {self._shown}", copy)

    def keep(self, part: str) -> None:
        """Copy a file or folder of the sweep from this machine to the address."""
        if not self.is_remote:
            return
        from pyarrow import fs

        def copy() -> None:
            remote, base = self._remote()
            local = self.root / part
            if local.is_dir():
                _forget_removed(remote, f"{base}/{part}", local)
                remote.create_dir(f"{base}/{part}", recursive=True)
            else:
                remote.create_dir(str(Path(f"{base}/{part}").parent), recursive=True)
            fs.copy_files(str(local), f"{base}/{part}", destination_filesystem=remote)

        _persistently(f"storing {part} at {self._shown}", copy)

    def fetch_all(self) -> Path:
        """The whole sweep on this machine.

        Raises:
            RunError: There is nothing.
        """
        if self.is_remote:
            shutil.rmtree(self.root, ignore_errors=True)
            self.fetch("")
        if not self.root.is_dir():
            raise RunError(f"{self._shown}: no sweep is stored there")
        return self.root

    @property
    def _shown(self) -> str:
        return self.url.partition("?")[0]  # the query may hold secrets

    def _remote(self) -> tuple[Any, str]:
        from pyarrow import fs

        filesystem, path = fs.FileSystem.from_uri(self.url)
        return filesystem, path.rstrip("/")


def _forget_removed(remote: Any, path: str, local: Path) -> None:
    """Remove what the machine no longer has, such as old checkpoints."""
    from pyarrow import fs

    kept = {str(file.relative_to(local)) for file in local.rglob("*") if file.is_file()}
    for info in remote.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True)):
        if info.type == fs.FileType.File and info.path[len(path) + 1 :] not in kept:
            remote.delete_file(info.path)


def _persistently(what: str, action: Callable[[], T]) -> T:
    """Try again for a while: storage that is briefly gone must not end a run."""
    for wait in _WAITS_S:
        try:
            return action()
        except OSError:
            time.sleep(wait)
    try:
        return action()
    except OSError as error:
        raise RunError(f"{what} failed {len(_WAITS_S) + 1} times: {error}") from error
