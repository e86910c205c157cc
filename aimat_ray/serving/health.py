"""GET /health/live and /health/ready."""

from __future__ import annotations

from fastapi import APIRouter

from aimat_ray.errors import ArtifactError, ServiceError
from aimat_ray.registry.canary import canary_rows, check_finite
from aimat_ray.registry.wire import Answer, unpack
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.replies import UNAVAILABLE
from aimat_ray.serving.schemas import Health

_CANARY_ROWS = 2


def health_router(context: AppContext) -> APIRouter:
    """Liveness and readiness."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> Health:
        """The HTTP process answers."""
        return Health(status="live")

    @router.get("/health/ready", responses=UNAVAILABLE)
    async def ready() -> Health:
        """The surrogate answers a real prediction."""
        answer = await check_ready(context)
        return Health(status="ready", surrogate_version=answer.reply.version)

    return router


async def check_ready(context: AppContext, version: str | None = None) -> Answer:
    """Ask for a real prediction and look at it.

    Args:
        context: What the application is built from.
        version: Version that must answer; None for the current one.

    Raises:
        UnknownVersionError: That version is not loaded.
        ServiceError: No answer, or one that is not finite.
    """
    rows = canary_rows(len(context.problem.elements))[:_CANARY_ROWS]
    answer = await context.backend.answer(rows, 0, version)
    try:
        check_finite(unpack(answer.reply, len(rows)), f"surrogate {answer.reply.version}")
    except ArtifactError as error:
        raise ServiceError(error.message) from error
    return answer
