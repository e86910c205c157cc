"""A small load generator for the serving benchmark: raw HTTP/1.1 over asyncio, in a process of its own.

    python benchmarks/_load.py < job.json > outcome.json

A job is {url, bodies, connections, seconds, rate (requests/s over all connections, or null for as fast as it goes),
retry, expected, stop_file (ends the load when it appears)}. `expected` holds, by version and body, the probabilities
that this version answers. The outcome holds the times and statuses of all requests, the versions that answered, and how
many replies were of an unexpected version (unknown) or not what their version answers (mixed).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

TIMEOUT_S = 60.0


class Connection:
    """One keep-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; status 0 where the connection broke."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._reader is None or self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
                self._writer.write(request)
                return await self._read(self._reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            self._reader = self._writer = None
            return 0, b""

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        return status, await reader.readexactly(int(lower[at : lower.index(b"\r", at)]))


def requests_of(job: dict[str, Any]) -> list[bytes]:
    url = urlsplit(job["url"])
    head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\nContent-Length: "
    bodies = [body.encode() for body in job["bodies"]]
    return [head.encode() + f"{len(body)}\r\n\r\n".encode() + body for body in bodies]


def examine(body: bytes, index: int, outcome: dict[str, Any]) -> None:
    """Note the version of a reply, and whether all its values are what that version alone answers."""
    version = body[body.index(b'"surrogate_version":"') + 21 :].split(b'"', 1)[0].decode()
    outcome["versions"][version] = outcome["versions"].get(version, 0) + 1
    if not outcome["expected"]:
        return
    answers = outcome["expected"].get(version)
    if answers is None:
        outcome["unknown"] += 1
    elif [alloy["p_bmg"] for alloy in orjson.loads(body)["predictions"]] != answers[index]:
        outcome["mixed"] += 1


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Do a job."""
    url, requests = urlsplit(job["url"]), requests_of(job)
    times: list[float] = []
    outcome: dict[str, Any] = {
        "statuses": {}, "versions": {}, "mixed": 0, "unknown": 0, "retries": 0, "expected": job.get("expected") or {}
    }  # fmt: skip
    start = time.perf_counter()
    end = start + job["seconds"]
    turn = iter(range(10**9))

    def stopped() -> bool:
        return "stop_file" in job and Path(job["stop_file"]).exists()

    async def worker() -> None:
        connection = Connection(url.hostname or "", url.port or 80)
        while True:
            i = next(turn)
            due = start + i / job["rate"] if job.get("rate") else time.perf_counter()
            if due >= end or stopped():
                return
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            began = due if job.get("rate") else time.perf_counter()  # waiting for a free connection counts
            status, body = await connection.ask(requests[i % len(requests)])
            while job.get("retry") and status in (0, 429, 503) and time.perf_counter() < began + TIMEOUT_S:
                outcome["retries"] += 1
                await asyncio.sleep(0.2)
                status, body = await connection.ask(requests[i % len(requests)])
            times.append(time.perf_counter() - began)
            outcome["statuses"][status] = outcome["statuses"].get(status, 0) + 1
            if status == 200:
                examine(body, i % len(requests), outcome)

    await asyncio.gather(*(worker() for _ in range(job["connections"])))
    del outcome["expected"]
    return outcome | {"times_s": times, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
