"""Limits that hold before a request is read, and while it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aimat_ray.serving.replies import refuse
from aimat_ray.serving.settings import LimitSettings

_REMEMBERED_CALLERS = 10_000
_LATER = {"Retry-After": "1"}
_LINGER_S = 2.0


class RateLimiter:
    """A bucket of requests for every caller: `rate_per_s` flow in, at most `burst` stay.

    Args:
        rate_per_s: Requests a second on average.
        burst: Requests at once.
    """

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate = rate_per_s
        self._burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now_s: float | None = None) -> bool:
        """Count one request of a caller; whether it may be made."""
        now = time.monotonic() if now_s is None else now_s
        left, at = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        allowed = left >= 1.0
        self._buckets[caller] = (left - 1.0 if allowed else left, now)
        while len(self._buckets) > _REMEMBERED_CALLERS:  # the one that asked longest ago has a full bucket again
            self._buckets.popitem(last=False)
        return allowed


class Limits:
    """ASGI middleware: requests held at once, size of a body (also one that does not tell its length), time.

    Args:
        app: What lies behind.
        settings: The limits.
    """

    def __init__(self, app: ASGIApp, settings: LimitSettings) -> None:
        self._app = app
        self._settings = settings
        self._ongoing = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting."""
        if self._ongoing >= self._settings.ongoing_requests:
            await refuse(scope, send, 503, "overloaded", "too many requests at once; ask again in a moment", _LATER)
        elif self._announced(scope) > self._settings.body_bytes:
            await self._while_counted(self._refuse_body(scope, receive, send))
        else:
            await self._while_counted(self._timed(scope, self._counted(receive), send))

    async def _while_counted(self, answer: Awaitable[None]) -> None:
        self._ongoing += 1
        try:
            await answer
        finally:
            self._ongoing -= 1

    async def _refuse_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, then throw away for a moment what is still being sent.

        Closing at once would reset the connection, and the caller would lose the answer he has not read yet.
        """

        async def unfinished(message: Message) -> None:
            await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

        await refuse(scope, unfinished, 413, "too_large", self._too_large(), {"Connection": "close"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                await self._app(scope, receive, watched)
        except TimeoutError:
            if started:
                raise
            limit = self._settings.request_timeout_s
            await refuse(scope, send, 504, "timeout", f"the request was not answered within {limit:g} s", _LATER)

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._settings.body_bytes:
                raise HTTPException(413, self._too_large())  # worded by the app's error handler
            return message

        return counted

    @staticmethod
    def _announced(scope: Scope) -> float:
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        return max((int(value) if value.isdigit() else math.inf for value in lengths), default=0)

    def _too_large(self) -> str:
        return f"the body is larger than {self._settings.body_bytes} bytes; send fewer alloys at once"
