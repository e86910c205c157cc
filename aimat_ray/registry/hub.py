"""The hub: one named Ray actor per channel that says which surrogate version is current.

The truth is the store on disk; the actor serialises changes and hands the files to machines that do not see that
disk. So it may die at any time: Ray restarts it, and it reads the store again.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from aimat_ray.errors import AimatError, ServiceError
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.files import read_files, seal_digest
from aimat_ray.registry.pointer import PointerEvent
from aimat_ray.registry.store import Loader, SurrogateStore, VersionInfo, load_bundle

if TYPE_CHECKING:
    from aimat_ray.surrogate.bundle import SurrogateBundle

NAMESPACE = "aimat"
CALL_TIMEOUT_S = 30.0
CHECK_TIMEOUT_S = 300.0  # a process must start, import and load
_KEPT_ARTIFACTS = 2


class HubActor:
    """What runs in the hub's process. Every method may be called again after a crash without doing harm."""

    def __init__(self, root: str, channel: Channel) -> None:
        self._store = SurrogateStore(root)
        self._channel = channel
        self._artifacts: dict[str, Any] = {}

    def root(self) -> str:
        """Folder of the store behind this hub."""
        return str(self._store.root)

    def pid(self) -> int:
        """Process of this hub."""
        return os.getpid()

    def current(self) -> VersionInfo | None:
        """The current version. Read from disk, so a change made there without the hub counts too."""
        return self._store.current(self._channel)

    def history(self) -> tuple[PointerEvent, ...]:
        """All changes, oldest first."""
        return self._store.pointer(self._channel).history

    def publish(self, version: str, note: str, request: str) -> VersionInfo | None:
        """Make a version of the store current."""
        self._store.set_current(self._channel, version, note, request)
        return self.current()

    def store_files(self, files: Mapping[str, bytes]) -> str:
        """Store a version that was fitted elsewhere."""
        return self._store.put_files(files)

    def info(self, version: str) -> VersionInfo:
        """Where a version lies, current or not."""
        return self._store.info(version, self._channel.name)

    def rollback(self, note: str, request: str, expected_serial: int | None) -> VersionInfo | None:
        """Make the previous version current again."""
        self._store.rollback(self._channel, note, request, expected_serial)
        return self.current()

    def artifact(self, version: str) -> list[Any]:
        """The files of a version in Ray's object store; in a list, so that Ray passes the reference on."""
        if version not in self._artifacts:
            self._artifacts[version] = ray.put(read_files(self._store.path(version, self._channel.name)))
            while len(self._artifacts) > _KEPT_ARTIFACTS:
                self._artifacts.pop(next(iter(self._artifacts)))
        return [self._artifacts[version]]


