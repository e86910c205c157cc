"""The Ray Serve deployment `Surrogate`: answers for batches of compositions, follows the hub.

A new version is loaded by a thread beside the requests, must repeat its reference answers, and then takes over by
one assignment: every reply is made by exactly one version, and no request waits for a load.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.schema import LoggingConfig

from aimat_ray.errors import AimatError, ArtifactError, ServiceError
from aimat_ray.registry.canary import canary_rows, check_canary
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.store import Loader, VersionInfo, load_bundle
from aimat_ray.registry.wire import Answer, Ask, Reply, pack
from aimat_ray.surrogate.base import FloatArray, Prediction

if TYPE_CHECKING:
    from aimat_ray.surrogate.bundle import SurrogateBundle

APP_NAME = "aimat-surrogate"
DEPLOYMENT_NAME = "Surrogate"
BATCH_REQUESTS = 64
BATCH_WAIT_S = 0.002

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServiceOptions:
    """How the service is run.

    Attributes:
        num_replicas: Processes that answer.
        num_cpus: Cores that Ray sets aside for each; 0 shares what is there.
        poll_s: How often a replica asks the hub for the current version.
        max_ongoing_requests: Requests that a replica holds at once.
        max_queued_requests: Requests that wait at a caller before it is refused; -1 for no limit.
        health_period_s: How often a replica's reference answers are checked.
    """

    num_replicas: int = 1
    num_cpus: float = 1.0
    poll_s: float = 1.0
    max_ongoing_requests: int = 64
    max_queued_requests: int = -1
    health_period_s: float = 5.0


@dataclass(frozen=True, eq=False)
class _Live:
    """A loaded version, with what it answered when it was loaded."""

    info: VersionInfo
    bundle: SurrogateBundle
    rows: FloatArray
    answers: Prediction
    lock: threading.Lock = field(default_factory=threading.Lock)

    def predict(self, at_frac: FloatArray) -> Prediction:
        with self.lock:  # Serve runs requests in threads; families need not be safe for that
            return self.bundle.predict(at_frac)


class Surrogate:
    """One replica. Started by `start_surrogate_service`; called by `SurrogateClient`.

    Args:
        hub: Where to ask for the current version.
        poll_s: How often.
        load: Stand-in for `SurrogateBundle.load`.
    """

    def __init__(self, hub: SurrogateHub, poll_s: float = 1.0, load: Loader = load_bundle) -> None:
        self._hub = hub
        self._load = load
        self._poll_s = poll_s
        self._refused: dict[int, str] = {}
        self._wake = threading.Event()
        self._live = self._read(hub.require_current())
        self._follower = threading.Thread(target=self._follow, name="surrogate-follower", daemon=True)
        self._follower.start()

    def predict(self, at_frac: FloatArray) -> Reply:
        """Predict a batch with the version that is live when the request starts.

        Args:
            at_frac: Atomic fractions, [B, E].
        """
        live = self._live
        expected = live.rows.shape[1]
        if at_frac.ndim != 2 or at_frac.shape[1] != expected:
            raise ServiceError(f"compositions have shape {at_frac.shape}; expected [B, {expected}]")
        return pack(live.predict(at_frac), live.info.serial)

    @serve.batch(max_batch_size=BATCH_REQUESTS, batch_wait_timeout_s=BATCH_WAIT_S)  # type: ignore[untyped-decorator]
    async def answer(self, requests: list[Ask]) -> list[Answer]:
        """Answer small requests together: those that arrive within 2 ms share one prediction."""
        return await asyncio.to_thread(self._answer_all, requests)

    def _answer_all(self, requests: list[Ask]) -> list[Answer]:
        live = self._live
        reply = pack(live.predict(np.concatenate([ask.at_frac for ask in requests])), live.info.serial)
        answers, start = [], 0
        for ask in requests:
            stop = start + len(ask.at_frac)
            index, distance = live.bundle.neighbours(ask.at_frac, ask.nearest)
            part = reply._replace(values=reply.values[start:stop], flags=reply.flags[start:stop])
            answers.append(Answer(part, live.bundle.measured_at_frac[index], distance))
            start = stop
        return answers

    def status(self) -> dict[str, Any]:
        """What this replica serves, for health pages and tests."""
        info = self._live.info
        return {
            "version": info.version,
            "serial": info.serial,
            "sha256": info.sha256,
            "pid": os.getpid(),
            "refused": dict(self._refused),
        }

    def reconfigure(self, settings: dict[str, Any]) -> None:
        """Serve's hook for a changed `user_config`: takes `poll_s` and looks for a new version at once."""
        self._poll_s = float(settings.get("poll_s", self._poll_s))
        self._wake.set()

    def check_health(self) -> None:
        """Serve's hook: repeat the reference answers; a replica that can't is replaced."""
        live = self._live
        with live.lock:
            check_canary(live.bundle, live.rows, live.answers)
        if not self._follower.is_alive():
            raise ServiceError("the thread that follows the hub has ended")

    def _read(self, info: VersionInfo) -> _Live:
        bundle = self._hub.load(info, self._load)
        rows = canary_rows(len(bundle.elements))
        return _Live(info, bundle, rows, bundle.predict(rows))

    def _follow(self) -> None:
        while True:
            self._wake.wait(self._poll_s)
            self._wake.clear()
            try:
                self._adopt()
            except Exception as error:  # serving goes on with the version it has, whatever happened
                log.warning("surrogate replica could not follow its hub: %s", error)

    def _adopt(self) -> None:
        info = self._hub.current()
        if info is None or info.serial == self._live.info.serial or info.serial in self._refused:
            return
        try:
            self._live = self._read(info)
        except ArtifactError as error:
            log.error("surrogate %s is refused: %s", info.version, error.message)
            self._refused[info.serial] = error.message


