"""Requests that nobody means well, and what they must get: a refusal, never an accident."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Hostile:
    """One request.

    Attributes:
        name: What is wrong with it.
        body: Its body.
        status: The expected status.
        path: Where it goes.
        method: How.
        headers: Its headers.
    """

    name: str
    body: bytes = b""
    status: int = 422
    path: str = "/v1/predict"
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


def _alloys(value: object) -> bytes:
    return json.dumps({"alloys": value}).encode()


GOOD = _alloys("Zr50Cu50")
HOSTILE = (
    Hostile("no body"),
    Hostile("half a document", b'{"alloys": "Zr', 400),
    Hostile("not UTF-8", b"\xff\xfe\x00", 400),
    Hostile("not JSON by its type", GOOD, 422, headers={"Content-Type": "text/plain"}),
    Hostile("form data", b"alloys=Zr50Cu50", 422, headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Hostile("deep JSON", b'{"alloys": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400),
    Hostile("deep objects", b'{"alloys": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}", 400),
    Hostile("10 MB body", b'{"alloys": "' + b"Z" * 10_000_000 + b'"}', 413),
    Hostile("huge number", b'{"alloys": {"Zr": 1e999}}'),
    Hostile("number of 4,000 digits", b'{"alloys": {"Zr": ' + b"9" * 4000 + b"}}"),
    Hostile("number of 100,000 digits", b'{"alloys": {"Zr": ' + b"9" * 100_000 + b"}}", 400),
    Hostile("NaN", b'{"alloys": {"Zr": NaN}}'),
    Hostile("minus infinity", b'{"alloys": {"Zr": -Infinity}}'),
    Hostile("negative amount", _alloys({"Zr": -1, "Cu": 2})),
    Hostile("huge amount in a formula", _alloys("Zr1e308Cu1")),
    Hostile("amount of 400 digits", _alloys("Zr" + "9" * 400)),
    Hostile("no amount at all", _alloys("Zr0Cu0")),
    Hostile("SQL", _alloys("Zr50'; DROP TABLE alloys; --")),
    Hostile("HTML", _alloys("<script>alert(1)</script>")),
    Hostile("template", _alloys("{{7*7}}${7*7}")),
    Hostile("path", _alloys("../../../../etc/passwd")),
    Hostile("format string", _alloys("%s%s%n")),
    Hostile("zero byte", b'{"alloys": "Zr\\u0000Cu"}'),
    Hostile("lone surrogate", b'{"alloys": "\\ud800"}'),
    Hostile("right-to-left override", _alloys("Zr\u202e50Cu50")),
    Hostile("digits of another script", _alloys("Zr\u0665\u0660Cu\u0665\u0660")),
    Hostile("letters that look Latin", _alloys("\u0421u50Zr50")),
    Hostile("emoji", _alloys("\U0001f4a5")),
    Hostile("a thousand brackets", _alloys("(" * 250 + "Zr" + ")" * 250)),
    Hostile("too many alloys", _alloys(["Zr50Cu50"] * 1001)),
    Hostile("an empty list", _alloys([])),
    Hostile("a list of lists", _alloys([["Zr50Cu50"]])),
    Hostile("true", _alloys(True)),
    Hostile("an amount that is text", _alloys({"Zr": "50"}), 422),
    Hostile("prototype names", b'{"alloys": {"__proto__": 1}}'),
    Hostile("unknown key", b'{"alloys": "Zr50Cu50", "admin": true}'),
    Hostile("too many neighbours", b'{"alloys": "Zr50Cu50", "nearest": 1000000000}'),
    Hostile("neighbours as text", b'{"alloys": "Zr50Cu50", "nearest": "1; ls"}'),
    Hostile("another host", GOOD, 421, headers={**JSON, "Host": "evil.example"}),
    Hostile("a page of another site", GOOD, 403, headers={**JSON, "Origin": "https://evil.example"}),
    Hostile("a wrong key", GOOD, 401, headers={**JSON, "Authorization": "Bearer aimat_00000000_wrong"}),
    Hostile("a key that is not one", GOOD, 401, headers={**JSON, "X-API-Key": "' OR 1=1 --"}),
    Hostile("an endless key", GOOD, 401, headers={**JSON, "X-API-Key": "a" * 8000}),
    Hostile("admin without a key", b"{}", 401, "/v1/admin/rollback"),
    Hostile("another method", GOOD, 405, method="DELETE"),
    Hostile("a path out of the page", b"", 404, "/page/..%2f..%2fsettings.py", "GET"),
    Hostile("an unknown path", b"", 404, "/v1/../../etc/passwd", "GET"),
    Hostile("a model that is not there", b'{"inputs": []}', 422, "/v2/models/default/infer"),
    Hostile("a length that is a lie", b"{}", 413, headers={**JSON, "Content-Length": "99999999999"}),
)


def ask(url: str, hostile: Hostile) -> tuple[int, str]:
    """Send one; its status and the message of the refusal."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    # It may be refused before all of it was sent; the answer is there all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(hostile.method, hostile.path, hostile.body, hostile.headers)
    try:
        response = connection.getresponse()
        status, text = response.status, response.read().decode()
    finally:
        connection.close()
    document = json.loads(text)
    error = document["error"]
    return status, error if isinstance(error, str) else error["message"]
