"""GET /v1/problem and /v1/versions."""

from __future__ import annotations

from fastapi import APIRouter

from aimat_ray.serving.context import AppContext
from aimat_ray.serving.replies import UNAVAILABLE
from aimat_ray.serving.schemas import ProblemResponse, VersionsResponse, problem_response, versions_response


def information_router(context: AppContext) -> APIRouter:
    """What is designed, and by which surrogate."""
    router = APIRouter(tags=["information"])

    @router.get("/v1/problem")
    async def read_problem() -> ProblemResponse:
        """Elements, properties and bases of the design problem."""
        return problem_response(context.problem)

    @router.get("/v1/versions", responses=UNAVAILABLE)
    async def read_versions() -> VersionsResponse:
        """The current surrogate version and all changes before it."""
        return versions_response(await context.backend.versions())

    return router
