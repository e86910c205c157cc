"""Requests that arrive while the surrogate is busy share its next call."""

import asyncio

import numpy as np
import pytest

from aimat_ray.errors import OverloadError, ServiceError
from aimat_ray.registry.wire import Answer, Ask, Reply
from aimat_ray.serving.batching import Batcher, BatchLimits


def ask(n_rows=1, mark=0.0):
    return Ask(np.full((n_rows, 2), mark))


class Surrogate:
    """Answers with what it was asked, when it is told to."""

    def __init__(self):
        self.calls = []
        self.free = asyncio.Event()

    async def __call__(self, asks):
        self.calls.append([len(one.at_frac) for one in asks])
        await self.free.wait()
        empty = np.zeros((0, 2), np.uint8)
        return [Answer(Reply("v", 1, one.at_frac, empty), [], np.zeros((0, 0))) for one in asks]


async def started(batcher, asks):
    tasks = [asyncio.ensure_future(batcher.answer(one)) for one in asks]
    await asyncio.sleep(0.01)
    return tasks


def test_nothing_waits_while_a_call_may_be_made_and_the_rest_shares_the_next():
    async def scenario():
        surrogate = Surrogate()
        batcher = Batcher(surrogate, BatchLimits(calls=2, rows=100, waiting_rows=1000))
        tasks = await started(batcher, [ask(mark=i) for i in range(7)])
        assert surrogate.calls == [[1], [1]]
        assert batcher.waiting_rows == 5
        surrogate.free.set()
        answers = await asyncio.gather(*tasks)
        assert surrogate.calls == [[1], [1], [1] * 5]
        assert [answer.reply.values[0, 0] for answer in answers] == list(range(7))
        assert batcher.waiting_rows == 0

    asyncio.run(scenario())


def test_a_call_holds_at_most_its_rows_and_a_larger_request_goes_alone():
    async def scenario():
        surrogate = Surrogate()
        batcher = Batcher(surrogate, BatchLimits(calls=1, rows=10, waiting_rows=1000))
        tasks = await started(batcher, [ask(n) for n in (1, 4, 6, 1, 50, 3)])
        surrogate.free.set()
        await asyncio.gather(*tasks)
        assert surrogate.calls == [[1], [4, 6], [1], [50], [3]]

    asyncio.run(scenario())


def test_beyond_the_limit_a_request_is_refused_at_once():
    async def scenario():
        surrogate = Surrogate()
        batcher = Batcher(surrogate, BatchLimits(calls=1, rows=10, waiting_rows=8))
        tasks = await started(batcher, [ask(), ask(8)])
        with pytest.raises(OverloadError, match="8 compositions are waiting"):
            await batcher.answer(ask())
        surrogate.free.set()
        await asyncio.gather(*tasks)
        assert len(await batcher.answer(ask()) or ()) == 3

    asyncio.run(scenario())


def test_a_request_that_was_given_up_is_not_asked():
    async def scenario():
        surrogate = Surrogate()
        batcher = Batcher(surrogate, BatchLimits(calls=1, rows=10, waiting_rows=100))
        tasks = await started(batcher, [ask(1), ask(2), ask(3)])
        tasks[1].cancel()
        await asyncio.sleep(0)
        surrogate.free.set()
        await asyncio.gather(tasks[0], tasks[2])
        assert surrogate.calls == [[1], [3]]
        assert batcher.waiting_rows == 0

    asyncio.run(scenario())


def test_a_failing_call_fails_its_own_requests_only():
    async def scenario():
        calls = []

        async def send(asks):
            calls.append(len(asks))
            if len(calls) == 1:
                raise ServiceError("gone")
            return [Answer(Reply("v", 1, one.at_frac, one.at_frac), [], one.at_frac) for one in asks]

        batcher = Batcher(send, BatchLimits(calls=1))
        tasks = await started(batcher, [ask(), ask()])
        first, second = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, ServiceError)
        assert second.reply.version == "v"

    asyncio.run(scenario())
