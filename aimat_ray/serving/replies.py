"""Request ids, and how errors are worded: every answer that is not a success has one form."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope, Send

from aimat_ray.errors import BadInputError, OverloadError, ServiceError, UnknownVersionError
from aimat_ray.serving.schemas import ErrorDetail, ErrorResponse, ProtocolError

RETRY_AFTER_S = "1"
_STATUS_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
# Answers that every route may give, because of what lies before it.
COMMON: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorResponse, "description": "An API key is needed, or the one sent is not valid."},
    403: {"model": ErrorResponse, "description": "This caller may not do this."},
    429: {"model": ErrorResponse, "description": "More requests than this caller may make; see Retry-After."},
    503: {"model": ErrorResponse, "description": "Not available now, or overloaded; see Retry-After."},
    504: {"model": ErrorResponse, "description": "Not answered in time."},
}

# For `responses=` of routes.
BAD_INPUT: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body is not JSON."},
    413: {"model": ErrorResponse, "description": "The body is too large."},
    422: {"model": ErrorResponse, "description": "The request can't be used; the message says why."},
}
UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorResponse, "description": "The surrogate is not available now; see Retry-After."}
}

log = logging.getLogger(__name__)


def request_id(request: Request) -> str:
    """The identity of a request: made here, never taken from the caller."""
    known: str | None = getattr(request.state, "request_id", None)
    if known is None:
        known = request.state.request_id = uuid.uuid4().hex
    return known


async def refuse(
    scope: Scope, send: Send, status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> None:
    """Answer a request before it reached the application, in the application's form."""
    request = Request(scope)
    response = failure(request, status, code, message)
    response.headers.update(headers or {})
    await response(scope, request.receive, send)


def failure(request: Request, status: int, code: str, message: str, field: str | None = None) -> JSONResponse:
    """An answer that says what was wrong."""
    body = ErrorResponse(error=ErrorDetail(code=code, message=message, field=field), request_id=request_id(request))
    document = body.model_dump()
    if request.scope["path"].startswith("/v2"):  # the Open Inference Protocol words errors as one string
        document = ProtocolError(error=message).model_dump()
    headers = {"Retry-After": RETRY_AFTER_S} if status == 503 else None
    return JSONResponse(document, status_code=status, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Word this package's errors, FastAPI's and Starlette's."""

    @app.exception_handler(BadInputError)
    async def bad_input(request: Request, error: BadInputError) -> Response:
        return failure(request, 422, "bad_input", error.message)

    @app.exception_handler(UnknownVersionError)
    async def unknown_version(request: Request, error: UnknownVersionError) -> Response:
        return failure(request, 404, "unknown_version", error.message)

    @app.exception_handler(OverloadError)
    async def overloaded(request: Request, error: OverloadError) -> Response:
        return failure(request, 503, "overloaded", error.message)

    @app.exception_handler(ServiceError)
    async def unavailable(request: Request, error: ServiceError) -> Response:
        log.warning("request %s: %s", request_id(request), error.message)
        return failure(request, 503, "unavailable", error.message)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "json_invalid":
            return failure(request, 400, "bad_request", "the body is not valid JSON", "body")
        # The input itself is not repeated: it may be huge, hostile, or not representable in JSON (NaN).
        return failure(request, 422, "bad_input", f"{field}: {first['msg'].lower()}", field)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        code = _STATUS_CODES.get(error.status_code, "http_error")
        return failure(request, error.status_code, code, str(error.detail))
