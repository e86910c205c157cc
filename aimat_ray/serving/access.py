"""Who may ask for what. Sits before everything else: no route, no body and no model is reached without it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from aimat_ray.errors import ConfigError
from aimat_ray.serving.keys import KeyFile, KeyRing, keys_path
from aimat_ray.serving.limits import RateLimiter
from aimat_ray.serving.replies import refuse
from aimat_ray.serving.settings import Scope as Right
from aimat_ray.serving.settings import ServingSettings

# Longest prefix wins; everything that is not listed needs "read".
RIGHTS: dict[str, Right | None] = {
    "/v1/design": "design",
    "/v1/admin": "admin",
    "/health/live": None,  # probes carry no keys, and these answers hold no secrets
    "/health/ready": None,
    "/v2/health": None,
    "/openapi.json": None,
    "/docs": None,
    "/page": None,
}
_OPEN_PATHS = frozenset({"/", "/favicon.ico"})
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address; a name counts as reachable, `localhost` excepted."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(settings: ServingSettings) -> None:
    """Refuse to listen for other machines without a key to check.

    Raises:
        ConfigError: The address can be reached by others and there is no valid key.
    """
    host, file = settings.http.host, KeyFile(keys_path(settings))
    keys = file.read()
    if not is_loopback(host) and not any(key.revoked is None for key in keys):
        raise ConfigError(
            f"{host} can be reached by other machines, and there is no valid API key in {file.path}: everybody on the "
            "network could ask. Make a key first (aimat key create --name NAME --scope read), or listen on 127.0.0.1"
        )


@dataclass(frozen=True)
class Caller:
    """Who asks: what the rate is counted by, and what may be done."""

    name: str
    rights: tuple[Right, ...]
    anonymous: bool


class Access:
    """ASGI middleware: host names, keys, rights, rate.

    Args:
        app: What lies behind.
        settings: What the service was told.
    """

    def __init__(self, app: ASGIApp, settings: ServingSettings) -> None:
        self._app = app
        self._ring = KeyRing(KeyFile(keys_path(settings)))
        self._loopback = is_loopback(settings.http.host)
        self._anonymous = settings.access.anonymous if self._loopback else ()
        self._names = {*_LOOPBACK_NAMES, settings.http.host, *settings.http.names}
        self._any_name = not self._loopback and not settings.http.names
        self._limiter = RateLimiter(settings.limits.rate_per_s, settings.limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        needed = needed_right(scope["path"])
        if not self._known_name(headers.get(b"host", "")):
            await refuse(scope, send, 421, "wrong_host", "this service is not known under the name in the Host header")
            return
        caller = self._caller(scope, headers)
        if caller is None:
            await refuse(scope, send, 401, "unauthorized", "the API key is not valid", _CHALLENGE)
        elif not self._limiter.take(caller.name):
            await refuse(scope, send, 429, "too_many_requests", "more requests than this caller may make", _LATER)
        elif needed is not None and needed not in caller.rights:
            await self._refuse_right(scope, send, caller, needed)
        elif caller.anonymous and scope["method"] not in ("GET", "HEAD") and _is_foreign(headers):
            await refuse(scope, send, 403, "forbidden", "requests from another site's pages are not taken")
        else:
            scope.setdefault("state", {})["caller"] = caller.name
            await self._app(scope, receive, send)

    async def _refuse_right(self, scope: Scope, send: Send, caller: Caller, needed: Right) -> None:
        if caller.anonymous:
            message = (
                f"an API key with scope {needed!r} is needed: header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
            )
            await refuse(scope, send, 401, "unauthorized", message, _CHALLENGE)
        else:
            await refuse(scope, send, 403, "forbidden", f"this key has no scope {needed!r}")

    def _caller(self, scope: Scope, headers: dict[bytes, str]) -> Caller | None:
        """Who asks; None where a key was shown that is not valid."""
        kind, _, token = headers.get(b"authorization", "").partition(" ")
        secret = headers.get(b"x-api-key") or (token.strip() if kind.lower() == "bearer" else "")
        if not secret:
            address = scope["client"][0] if scope.get("client") else "unknown"
            return Caller(f"address {address}", self._anonymous, anonymous=True)
        key = self._ring.find(secret)
        return Caller(f"key {key.id}", key.scopes, anonymous=False) if key else None

    def _known_name(self, host: str) -> bool:
        """Whether the Host header names this service: a page elsewhere must not reach it under a name of its own."""
        if self._any_name:
            return True
        name = host.lower().rsplit(":", 1)[0] if not host.endswith("]") else host
        return name in self._names or any(known.startswith("*.") and name.endswith(known[1:]) for known in self._names)


_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_LATER = {"Retry-After": "1"}


def needed_right(path: str) -> Right | None:
    """What a caller needs to be allowed for a path; None for nothing."""
    if path in _OPEN_PATHS:
        return None
    found = [prefix for prefix in RIGHTS if path == prefix or path.startswith(prefix + "/")]
    return RIGHTS[max(found, key=len)] if found else "read"


def _is_foreign(headers: dict[bytes, str]) -> bool:
    """Whether a browser sent this for a page of another site."""
    if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get(b"origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get(b"host", "").lower()
