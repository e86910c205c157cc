"""The HTTP application: reads requests, asks a backend, words the answers. Knows neither Ray nor models."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from aimat_ray import __version__
from aimat_ray.data.composition import format_formula, from_mapping, parse_formula, to_at_pct
from aimat_ray.errors import AimatError, BadInputError, CompositionError, ServiceError
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.canary import canary_rows, check_finite
from aimat_ray.registry.wire import Answer, unpack
from aimat_ray.serving.backend import Backend
from aimat_ray.serving.limits import MAX_BODY_BYTES, BodyLimit
from aimat_ray.serving.schemas import (
    ErrorDetail,
    ErrorResponse,
    Health,
    PredictRequest,
    PredictResponse,
    ProblemResponse,
    VersionsResponse,
    problem_response,
    response_model,
)
from aimat_ray.surrogate.base import DomainReason, FloatArray

RETRY_AFTER_S = "1"
_STATUS_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body is not JSON."},
    413: {"model": ErrorResponse, "description": f"The body is larger than {MAX_BODY_BYTES} bytes."},
    422: {"model": ErrorResponse, "description": "The request can't be used; the message says why."},
}
_UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorResponse, "description": "The surrogate is not available now; see Retry-After."}
}

log = logging.getLogger(__name__)


def make_app(problem: DesignProblem, backend: Backend) -> FastAPI:
    """Build the application.

    Args:
        problem: The design problem.
        backend: Where answers come from.
    """
    app = FastAPI(title="aimat-ray", version=__version__, summary=problem.title, redoc_url=None)
    app.add_middleware(BodyLimit)
    _add_error_handlers(app)
    _add_prediction(app, problem, backend)
    _add_information(app, problem, backend)
    _add_health(app, problem, backend)
    return app


def _add_prediction(app: FastAPI, problem: DesignProblem, backend: Backend) -> None:
    model = response_model(problem)

    @app.post("/v1/predict", response_model=model, responses={**_ERRORS, **_UNAVAILABLE}, tags=["predict"])
    async def predict(body: PredictRequest, request: Request) -> PredictResponse:
        """Predict one or many alloys: properties with 90 % intervals, class probability, domain, nearest alloys."""
        at_frac = read_alloys(body.items(), problem)
        answer = await backend.answer(at_frac, body.nearest)
        document = {
            "request_id": request_id(request),
            "surrogate_version": answer.reply.version,
            "predictions": describe(answer, at_frac, problem),
        }
        return model.model_validate(document)


def _add_information(app: FastAPI, problem: DesignProblem, backend: Backend) -> None:
    @app.get("/v1/problem", tags=["information"])
    async def read_problem() -> ProblemResponse:
        """Elements, properties and bases of the design problem."""
        return problem_response(problem)

    @app.get("/v1/versions", responses=_UNAVAILABLE, tags=["information"])
    async def read_versions() -> VersionsResponse:
        """The current surrogate version and all changes before it."""
        found = await backend.versions()
        events = [event.model_dump(exclude={"request"}) for event in found.history]
        return VersionsResponse.model_validate(
            {"channel": found.channel, "current": found.current, "serial": found.serial, "history": events}
        )


def _add_health(app: FastAPI, problem: DesignProblem, backend: Backend) -> None:
    rows = canary_rows(len(problem.elements))[:2]

    @app.get("/health/live", tags=["health"])
    async def live() -> Health:
        """The HTTP process answers."""
        return Health(status="live")

    @app.get("/health/ready", responses=_UNAVAILABLE, tags=["health"])
    async def ready() -> Health:
        """The surrogate answers a real prediction."""
        answer = await backend.answer(rows, 0)
        try:
            check_finite(unpack(answer.reply, len(rows)), f"surrogate {answer.reply.version}")
        except AimatError as error:
            raise ServiceError(error.message) from error
        return Health(status="ready", surrogate_version=answer.reply.version)


def read_alloys(items: list[str | dict[str, float]], problem: DesignProblem) -> FloatArray:
    """Compositions of the alloys of a request, [B, E].

    Raises:
        CompositionError: Names the position of the alloy that can't be read.
    """
    rows = np.empty((len(items), len(problem.elements)))
    for i, item in enumerate(items):
        try:
            read = parse_formula if isinstance(item, str) else from_mapping
            rows[i] = read(item, problem.elements)  # type: ignore[arg-type]
        except CompositionError as error:
            raise CompositionError(f"alloys[{i}]: {error.message}") from error
    return rows


def describe(answer: Answer, at_frac: FloatArray, problem: DesignProblem) -> list[dict[str, Any]]:
    """The answer in words and numbers, one document per alloy."""
    prediction = unpack(answer.reply, len(at_frac))
    at_pct = to_at_pct(at_frac)
    documents = []
    for i, composition in enumerate(at_frac):
        properties = {
            spec.key: {
                "value": float(prediction.mean[i, p]),
                "lower": float(prediction.lower[i, p]),
                "upper": float(prediction.upper[i, p]),
                "unit": spec.unit,
            }
            for p, spec in enumerate(problem.properties)
        }
        near = zip(answer.nearest_at_frac[i], answer.nearest_distance[i], strict=True)
        documents.append(
            {
                "composition": format_formula(composition, problem.elements),
                "at_pct": {problem.elements[e]: float(at_pct[i, e]) for e in np.flatnonzero(composition)},
                problem.feasibility.key: float(prediction.p_feasible[i]),
                "properties": properties,
                "in_domain": bool(prediction.in_domain[i]),
                "domain_reason": DomainReason(int(prediction.reason[i])).name.lower(),
                "nearest": [
                    {"formula": format_formula(row, problem.elements), "distance_at_pct": float(distance)}
                    for row, distance in near
                ],
            }
        )
    return documents


# ---- errors


def request_id(request: Request) -> str:
    """The identity of a request: made here, never taken from the caller."""
    known: str | None = getattr(request.state, "request_id", None)
    if known is None:
        known = request.state.request_id = uuid.uuid4().hex
    return known


def _failure(request: Request, status: int, code: str, message: str, field: str | None = None) -> JSONResponse:
    body = ErrorResponse(error=ErrorDetail(code=code, message=message, field=field), request_id=request_id(request))
    headers = {"Retry-After": RETRY_AFTER_S} if status == 503 else None
    return JSONResponse(body.model_dump(), status_code=status, headers=headers)


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(BadInputError)
    async def bad_input(request: Request, error: BadInputError) -> Response:
        return _failure(request, 422, "bad_input", error.message)

    @app.exception_handler(ServiceError)
    async def unavailable(request: Request, error: ServiceError) -> Response:
        log.warning("request %s: %s", request_id(request), error.message)
        return _failure(request, 503, "unavailable", error.message)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "json_invalid":
            return _failure(request, 400, "bad_request", "the body is not valid JSON", "body")
        # The input itself is not repeated: it may be huge, hostile, or not representable in JSON (NaN).
        return _failure(request, 422, "bad_input", f"{field}: {first['msg'].lower()}", field)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        code = _STATUS_CODES.get(error.status_code, "http_error")
        return _failure(request, error.status_code, code, str(error.detail))
