"""Where the HTTP app gets its answers: a bundle in this process, or the Serve deployment."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aimat_ray.errors import AimatError, OverloadError, ServiceError, UnknownVersionError
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.pointer import PointerEvent
from aimat_ray.registry.wire import Answer, Ask
from aimat_ray.serving.batching import Batcher, BatchLimits
from aimat_ray.surrogate.base import FloatArray, Predictor

if TYPE_CHECKING:
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.surrogate.bundle import SurrogateBundle

_RETRY_PAUSE_S = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VersionList:
    """The channel's state as a backend tells it."""

    channel: str
    current: str
    serial: int
    history: tuple[PointerEvent, ...]


class Backend(Protocol):
    """What the app needs."""

    async def answer(self, at_frac: FloatArray, nearest: int, version: str | None = None) -> Answer:
        """Predict compositions [B, E] and name their nearest measured alloys.

        Args:
            at_frac: Atomic fractions, [B, E].
            nearest: How many measured alloys per composition.
            version: Version that must answer; None for the current one.

        Raises:
            UnknownVersionError: That version is not loaded.
            ServiceError: Not now; asking again may help.
        """

    async def versions(self) -> VersionList:
        """The versions of the surrogate."""

    async def publish(self, version: str, note: str) -> VersionList:
        """Make a stored version current, after it repeated its reference answers beside the requests.

        Raises:
            ArtifactError: It is missing or fails; the current one stays.
        """

    async def rollback(self, note: str) -> VersionList:
        """Make the previous version current again.

        Raises:
            ArtifactError: There is none.
        """

    def predictor(self) -> Predictor:
        """The surrogate for code that runs in a thread (a design walk); every answer names its version."""


class BackendWatch(Protocol):
    """Is told of calls and predictions."""

    def predicted(self, version: str, serial: int, n_inside: int, n_outside: int) -> None:
        """Alloys were predicted by a version; how many inside its domain and how many outside."""

    def called(self, n_requests: int, n_rows: int, n_waiting: int, seconds: float) -> None:
        """One call answered several requests, while further alloys waited."""


class LocalBackend:
    """A bundle in this process: tests, and the bare server that Serve is compared with."""

    def __init__(self, bundle: SurrogateBundle) -> None:
        from aimat_ray.registry.live import LiveSurrogate
        from aimat_ray.registry.store import VersionInfo

        self._bundle = bundle
        self._live = LiveSurrogate(VersionInfo(bundle.name, bundle.version, 0, "", ""), bundle)

    async def answer(self, at_frac: FloatArray, nearest: int, version: str | None = None) -> Answer:
        """See `Backend`."""
        if version not in (None, self._bundle.version):
            raise UnknownVersionError(f"version {version!r} is not loaded; loaded: {self._bundle.version}")
        return self._live.answer([Ask(at_frac, nearest)])[0]

    async def versions(self) -> VersionList:
        """See `Backend`."""
        return VersionList("local", self._bundle.version, 0, ())

    async def publish(self, version: str, note: str) -> VersionList:
        """See `Backend`."""
        raise ServiceError("this server has one fixed surrogate and can't change it")

    async def rollback(self, note: str) -> VersionList:
        """See `Backend`."""
        raise ServiceError("this server has one fixed surrogate and can't change it")

    def predictor(self) -> Predictor:
        """See `Backend`."""
        return self._bundle


class ServeBackend:
    """The `Surrogate` deployment, and the hub for what concerns versions.

    Args:
        handle: Handle of the deployment.
        app_name: Serve application of the deployment, for code in threads.
        hub: The hub that it follows.
        limits: How requests are grouped.
        timeout_s: How long one request may take.
        watch: Told of calls and predictions, or None.
    """

    def __init__(
        self,
        handle: Any,
        app_name: str,
        hub: SurrogateHub,
        limits: BatchLimits | None = None,
        timeout_s: float = 10.0,
        watch: BackendWatch | None = None,
    ) -> None:
        self._handle = handle
        self._app_name = app_name
        self._hub = hub
        self._timeout_s = timeout_s
        self._watch = watch
        self._batcher = Batcher(self._send, limits or BatchLimits())

    async def answer(self, at_frac: FloatArray, nearest: int, version: str | None = None) -> Answer:
        """See `Backend`."""
        try:
            return await asyncio.wait_for(self._batcher.answer(Ask(at_frac, nearest, version)), self._timeout_s)
        except TimeoutError:
            raise ServiceError(f"the surrogate did not answer within {self._timeout_s:g} s") from None

    async def versions(self) -> VersionList:
        """See `Backend`."""
        return await asyncio.to_thread(self._versions)

    async def publish(self, version: str, note: str) -> VersionList:
        """See `Backend`."""

        def work() -> VersionList:
            self._hub.publish(version, note)
            return self._versions()

        return await asyncio.to_thread(work)

    async def rollback(self, note: str) -> VersionList:
        """See `Backend`."""

        def work() -> VersionList:
            self._hub.rollback(note)
            return self._versions()

        return await asyncio.to_thread(work)

    def predictor(self) -> Predictor:
        """See `Backend`."""
        return SurrogateClient.serve(self._app_name, self._timeout_s)

    def _versions(self) -> VersionList:
        info = self._hub.require_current()
        return VersionList(str(self._hub.channel), info.version, info.serial, self._hub.history())

    async def _send(self, asks: list[Ask]) -> list[Answer]:
        """One call of the deployment; repeated where its replica died, for predicting changes nothing."""
        from ray.exceptions import RayActorError, RayTaskError
        from ray.serve.exceptions import BackPressureError

        began = time.monotonic()
        deadline = began + self._timeout_s
        while True:
            try:
                answers: list[Answer] = await self._handle.answer.remote(asks)
                self._note(answers, time.monotonic() - began)
                return answers
            except BackPressureError:
                raise OverloadError("the surrogate has as many requests as it can hold") from None
            except RayTaskError as error:
                cause = error.cause
                raise cause if isinstance(cause, AimatError) else _unavailable(cause) from error
            except RayActorError as error:
                if time.monotonic() + _RETRY_PAUSE_S >= deadline:
                    raise _unavailable(error) from error
                log.warning("a replica died under a request; asking another one")
                await asyncio.sleep(_RETRY_PAUSE_S)
            except Exception as error:  # Ray and Serve raise many kinds; all of them mean: not now
                raise _unavailable(error) from error

    def _note(self, answers: list[Answer], seconds: float) -> None:
        if self._watch is None:
            return
        n_rows = 0
        for reply in (answer.reply for answer in answers):
            n_inside = int(reply.flags[:, 0].sum())
            n_rows += len(reply.flags)
            self._watch.predicted(reply.version, reply.serial, n_inside, len(reply.flags) - n_inside)
        self._watch.called(len(answers), n_rows, self._batcher.waiting_rows, seconds)


def _unavailable(error: Exception) -> ServiceError:
    return ServiceError(f"the surrogate is not available ({type(error).__name__})")
