"""Limits that hold before a request is read."""

from __future__ import annotations

import json
import uuid

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2_000_000


class BodyLimit:
    """ASGI middleware: refuses a body above the limit, also one that does not tell its length."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its bytes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._announced(scope) > self._max_bytes:
            await self._refuse(send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, self._message())  # worded by the app's error handler
            return message

        await self._app(scope, counted, send)

    @staticmethod
    def _announced(scope: Scope) -> int:
        lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
        return int(lengths[0]) if lengths and lengths[0].isdigit() else 0

    def _message(self) -> str:
        return f"the body is larger than {self._max_bytes} bytes; send fewer alloys at once"

    async def _refuse(self, send: Send) -> None:
        document = {
            "error": {
                "code": "too_large",
                "message": self._message(),
                "field": None,
            },
            "request_id": uuid.uuid4().hex,
        }
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})
