"""The property endpoint on Ray Serve: deployments `Http`, `Surrogate` and `Designer` in one application.

`serve deploy serve/surrogate.yaml` calls `build` on the cluster; `aimat serve` does the same on this machine.
"""

from __future__ import annotations

import logging
from typing import Any

from ray import serve
from ray.serve.config import ProxyLocation

from aimat_ray.errors import AimatError, ArtifactError, ServiceError
from aimat_ray.problem import load_problem
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.deployment import (
    APP_NAME,
    REPLICA_ENVIRONMENT,
    ServiceOptions,
    quiet_serve,
    surrogate_app,
)
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.runtime import spare_collector
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.serving.access import check_access
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import ServeBackend
from aimat_ray.serving.batching import BatchLimits
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.design_deployment import designer_app
from aimat_ray.serving.designer import ServeDesigner
from aimat_ray.serving.listener import Listener
from aimat_ray.serving.metrics import RayWatch
from aimat_ray.serving.settings import ServingSettings, read_serving_settings

HTTP_DEPLOYMENT_NAME = "Http"

log = logging.getLogger(__name__)


class Http:
    """One HTTP process. Serve starts, checks and replaces it; the port is its own.

    Args:
        settings: What the service was told.
        hub: The hub of the channel that is served.
        app_name: Serve application that the deployments belong to.
        surrogate: Handle of the `Surrogate` deployment.
        designer: Handle of the `Designer` deployment.
    """

    async def __init__(  # type: ignore[misc]
        self, settings: ServingSettings, hub: SurrogateHub, app_name: str, surrogate: Any, designer: Any
    ) -> None:
        limits = settings.limits
        grouping = BatchLimits(limits.batch_calls, limits.batch_rows, limits.waiting_rows)
        watch = RayWatch()
        backend = ServeBackend(surrogate, app_name, hub, grouping, limits.predict_timeout_s, watch)
        problem = load_problem(settings.problem)
        context = AppContext(problem, backend, settings, watch=watch, designer=ServeDesigner(designer))
        self._listener = Listener(make_app(context), settings.http.host, settings.http.port)
        spare_collector()
        await self._listener.start()

    def check_health(self) -> None:
        """Serve's hook: a process that does not listen any more is replaced."""
        if not self._listener.alive():
            raise ServiceError("the HTTP server has ended")

    async def __del__(self) -> None:
        """Serve's hook at the end of a replica: requests under way are finished first."""
        await self._listener.stop()


def application(hub: SurrogateHub, settings: ServingSettings, app_name: str = APP_NAME) -> Any:
    """The Serve application of one channel.

    Args:
        hub: The hub of the channel; something must be published on it.
        settings: What the service is told.
        app_name: Name that the application will run under.

    Raises:
        ConfigError: It would listen for other machines without an API key to check.
    """
    check_access(settings)
    surrogate = surrogate_app(hub, ServiceOptions(**dict(settings.surrogate)))
    deployment: Any = serve.deployment(
        Http,
        name=HTTP_DEPLOYMENT_NAME,
        num_replicas=settings.http.num_replicas,
        ray_actor_options={"num_cpus": settings.http.num_cpus, "runtime_env": {"env_vars": REPLICA_ENVIRONMENT}},
        health_check_period_s=2.0,
        max_constructor_retry_count=2,
        logging_config=quiet_serve(),
    )
    return deployment.bind(settings, hub, app_name, surrogate, designer_app(hub, settings))


def build(args: dict[str, Any]) -> Any:
    """The application from the `args` of `serve/surrogate.yaml`. Fits a surrogate first where none is published.

    Raises:
        ConfigError: An argument is unknown or does not fit.
    """
    settings = read_serving_settings(args)
    check_access(settings)
    return application(published_hub(settings), settings)


def published_hub(settings: ServingSettings, promote: bool = False, progress: Any = None) -> SurrogateHub:
    """The running hub of the channel that the settings name, with something published that this program can read.

    Args:
        settings: What the service is told.
        promote: Publish the surrogate of these settings even if another version is current.
        progress: Told how a fit goes on.
    """
    from aimat_ray.data.sources import load_data

    problem = load_problem(settings.problem)
    data = load_data(settings.data, problem)
    store = SurrogateStore(settings.store)
    hub = SurrogateHub.start(Channel(settings.bundle, problem.name, data.checksum), store.root)
    if promote or not _readable(hub):
        bundle = store.get_or_fit(settings.bundle, data, problem, settings.seed, progress=progress)
        hub.publish(bundle.version, note="published to be served", check=False)  # it was loaded a moment ago
    return hub


def _readable(hub: SurrogateHub) -> bool:
    """Whether there is a current version, undamaged and in a format that is still read."""
    current = hub.current()
    if current is None:
        return False
    try:
        hub.load(current)
    except ArtifactError as error:
        log.warning("the version published last can't be served: %s; another one takes its place", error.message)
        return False
    return True


def start_http_service(hub: SurrogateHub, settings: ServingSettings, app_name: str = APP_NAME) -> None:
    """Start the application and wait until it answers.

    Args:
        hub: The hub of the channel to serve; something must be published on it.
        settings: What the service is told.
        app_name: Name of the Serve application.

    Raises:
        ServiceError: The service did not come up.
    """
    hub.require_current()
    try:
        serve.start(proxy_location=ProxyLocation.Disabled, logging_config=quiet_serve())
        app = application(hub, settings, app_name)
        serve.run(app, name=app_name, route_prefix=None, logging_config=quiet_serve())
    except AimatError:
        raise
    except Exception as error:
        host, port = settings.http.host, settings.http.port
        raise ServiceError(f"the HTTP service did not start on {host} port {port}: {error}") from error
