"""What every reply carries: a request id, security headers; and one log line for every failure of the service."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aimat_ray.serving.replies import refuse

log = logging.getLogger(__name__)

_STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# FastAPI's page of the API reference takes its script from a CDN; nothing else here does.
_REFERENCE = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src https://cdn.jsdelivr.net; "
    "img-src data: https://fastapi.tiangolo.com; connect-src 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Watch(Protocol):
    """Is told of every reply."""

    def replied(self, route: str, status: int, seconds: float) -> None:
        """A request to a route (its template, such as /v1/predict) was answered."""


class Envelope:
    """ASGI middleware around everything.

    Args:
        app: What lies behind.
        watch: Told of every reply, or None.
    """

    def __init__(self, app: ASGIApp, watch: Watch | None = None) -> None:
        self._app = app
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        ident = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = ident
        policy = _REFERENCE if scope["path"].startswith("/docs") else _STRICT
        added = [*_HEADERS, (b"x-request-id", ident.encode()), (b"content-security-policy", policy.encode())]
        began, status = time.perf_counter(), 500

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = list(message.get("headers", ()))
                named = {name.lower() for name, _ in own}
                message = {**message, "headers": own + [header for header in added if header[0] not in named]}
            await send(message)

        try:
            await self._app(scope, receive, sealed)
        except Exception:  # a defect of this program: the caller gets an answer without its inner life
            log.exception("request %s failed", ident)
            await refuse(scope, sealed, 500, "internal", "the service failed; its log tells why under this request id")
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            if status >= 500:
                log.warning("request %s to %s: status %d", ident, route, status)
            if self._watch is not None:
                self._watch.replied(route, status, time.perf_counter() - began)
