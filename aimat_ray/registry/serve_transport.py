"""How a `SurrogateClient` reaches the Serve deployment."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException

from aimat_ray.errors import AimatError, ServiceError
from aimat_ray.registry.deployment import APP_NAME, DEPLOYMENT_NAME
from aimat_ray.registry.wire import Reply, unpack
from aimat_ray.surrogate.base import FloatArray, Prediction

_RETRY_PAUSE_S = 0.1


class ServeTransport:
    """One request per batch through a deployment handle.

    The handle is looked up by name where it is used: a handle that travels into a Tune trial hangs (Ray issue 29545).
    A request whose replica died or was full is sent again until the time is up; predictions change nothing, so
    asking twice does no harm.

    Args:
        app_name: Name of the Serve application.
        timeout_s: How long one batch may take, repetitions included.
    """

    def __init__(self, app_name: str | None = None, timeout_s: float = 30.0) -> None:
        self._app_name = app_name or APP_NAME
        self._timeout_s = timeout_s
        self._handle: Any = None
        self._version: str | None = None

    def predict(self, at_frac: FloatArray) -> Prediction:
        """See `Transport`."""
        reply: Reply = self._request("predict", at_frac)
        self._version = reply.version
        return unpack(reply, len(at_frac))

    def version(self) -> str:
        """Version of the last answer; before the first one, what the service says."""
        if self._version is None:
            self._version = str(self._request("status")["version"])
        return self._version

    def refresh(self) -> bool:
        """See `Transport`. The service swaps by itself; this tells whether it did since the last answer."""
        before = self._version
        self._version = None
        return before is not None and self.version() != before

    def _request(self, method: str, *args: Any) -> Any:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                handle = self._connect()
                response = getattr(handle, method).remote(*args)
                return response.result(timeout_s=max(deadline - time.monotonic(), 0.001))
            except (RayActorError, BackPressureError) as error:
                self._pause_or_raise(error, deadline)
            except TimeoutError:
                raise ServiceError(self._late()) from None
            except RayTaskError as error:
                cause = error.cause
                raise cause if isinstance(cause, AimatError) else self._failed(error) from error
            except RayServeException as error:
                raise self._failed(error) from error

    def _connect(self) -> Any:
        if self._handle is None:
            if not ray.is_initialized():
                raise ServiceError("Ray is not running in this process; connect to the cluster first")
            try:
                self._handle = serve.get_deployment_handle(DEPLOYMENT_NAME, self._app_name)
            except (KeyError, RayServeException) as error:
                raise ServiceError(
                    f"no surrogate service {self._app_name!r} is running on this cluster; start it first"
                ) from error
        return self._handle

    def _pause_or_raise(self, error: Exception, deadline: float) -> None:
        if time.monotonic() + _RETRY_PAUSE_S >= deadline:
            raise ServiceError(self._late()) from error
        time.sleep(_RETRY_PAUSE_S)

    def _late(self) -> str:
        return (
            f"the surrogate service {self._app_name!r} did not answer within {self._timeout_s:g} s; "
            "is it running and not overloaded?"
        )

    def _failed(self, error: Exception) -> ServiceError:
        self._handle = None
        return ServiceError(f"the surrogate service {self._app_name!r} failed: {error}")

    def __reduce__(self) -> tuple[Any, ...]:
        return ServeTransport, (self._app_name, self._timeout_s)
