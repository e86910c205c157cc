"""The HTTP application: its parts, behind limits and with one form of error. Knows neither Ray nor models."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from aimat_ray import __version__
from aimat_ray.serving.access import Access
from aimat_ray.serving.admin import admin_router
from aimat_ray.serving.bases import bases_router
from aimat_ray.serving.candidates import candidates_router
from aimat_ray.serving.context import AppContext, RouterFactory
from aimat_ray.serving.design import design_router
from aimat_ray.serving.envelope import Envelope
from aimat_ray.serving.health import health_router
from aimat_ray.serving.information import information_router
from aimat_ray.serving.limits import Limits
from aimat_ray.serving.open_inference import open_inference_router
from aimat_ray.serving.page_files import page_router
from aimat_ray.serving.predict import predict_router
from aimat_ray.serving.replies import COMMON, add_error_handlers

ROUTERS: tuple[RouterFactory, ...] = (
    predict_router,
    information_router,
    bases_router,
    candidates_router,
    design_router,
    page_router,
    health_router,
    admin_router,
    open_inference_router,
)


def make_app(context: AppContext, routers: Sequence[RouterFactory] = ROUTERS) -> FastAPI:
    """Build the application.

    Args:
        context: What the parts are built from.
        routers: The parts.
    """
    app = FastAPI(title="aimat-ray", version=__version__, summary=context.problem.title, redoc_url=None)
    # The last one added is the outermost: envelope, access, limits, routes.
    app.add_middleware(Limits, settings=context.settings.limits)
    app.add_middleware(Access, settings=context.settings)
    app.add_middleware(Envelope, watch=context.watch)
    add_error_handlers(app)
    for make_router in routers:
        app.include_router(make_router(context), responses=COMMON)
    return app
