"""The Ray Serve deployment `Surrogate`: answers for batches of compositions, follows the hub.

A new version is loaded by a thread beside the requests, must repeat its reference answers, and then takes over by
one assignment: every reply is made by exactly one version, and no request waits for a load.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import Any

from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.schema import LoggingConfig

from aimat_ray.errors import AimatError, ArtifactError, ServiceError, UnknownVersionError
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.live import LiveSurrogate
from aimat_ray.registry.runtime import spare_collector
from aimat_ray.registry.store import VersionInfo
from aimat_ray.registry.wire import Answer, Ask, Reply
from aimat_ray.surrogate.base import FloatArray

APP_NAME = "aimat-surrogate"
DEPLOYMENT_NAME = "Surrogate"
REPLICA_ENVIRONMENT = {
    # One thread of linear algebra per replica: more only get in each other's way, and replicas use the other cores.
    "OMP_NUM_THREADS": "1",
    # Our code and Serve's router run in the replica's own event loop: handing each request to other threads and back
    # doubles its time (serving-design.md).
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServiceOptions:
    """How the service is run.

    Attributes:
        num_replicas: Processes that answer; with `autoscaling`, how many to start with.
        autoscaling: Serve's autoscaling_config (min_replicas, max_replicas, target_ongoing_requests, ...), or None.
        num_cpus: Cores that Ray sets aside for each; 0 shares what is there.
        poll_s: How often a replica asks the hub for the current version.
        max_ongoing_requests: Requests that a replica holds at once.
        max_queued_requests: Requests that wait at a caller before it is refused; -1 for no limit.
        health_period_s: How often a replica's reference answers are checked.
        environment: Environment variables of the replicas.
    """

    num_replicas: int = 1
    autoscaling: dict[str, Any] | None = None
    num_cpus: float = 1.0
    poll_s: float = 1.0
    max_ongoing_requests: int = 64
    max_queued_requests: int = -1
    health_period_s: float = 5.0
    environment: dict[str, str] = field(default_factory=lambda: dict(REPLICA_ENVIRONMENT))


class Surrogate:
    """One replica. Started by `start_surrogate_service`; called by `SurrogateClient`.

    It predicts in its event loop, one call after the other: what waits meanwhile could not be answered sooner anyway.

    Args:
        hub: Where to ask for the current version.
        poll_s: How often.
    """

    def __init__(self, hub: SurrogateHub, poll_s: float = 1.0) -> None:
        self._hub = hub
        self._poll_s = poll_s
        self._refused: dict[int, str] = {}
        self._wake = threading.Event()
        self._live = self._read(hub.require_current())
        self._previous: LiveSurrogate | None = None
        self._follower = threading.Thread(target=self._follow, name="surrogate-follower", daemon=True)
        self._follower.start()
        spare_collector()

    async def predict(self, at_frac: FloatArray) -> Reply:
        """Predict a batch with the version that is live when the request starts.

        Args:
            at_frac: Atomic fractions, [B, E].
        """
        live = self._live
        self._check_shape(at_frac, live)
        return live.predict(at_frac)

    async def answer(self, asks: list[Ask]) -> list[Answer]:
        """Answer several requests together, all that name no version with the one that is live now.

        Raises:
            UnknownVersionError: A request names a version that is neither the live one nor the one before.
        """
        live, previous = self._live, self._previous
        chosen = [self._choose(ask, live, previous) for ask in asks]
        if all(one is live for one in chosen):
            return live.answer(asks)
        return [one.answer([ask])[0] for ask, one in zip(asks, chosen, strict=True)]

    def _choose(self, ask: Ask, live: LiveSurrogate, previous: LiveSurrogate | None) -> LiveSurrogate:
        self._check_shape(ask.at_frac, live)
        if ask.version in (None, live.info.version):
            return live
        if previous is not None and ask.version == previous.info.version:
            return previous
        loaded = [one.info.version for one in (live, previous) if one is not None]
        raise UnknownVersionError(f"version {ask.version!r} is not loaded; loaded: {', '.join(loaded)}")

    @staticmethod
    def _check_shape(at_frac: FloatArray, live: LiveSurrogate) -> None:
        if at_frac.ndim != 2 or at_frac.shape[1] != live.n_elements:
            raise ServiceError(f"compositions have shape {at_frac.shape}; expected [B, {live.n_elements}]")

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
        self._live.check()
        if not self._follower.is_alive():
            raise ServiceError("the thread that follows the hub has ended")

    def _read(self, info: VersionInfo) -> LiveSurrogate:
        return LiveSurrogate(info, self._hub.load(info))

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
        live = self._live
        if info is None or info.serial == live.info.serial or info.serial in self._refused:
            return
        try:
            new = self._known(info) or self._read(info)
        except ArtifactError as error:
            log.error("surrogate %s is refused: %s", info.version, error.message)
            self._refused[info.serial] = error.message
            self._hub.rollback(f"refused by a replica: {error.message}", expected_serial=info.serial)
            return
        self._live, self._previous = new, live

    def _known(self, info: VersionInfo) -> LiveSurrogate | None:
        """The version from memory, where it is the live one or the one before; a rollback then loads nothing."""
        for one in (self._live, self._previous):
            if one is not None and one.info.version == info.version and one.info.sha256 == info.sha256:
                return one.renumbered(info)
        return None


def surrogate_app(hub: SurrogateHub, options: ServiceOptions) -> Any:
    """The Serve application of one channel."""
    scaling: dict[str, Any] = {"num_replicas": options.num_replicas}
    if options.autoscaling is not None:
        scaling = {"autoscaling_config": {"initial_replicas": options.num_replicas, **options.autoscaling}}
    deployment: Any = serve.deployment(
        Surrogate,
        name=DEPLOYMENT_NAME,
        ray_actor_options={"num_cpus": options.num_cpus, "runtime_env": {"env_vars": options.environment}},
        max_ongoing_requests=options.max_ongoing_requests,
        max_queued_requests=options.max_queued_requests,
        health_check_period_s=options.health_period_s,
        health_check_timeout_s=30.0,
        graceful_shutdown_timeout_s=5.0,
        max_constructor_retry_count=2,
        logging_config=quiet_serve(),
        **scaling,
    )
    return deployment.bind(hub, options.poll_s)


def start_surrogate_service(
    hub: SurrogateHub,
    options: ServiceOptions | None = None,
    app_name: str = APP_NAME,
) -> None:
    """Start the service of a channel and wait until it answers. Opens no port: callers use `SurrogateClient`.

    Args:
        hub: The hub of the channel; something must be published on it.
        options: How to run it.
        app_name: Name under which workers find it.

    Raises:
        ServiceError: Nothing is published, or no replica came up.
    """
    hub.require_current()
    try:
        serve.start(proxy_location=ProxyLocation.Disabled, logging_config=quiet_serve())
        app = surrogate_app(hub, options or ServiceOptions())
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