def surrogate_app(hub: SurrogateHub, options: ServiceOptions, load: Loader = load_bundle) -> Any:
    """The Serve application of one channel."""
    deployment: Any = serve.deployment(
        Surrogate,
        name=DEPLOYMENT_NAME,
        num_replicas=options.num_replicas,
        ray_actor_options={"num_cpus": options.num_cpus},
        max_ongoing_requests=options.max_ongoing_requests,
        max_queued_requests=options.max_queued_requests,
        health_check_period_s=options.health_period_s,
        health_check_timeout_s=30.0,
        graceful_shutdown_timeout_s=5.0,
        max_constructor_retry_count=2,
        logging_config=quiet_serve(),
    )
    return deployment.bind(hub, options.poll_s, load)


def start_surrogate_service(
    hub: SurrogateHub,
    options: ServiceOptions | None = None,
    app_name: str = APP_NAME,
    load: Loader = load_bundle,
) -> None:
    """Start the service of a channel and wait until it answers. Opens no port: callers use `SurrogateClient`.

    Args:
        hub: The hub of the channel; something must be published on it.
        options: How to run it.
        app_name: Name under which workers find it.
        load: Stand-in for `SurrogateBundle.load`.

    Raises:
        ServiceError: Nothing is published, or no replica came up.
    """
    hub.require_current()
    try:
        serve.start(proxy_location=ProxyLocation.Disabled, logging_config=quiet_serve())
        app = surrogate_app(hub, options or ServiceOptions(), load)
        serve.run(app, name=app_name, route_prefix=None, logging_config=quiet_serve())
    except AimatError:
        raise
    except Exception as error:
        raise ServiceError(f"the surrogate service {app_name!r} did not start: {error}") from error


def stop_surrogate_service(app_name: str = APP_NAME, shutdown: bool = False) -> None:
    """Stop the service.

    Args:
        app_name: Name of the application.
        shutdown: Also stop Serve itself, with every other application on it.
    """
    shut_down: Any = serve.shutdown
    if shutdown:
        shut_down()
    else:
        serve.delete(app_name)


def quiet_serve() -> LoggingConfig:
    """Quieten Serve in this process, and the same for its own processes: errors only, no line per request."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    return LoggingConfig(log_level="ERROR", enable_access_log=False)
