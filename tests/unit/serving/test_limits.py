"""What one HTTP process takes on: requests held at once, time, size; refused with the way out."""

import asyncio
import http.client
import json

import httpx
import pytest

from aimat_ray.errors import OverloadError
from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.listener import Listener, bind
from aimat_ray.serving.settings import read_serving_settings

BODY = {"alloys": "Zr50Cu50"}


class Held(LocalBackend):
    """Answers when it is told to."""

    def __init__(self):
        super().__init__(LinearBundle.random(1))
        self.free = asyncio.Event()

    async def answer(self, at_frac, nearest, version=None):
        await self.free.wait()
        return await super().answer(at_frac, nearest, version)


def client(backend, tmp_path, **limits):
    settings = read_serving_settings({"store": str(tmp_path), "limits": limits})
    transport = httpx.ASGITransport(make_app(AppContext(load_problem(), backend, settings)))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60)


def test_beyond_the_requests_held_at_once_a_caller_is_told_to_come_back(tmp_path):
    async def scenario():
        backend = Held()
        async with client(backend, tmp_path, ongoing_requests=2) as http:
            held = [asyncio.ensure_future(http.post("/v1/predict", json=BODY)) for _ in range(2)]
            await asyncio.sleep(0.1)
            refused = await http.post("/v1/predict", json=BODY)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["error"]["code"] == "overloaded"
            backend.free.set()
            assert [reply.status_code for reply in await asyncio.gather(*held)] == [200, 200]
            assert (await http.post("/v1/predict", json=BODY)).status_code == 200

    asyncio.run(scenario())


def test_a_request_that_takes_too_long_gets_504_and_makes_room(tmp_path):
    async def scenario():
        backend = Held()
        async with client(backend, tmp_path, ongoing_requests=1, request_timeout_s=0.2) as http:
            late = await http.post("/v1/predict", json=BODY)
            assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
            backend.free.set()
            assert (await http.post("/v1/predict", json=BODY)).status_code == 200

    asyncio.run(scenario())


def test_a_full_queue_gives_503_with_retry_after(tmp_path):
    class Full(LocalBackend):
        async def answer(self, at_frac, nearest, version=None):
            raise OverloadError("1000 compositions are waiting already")

    async def scenario():
        async with client(Full(LinearBundle.random(1)), tmp_path) as http:
            reply = await http.post("/v1/predict", json=BODY)
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
            assert "waiting" in reply.json()["error"]["message"]

    asyncio.run(scenario())


@pytest.mark.parametrize("length", ["9" * 30, "1001", "-5", "12abc"])
def test_a_length_that_is_too_large_or_no_number_is_refused_before_the_body(tmp_path, length):
    async def scenario():
        async with client(Held(), tmp_path, body_bytes=1000) as http:
            reply = await http.post("/v1/predict", content=b"{}", headers={"content-length": length})
            assert reply.status_code == 413
            assert reply.json()["error"]["code"] == "too_large"

    asyncio.run(scenario())


def test_who_sends_too_much_reads_the_refusal_and_not_a_reset_connection(tmp_path):
    body = b"Z" * 10_000_000

    def send(port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())["error"]["code"]
        finally:
            connection.close()

    async def scenario():
        backend, settings = LocalBackend(LinearBundle.random(1)), read_serving_settings({"store": str(tmp_path)})
        with bind("127.0.0.1", 0, shared=False) as free:
            port = free.getsockname()[1]
        listener = Listener(make_app(AppContext(load_problem(), backend, settings)), "127.0.0.1", port)
        await listener.start()
        try:
            return [await asyncio.to_thread(send, port) for _ in range(10)]
        finally:
            await listener.stop()

    assert set(asyncio.run(scenario())) == {(413, "too_large")}
