"""The HTTP application on a real port of loopback, over a small surrogate, without Ray."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aimat_ray.serving.listener import Listener


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an application while the body runs; its address."""
    port = free_port()
    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        listener = Listener(app, "127.0.0.1", port)
        await listener.start()
        ready.set()
        while not ended.is_set():
            await asyncio.sleep(0.05)
        await listener.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        yield f"http://127.0.0.1:{port}"
    finally:
        ended.set()
        thread.join()
