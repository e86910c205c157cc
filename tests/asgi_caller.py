"""Synchronous calls into an ASGI application, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx


class Caller:
    """Calls an application; an exception in it becomes a 500, as a server would answer."""

    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def __call__(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://localhost") as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(call())

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        return self("GET", path, params=parameters)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self("POST", path, json=body)
