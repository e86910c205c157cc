"""The HTTP port, opened by the replica itself on exactly the address that was asked for (serving-design.md).

Several replicas of one machine share the port; the kernel spreads connections over them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from aimat_ray.errors import ConfigError

_BACKLOG = 512
_KEEP_ALIVE_S = 30
_GRACE_S = 5
_START_TIMEOUT_S = 30.0


class _Server(uvicorn.Server):
    """A server that leaves the process's signals to Ray."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int, shared: bool = True) -> socket.socket:
    """A bound socket.

    Args:
        host: IP address or name.
        port: Port.
        shared: Whether other processes of this user may bind it too.

    Raises:
        ConfigError: The address is not this machine's, or the port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"can't listen on {host}: {error.strerror or error}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise ConfigError(f"can't listen on {host} port {port}: {error.strerror or error}; choose another") from error
    return sock


class Listener:
    """Serves an ASGI application from the running event loop.

    Args:
        app: The application.
        host: IP address or name to listen on.
        port: Port to listen on.
    """

    def __init__(self, app: Any, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is who connects
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = _Server(config)
        self._host, self._port = host, port
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the port and begin to answer.

        Raises:
            ConfigError: The port can't be opened.
        """
        sock = bind(self._host, self._port)
        self._task = asyncio.ensure_future(self._server.serve(sockets=[sock]))
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not self._server.started:
                if self._task.done():
                    await self._task
                await asyncio.sleep(0.01)

    def alive(self) -> bool:
        """Whether it answers."""
        return self._task is not None and not self._task.done() and self._server.started

    async def stop(self) -> None:
        """Finish the requests under way and close the port."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
