"""Where the HTTP app gets its answers: a bundle in this process, or the Serve deployment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aimat_ray.errors import AimatError, ServiceError
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.pointer import PointerEvent
from aimat_ray.registry.wire import Answer, Ask, pack
from aimat_ray.surrogate.base import FloatArray, Predictor

if TYPE_CHECKING:
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.surrogate.bundle import SurrogateBundle


@dataclass(frozen=True)
class VersionList:
    """The channel's state as a backend tells it."""

    channel: str
    current: str
    serial: int
    history: tuple[PointerEvent, ...]


class Backend(Protocol):
    """What the app needs."""

    async def answer(self, at_frac: FloatArray, nearest: int) -> Answer:
        """Predict compositions [B, E] and find their nearest measured alloys."""

    async def versions(self) -> VersionList:
        """The versions of the surrogate."""

    def predictor(self) -> Predictor:
        """The surrogate for code that runs in a thread (a design walk); every answer names its version."""


class LocalBackend:
    """A bundle in this process: tests, and the bare server that Serve is compared with."""

    def __init__(self, bundle: SurrogateBundle) -> None:
        self._bundle = bundle

    async def answer(self, at_frac: FloatArray, nearest: int) -> Answer:
        """See `Backend`."""
        bundle = self._bundle
        index, distance = bundle.neighbours(at_frac, nearest)
        return Answer(pack(bundle.predict(at_frac), 0), bundle.measured_at_frac[index], distance)

    async def versions(self) -> VersionList:
        """See `Backend`."""
        return VersionList("local", self._bundle.version, 0, ())

    def predictor(self) -> Predictor:
        """See `Backend`."""
        return self._bundle


class ServeBackend:
    """The `Surrogate` deployment, found by name; the hub for the history.

    Args:
        app_name: Serve application of the deployment.
        hub: The hub that it follows.
        timeout_s: How long one request may take.
    """

    def __init__(self, app_name: str, hub: SurrogateHub, timeout_s: float = 10.0) -> None:
        self._app_name = app_name
        self._hub = hub
        self._timeout_s = timeout_s
        self._handle: Any = None

    async def answer(self, at_frac: FloatArray, nearest: int) -> Answer:
        """See `Backend`.

        Raises:
            ServiceError: The deployment is gone, overloaded or too slow; asking again may help.
        """
        try:
            request = self._deployment().answer.remote(Ask(at_frac, nearest))
            answer: Answer = await asyncio.wait_for(_wait(request), self._timeout_s)
        except AimatError:
            raise
        except TimeoutError:
            raise ServiceError(f"the surrogate did not answer within {self._timeout_s:g} s") from None
        except Exception as error:  # Ray and Serve raise many kinds; all of them mean: not now
            raise ServiceError(f"the surrogate is not available ({type(error).__name__})") from error
        return answer

    async def versions(self) -> VersionList:
        """See `Backend`."""

        def ask() -> VersionList:
            info = self._hub.require_current()
            return VersionList(str(self._hub.channel), info.version, info.serial, self._hub.history())

        return await asyncio.to_thread(ask)

    def predictor(self) -> Predictor:
        """See `Backend`."""
        return SurrogateClient.serve(self._app_name, self._timeout_s)

    def _deployment(self) -> Any:
        if self._handle is None:
            from ray import serve

            from aimat_ray.registry.deployment import DEPLOYMENT_NAME

            self._handle = serve.get_deployment_handle(DEPLOYMENT_NAME, self._app_name)
        return self._handle


async def _wait(response: Any) -> Any:
    return await response
