"""GET /health/live and /health/ready."""

from __future__ import annotations

from fastapi import APIRouter

from aimat_ray.errors import AimatError, ServiceError
from aimat_ray.registry.canary import canary_rows, check_finite
from aimat_ray.registry.wire import unpack
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.replies import UNAVAILABLE
from aimat_ray.serving.schemas import Health


def health_router(context: AppContext) -> APIRouter:
    """Liveness and readiness."""
    router = APIRouter(tags=["health"])
    rows = canary_rows(len(context.problem.elements))[:2]

    @router.get("/health/live")
    async def live() -> Health:
        """The HTTP process answers."""
        return Health(status="live")

    @router.get("/health/ready", responses=UNAVAILABLE)
    async def ready() -> Health:
        """The surrogate answers a real prediction."""
        answer = await context.backend.answer(rows, 0)
        try:
            check_finite(unpack(answer.reply, len(rows)), f"surrogate {answer.reply.version}")
        except AimatError as error:
            raise ServiceError(error.message) from error
        return Health(status="ready", surrogate_version=answer.reply.version)

    return router