@dataclass(frozen=True)
class SurrogateHub:
    """Address of a hub, with its calls. Pickles as an address and finds the actor again where it arrives.

    Attributes:
        channel: The line of versions that this hub decides about.
        namespace: Ray namespace of the actor.
        timeout_s: How long one call may take.
        loader: Reads a version's folder.
    """

    channel: Channel
    namespace: str = NAMESPACE
    timeout_s: float = CALL_TIMEOUT_S
    loader: Loader = load_bundle

    @classmethod
    def start(
        cls,
        channel: Channel,
        root: Path | str | None = None,
        namespace: str = NAMESPACE,
        loader: Loader = load_bundle,
    ) -> SurrogateHub:
        """Start the hub of a channel, or find it if it runs.

        Args:
            channel: The line of versions.
            root: Folder of the store; on a cluster a folder that all machines see.
            namespace: Ray namespace of the actor.
            loader: Stand-in for `SurrogateBundle.load`.

        Raises:
            ServiceError: Ray is not running here, or the hub runs on another folder.
        """
        hub = cls(channel, namespace, loader=loader)
        _require_ray()
        wanted = str(SurrogateStore(root).root)
        actor = ray.remote(HubActor).options(
            name=hub.actor_name,
            namespace=namespace,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            scheduling_strategy="DEFAULT",  # not in the placement group of a trial that happens to start it
            max_restarts=-1,
            max_task_retries=-1,
        )
        handle: Any = actor.remote(wanted, channel)
        if (found := hub._result(handle.root.remote())) != wanted:
            raise ServiceError(f"the hub of {channel} runs on the store {found}, not on {wanted}; stop it first")
        return hub

    @property
    def actor_name(self) -> str:
        """Name of the actor in its namespace."""
        return f"surrogate-hub/{self.channel}"

    def current(self) -> VersionInfo | None:
        """The current version, or None before the first publication."""
        result: VersionInfo | None = self._call("current")
        return result

    def require_current(self) -> VersionInfo:
        """The current version.

        Raises:
            ServiceError: Nothing was published yet.
        """
        if (info := self.current()) is None:
            raise ServiceError(f"no surrogate is published on channel {self.channel}; publish one first")
        return info

    def history(self) -> tuple[PointerEvent, ...]:
        """All changes of the channel, oldest first."""
        result: tuple[PointerEvent, ...] = self._call("history")
        return result

    def store(self, folder: Path) -> str:
        """Send a version's files to the hub's store without making it current.

        Args:
            folder: Folder of the version in any other store.

        Returns:
            The version.

        Raises:
            ArtifactError: The files are damaged.
        """
        version: str = self._call("store_files", ray.put(read_files(folder)))
        return version

    def publish(self, version_or_folder: str | Path, note: str = "", check: bool = True) -> VersionInfo:
        """Make a version current, after a process of its own has loaded it and got its reference answers.

        Args:
            version_or_folder: A version of the hub's store, or the folder of a version in any other store
                (its files are sent).
            note: Why; kept in the history.
            check: False where this process has just loaded the version from the store.

        Raises:
            ArtifactError: The version is missing, damaged, or does not answer as it did when it was stored; the
                current one stays.
        """
        version = version_or_folder if isinstance(version_or_folder, str) else self.store(version_or_folder)
        if check:
            self.check(version)
        result: VersionInfo = self._call("publish", version, note, uuid.uuid4().hex)
        return result

    def check(self, version: str) -> None:
        """Load a version in a process of its own and ask for its reference answers.

        Raises:
            ArtifactError: It is missing, damaged, or answers otherwise.
        """
        info: VersionInfo = self._call("info", version)
        task: Any = ray.remote(num_cpus=0, max_retries=2)(_load_and_drop)
        self._result(task.remote(self, info), CHECK_TIMEOUT_S)

    def rollback(self, note: str = "", expected_serial: int | None = None) -> VersionInfo:
        """Make the previous version current again.

        Args:
            note: Why; kept in the history.
            expected_serial: Change nothing if the channel is not at this serial any more.

        Raises:
            ArtifactError: There is none.
        """
        result: VersionInfo = self._call("rollback", note, uuid.uuid4().hex, expected_serial)
        return result

    def load(self, info: VersionInfo) -> SurrogateBundle:
        """Load a version on this machine, fetching its files from the hub where its folder is not visible.

        Raises:
            ArtifactError: Damaged, or not answering as it did when it was stored.
        """
        folder = Path(info.path)
        store = SurrogateStore(folder.parents[1], self.loader)
        if not self._visible(info):
            store = SurrogateStore(None, self.loader)
            store.put_files(self.files(info.version))
        return store.get(info.version, info.name)

    def files(self, version: str) -> dict[str, bytes]:
        """The files of a version, through Ray's object store."""
        (reference,) = self._call("artifact", version)
        files: dict[str, bytes] = self._result(reference)
        return files

    def stop(self) -> None:
        """End the actor; versions and pointer stay on disk."""
        try:
            ray.kill(ray.get_actor(self.actor_name, namespace=self.namespace), no_restart=True)
        except ValueError:
            return

    @staticmethod
    def _visible(info: VersionInfo) -> bool:
        try:
            return seal_digest(Path(info.path)) == info.sha256
        except OSError:
            return False

    def _call(self, method: str, *args: Any) -> Any:
        _require_ray()
        try:
            actor = ray.get_actor(self.actor_name, namespace=self.namespace)
        except ValueError:
            raise ServiceError(
                f"no hub runs for channel {self.channel} in namespace {self.namespace!r}; start it first"
            ) from None
        return self._result(getattr(actor, method).remote(*args))

    def _result(self, reference: Any, timeout_s: float | None = None) -> Any:
        """Wait for a result; errors of this package arrive as they were raised."""
        timeout_s = timeout_s or self.timeout_s
        try:
            return ray.get(reference, timeout=timeout_s)
        except GetTimeoutError:
            raise ServiceError(
                f"the hub of {self.channel} did not answer within {timeout_s:.0f} s; is the cluster overloaded?"
            ) from None
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, AimatError):
                raise cause from None
            raise ServiceError(f"the hub of {self.channel} failed: {cause!r}") from error
        except (RayActorError, RayError) as error:
            raise ServiceError(f"the hub of {self.channel} is gone: {type(error).__name__}") from error


def _load_and_drop(hub: SurrogateHub, info: VersionInfo) -> None:
    hub.load(info)


def _require_ray() -> None:
    if not ray.is_initialized():
        raise ServiceError("Ray is not running in this process; call ray.init() (or connect to a cluster) first")
