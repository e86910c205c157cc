"""A small OpenAI-compatible HTTP server for tests: it can answer, dawdle, refuse, break and lie."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[[dict[str, Any]], "Reply"]


class Reply:
    """What the server sends.

    Args:
        content: Text of the model's message; None sends `body` as it is.
        status: HTTP status.
        body: Raw body.
        delay_s: Wait before sending.
        usage: Tokens that the server claims.
    """

    def __init__(
        self,
        content: str | None = None,
        status: int = 200,
        body: str = "",
        delay_s: float = 0.0,
        usage: tuple[int, int] | None = (100, 20),
    ) -> None:
        self.content, self.status, self.body, self.delay_s, self.usage = content, status, body, delay_s, usage


class Server:
    """The running server.

    Attributes:
        requests: Bodies of the requests, oldest first.
        keys: Authorization headers, oldest first.
    """

    def __init__(self, behaviours: list[Behaviour]) -> None:
        self.behaviours = behaviours
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Base URL for OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def stop(self) -> None:
        """End the server."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, request: dict[str, Any]) -> Reply:
        """The n-th behaviour for the n-th request; the last one goes on for ever."""
        self.requests.append(request)
        return self.behaviours[min(len(self.requests), len(self.behaviours)) - 1](request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.keys.append(self.headers["Authorization"])
                reply = server._answer(request)
                time.sleep(reply.delay_s)
                body = reply.body if reply.content is None else json.dumps(completion(reply))
                try:
                    self.send_response(reply.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body.encode())))
                    self.end_headers()
                    self.wfile.write(body.encode())
                except BrokenPipeError:
                    return  # the client has given up

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler


def completion(reply: Reply) -> dict[str, Any]:
    """A chat completion as the published interface describes it."""
    document: dict[str, Any] = {
        "id": "x", "object": "chat.completion", "created": 0, "model": "test",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply.content}}
        ],
    }  # fmt: skip
    if reply.usage is not None:
        given, said = reply.usage
        document["usage"] = {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}
    return document


def says(document: Any, **options: Any) -> Behaviour:
    """Always the same answer."""
    text = document if isinstance(document, str) else json.dumps(document)
    return lambda request: Reply(text, **options)


@contextmanager
def openai_server(*behaviours: Behaviour) -> Iterator[Server]:
    """A server for the length of a `with` block."""
    server = Server(list(behaviours))
    try:
        yield server
    finally:
        server.stop()
