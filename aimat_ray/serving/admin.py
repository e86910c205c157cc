"""POST /v1/admin/promote and /v1/admin/rollback: which version answers. Callers need a key with scope `admin`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from aimat_ray.serving.context import AppContext
from aimat_ray.serving.replies import BAD_INPUT, UNAVAILABLE
from aimat_ray.serving.schemas import VersionsResponse, versions_response
from aimat_ray.serving.wire import Wire

Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", examples=["default-0a1b2c3d4e5f"])]
Note = Annotated[str, Field(max_length=500, description="Why; kept in the history.", examples=["refitted in May"])]


class PromoteRequest(Wire):
    """Which stored version shall answer."""

    version: Version
    note: Note = ""


class RollbackRequest(Wire):
    """Why the version before shall answer again."""

    note: Note = ""


def admin_router(context: AppContext) -> APIRouter:
    """Changes of the version."""
    router = APIRouter(prefix="/v1/admin", tags=["admin"], responses={**BAD_INPUT, **UNAVAILABLE})

    @router.post("/promote")
    async def promote(body: PromoteRequest) -> VersionsResponse:
        """Make a stored version current, after it repeated its reference answers beside the requests."""
        return versions_response(await context.backend.publish(body.version, body.note))

    @router.post("/rollback")
    async def rollback(body: RollbackRequest) -> VersionsResponse:
        """Make the version before the current one current again."""
        return versions_response(await context.backend.rollback(body.note))

    return router
