"""The Serve deployment `Designer`: searches in a process of its own, so that predictions never wait for them."""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ray import serve

from aimat_ray.data.sources import load_data
from aimat_ray.errors import AimatError
from aimat_ray.problem import load_problem
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
        self._settings = settings
        self._problem = load_problem(settings.problem)
        self._client = SurrogateClient.following(hub, ahead=False)
        self._store = SurrogateStore(settings.store)
        self._judge: SurrogateBundle | None = None
        self._lock = threading.Lock()

    @cached_property
    def _desk(self) -> DesignDesk:
        """Made at the first question: a service that is never asked for designs holds no data for them."""
        return DesignDesk(self._problem, load_data(self._settings.data, self._problem), self._settings.runs)

    async def design(self, ask: DesignAsk) -> DesignAnswer:
        """Answer a question."""
        return await asyncio.to_thread(self._design, ask)

    def _design(self, ask: DesignAsk) -> DesignAnswer:
        with self._lock:
            try:
                self._client.refresh()
            except AimatError as error:  # the next version can't be loaded: the one in use goes on
                log.warning("the designer keeps its surrogate: %s", error.message)
            if self._judge is None:
                # Only one that a run has fitted already: fitting takes minutes.
                self._judge = fitted(self._store, "judge", self._desk.data, self._problem, BUNDLE_SEED)
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
