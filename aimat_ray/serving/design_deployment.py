"""The Serve deployment `Designer`: searches in a process of its own, so that predictions never wait for them."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

from ray import serve

from aimat_ray.data.sources import load_data
from aimat_ray.errors import AimatError, DataError, ServiceError
from aimat_ray.problem import load_problem
from aimat_ray.registry.canary import canary_rows
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.deployment import REPLICA_ENVIRONMENT, quiet_serve
from aimat_ray.registry.fits import fitted
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.prepare import BUNDLE_SEED
from aimat_ray.serving.designer import DesignAnswer, DesignAsk, DesignDesk
from aimat_ray.serving.settings import ServingSettings

if TYPE_CHECKING:
    from aimat_ray.surrogate.bundle import SurrogateBundle

DESIGNER_NAME = "Designer"
_AT_ONCE = 1
_WAITING = 4  # further questions wait; the next one is told to come back later

log = logging.getLogger(__name__)


class DesignerReplica:
    """One replica. It follows the hub between questions, never within one.

    Args:
        hub: The hub of the channel that is served.
        settings: What the service was told.
    """

    def __init__(self, hub: SurrogateHub, settings: ServingSettings) -> None:
        problem = load_problem(settings.problem)
        try:
            data = load_data(settings.data, problem)
        except DataError as error:  # not on this node, say: predictions need no data, so the service goes on
            log.error("no designs: %s", error.message)
            self._desk: DesignDesk | None = None
            return
        self._desk = DesignDesk(problem, data, settings.runs)
        self._client = SurrogateClient.following(hub, ahead=False)
        self._store = SurrogateStore(settings.store)
        self._judge: SurrogateBundle | None = None
        self._lock = threading.Lock()
        # Everything that takes seconds is loaded now: the first question is bounded in time like all others.
        self._client.predict(canary_rows(len(problem.elements)))
        self._find_judge(self._desk)
        self._desk.load_policies()

    def _find_judge(self, desk: DesignDesk) -> None:
        """Take the judge if a run has fitted it: a service does not begin a fit of minutes on a question."""
        if self._judge is None:
            self._judge = fitted(self._store, "judge", desk.data, desk.problem, BUNDLE_SEED)

    async def design(self, ask: DesignAsk) -> DesignAnswer:
        """Answer a question."""
        return await asyncio.to_thread(self._design, ask)

    def _design(self, ask: DesignAsk) -> DesignAnswer:
        if self._desk is None:
            raise ServiceError("this service has no alloy data where it designs; its log tells why")
        with self._lock:
            try:
                self._client.refresh()
            except AimatError as error:  # the next version can't be loaded: the one in use goes on
                log.warning("the designer keeps its surrogate: %s", error.message)
            self._find_judge(self._desk)
            return self._desk.design(ask, self._client, self._judge)


def designer_app(hub: SurrogateHub, settings: ServingSettings) -> Any:
    """The deployment with its arguments, to be bound into an application."""
    deployment: Any = serve.deployment(
        DesignerReplica,
        name=DESIGNER_NAME,
        ray_actor_options={"num_cpus": 0, "runtime_env": {"env_vars": REPLICA_ENVIRONMENT}},
        max_ongoing_requests=_AT_ONCE,
        max_queued_requests=_WAITING,
        graceful_shutdown_timeout_s=5.0,
        logging_config=quiet_serve(),
    )
    return deployment.bind(hub, settings)
