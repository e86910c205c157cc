"""The HTTP service on Ray Serve: an ingress deployment in front of the surrogate's own application."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation

from aimat_ray.errors import ServiceError
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.deployment import (
    APP_NAME,
    ServiceOptions,
    quiet_serve,
    start_surrogate_service,
)
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.store import Loader, load_bundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import ServeBackend
from aimat_ray.serving.context import AppContext

HTTP_APP_NAME = "aimat-http"
HTTP_DEPLOYMENT_NAME = "Http"
REQUEST_TIMEOUT_S = 30.0


class HttpIngress:
    """Holds what the application is built from, in each HTTP replica.

    Args:
        problem: The design problem.
        hub: The hub of the channel that is served.
        app_name: Serve application of the surrogate.
    """

    def __init__(self, problem: DesignProblem, hub: SurrogateHub, app_name: str) -> None:
        self._context = AppContext(problem, ServeBackend(app_name, hub))

    def __serve_build_asgi_app__(self) -> Any:
        """Serve's hook: the application of this replica."""
        return make_app(self._context)


def start_http_service(
    hub: SurrogateHub,
    problem: DesignProblem,
    host: str = "127.0.0.1",
    port: int = 8000,
    options: ServiceOptions | None = None,
    app_name: str = APP_NAME,
    load: Loader = load_bundle,
) -> None:
    """Start the surrogate's deployment and the HTTP application in front of it.

    Args:
        hub: The hub of the channel to serve.
        problem: The design problem.
        host: Address to listen on.
        port: Port to listen on.
        options: How to run the surrogate's deployment.
        app_name: Name of the surrogate's Serve application.
        load: Stand-in for `SurrogateBundle.load`.

    Raises:
        ServiceError: The service did not come up.
    """
    http = HTTPOptions(host=host, port=port, request_timeout_s=REQUEST_TIMEOUT_S)
    try:
        serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=http, logging_config=quiet_serve())
    except Exception as error:
        raise ServiceError(f"the HTTP service did not start on {host}:{port}: {error}") from error
    start_surrogate_service(hub, options, app_name, load)
    ingress: Any = serve.ingress()(HttpIngress)
    deployment: Any = serve.deployment(
        ingress,
        name=HTTP_DEPLOYMENT_NAME,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=256,
        logging_config=quiet_serve(),
    )
    try:
        serve.run(
            deployment.bind(problem, hub, app_name),
            name=HTTP_APP_NAME,
            route_prefix="/",
            logging_config=quiet_serve(),
        )
    except Exception as error:
        raise ServiceError(f"the HTTP application did not start: {error}") from error
