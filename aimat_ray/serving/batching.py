"""Answers requests together: those that arrive while the surrogate is busy share its next call.

A call costs some milliseconds whatever its size, so the batch should be as large as the load makes it and no request
should wait for others on purpose. Therefore nothing waits while a call may be made at once; what arrives meanwhile
is the next batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aimat_ray.errors import OverloadError
from aimat_ray.registry.wire import Answer, Ask

Send = Callable[[list[Ask]], Awaitable[list[Answer]]]


@dataclass(frozen=True)
class BatchLimits:
    """How requests are grouped, and how many may wait.

    Attributes:
        calls: Calls under way at once.
        rows: Largest number of compositions in one call; a larger request is a call of its own.
        waiting_rows: Compositions that may wait; beyond it a request is refused.
    """

    calls: int = 2
    rows: int = 256
    waiting_rows: int = 16_000


@dataclass(slots=True)
class _Waiting:
    ask: Ask
    result: asyncio.Future[Answer]


class Batcher:
    """Groups requests. All calls from one event loop.

    Args:
        send: Makes one call.
        limits: See `BatchLimits`.
    """

    def __init__(self, send: Send, limits: BatchLimits) -> None:
        self._send = send
        self._limits = limits
        self._queue: deque[_Waiting] = deque()
        self._waiting_rows = 0
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def waiting_rows(self) -> int:
        """Compositions that wait now."""
        return self._waiting_rows

    async def answer(self, ask: Ask) -> Answer:
        """Answer one request; if the caller is cancelled while it waits, it is not asked at all.

        Raises:
            OverloadError: Too much waits already.
        """
        if self._waiting_rows + len(ask.at_frac) > self._limits.waiting_rows:
            raise OverloadError(f"{self._waiting_rows} compositions are waiting already; ask again in a moment")
        waiting = _Waiting(ask, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._waiting_rows += len(ask.at_frac)
        self._pump()
        return await waiting.result

    def _pump(self) -> None:
        while self._queue and len(self._calls) < self._limits.calls:
            if batch := self._next_batch():
                call = asyncio.ensure_future(self._call(batch))
                self._calls.add(call)
                call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._pump()

    def _next_batch(self) -> list[_Waiting]:
        """Requests from the front of the queue, without those that were given up."""
        batch: list[_Waiting] = []
        n_rows = 0
        while self._queue:
            rows = len(self._queue[0].ask.at_frac)
            if batch and n_rows + rows > self._limits.rows:
                break
            waiting = self._queue.popleft()
            self._waiting_rows -= rows
            if not waiting.result.done():
                batch.append(waiting)
                n_rows += rows
        return batch

    async def _call(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self._send([waiting.ask for waiting in batch])
        except Exception as error:
            for waiting in batch:
                if not waiting.result.done():
                    waiting.result.set_exception(error)
            return
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.result.done():
                waiting.result.set_result(answer)
