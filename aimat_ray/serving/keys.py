"""API keys: made once, shown once, kept as hashes in one file that only its owner may read.

A key is `aimat_<id>_<secret>` with 256 random bits in the secret, so a plain SHA-256 can't be searched and a slow
password hash would only slow down requests.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from aimat_ray.errors import ConfigError
from aimat_ray.registry.files import write_atomically
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.serving.settings import SCOPES, Scope, ServingSettings

FILE_NAME = "api-keys.json"
PREFIX = "aimat"
_ID_BYTES = 4
_LOOK_AGAIN_S = 1.0
_NO_DIGEST = "0" * 64

log = logging.getLogger(__name__)


class ApiKey(BaseModel):
    """What is kept of a key.

    Attributes:
        id: Public part, by which it is named and revoked.
        name: Who it was given to.
        scopes: What it may do; a key without `read` reads nothing.
        sha256: Hash of the whole key.
        created: Time in UTC.
        revoked: Time in UTC, or None while it is valid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created: str
    revoked: str | None = None


class _KeyDocument(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()


def keys_path(settings: ServingSettings) -> Path:
    """The key file that a service uses."""
    return settings.access.keys or SurrogateStore(settings.store).root / FILE_NAME


class KeyFile:
    """The keys of one file.

    Args:
        path: The file; made when the first key is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    def read(self) -> tuple[ApiKey, ...]:
        """All keys, also revoked ones; none where there is no file.

        Raises:
            ConfigError: Others may read the file, or it is not a key file.
        """
        try:
            with self.path.open(encoding="utf-8") as stream:
                mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
                text = stream.read()
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"key file {self.path} can't be read: {error}") from error
        if mode & 0o077:
            raise ConfigError(f"key file {self.path} may be read by others (mode {mode:03o}); chmod 600 it")
        try:
            return _KeyDocument.model_validate_json(text).keys
        except ValidationError:
            raise ConfigError(
                f"key file {self.path} is not a file of API keys; move it away and make keys again"
            ) from None

    def create(self, name: str, scopes: Sequence[Scope]) -> tuple[ApiKey, str]:
        """Make a key.

        Args:
            name: Who it is for.
            scopes: What it may do.

        Returns:
            What is kept, and the key itself, which is kept nowhere.
        """
        ident = secrets.token_hex(_ID_BYTES)
        secret = f"{PREFIX}_{ident}_{secrets.token_urlsafe(32)}"
        ordered = tuple(scope for scope in SCOPES if scope in scopes)
        key = ApiKey(id=ident, name=name, scopes=ordered, sha256=_digest(secret), created=_now())
        with self._changing():
            self._write((*self.read(), key))
        return key, secret

    def revoke(self, ident: str) -> ApiKey:
        """End a key; services notice within a second or two.

        Raises:
            ConfigError: No valid key has this id.
        """
        with self._changing():
            keys = self.read()
            valid = [key.id for key in keys if key.revoked is None]
            if ident not in valid:
                raise ConfigError(f"no valid key {ident!r} in {self.path}; valid: {', '.join(valid) or 'none'}")
            ended = {key.id: key.model_copy(update={"revoked": _now()}) for key in keys if key.id == ident}
            self._write(tuple(ended.get(key.id, key) for key in keys))
        return ended[ident]

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        write_atomically(self.path, _KeyDocument(keys=keys).model_dump_json(indent=1) + "\n", mode=0o600)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        from filelock import FileLock

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=30):
                yield
        except OSError as error:
            raise ConfigError(f"key file {self.path} can't be written: {error}") from error


class KeyRing:
    """The valid keys, for the service that checks them; follows changes of the file.

    Args:
        file: The key file.
    """

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._keys: dict[str, ApiKey] = {}
        self._looked = -_LOOK_AGAIN_S
        self._stamp: tuple[int, int] | None = None

    def find(self, secret: str) -> ApiKey | None:
        """The valid key with this secret, or None; the time it takes does not tell how much of it was right."""
        self._follow()
        ident = secret.split("_", 2)[1] if secret.count("_") >= 2 else ""
        key = self._keys.get(ident)
        same = hmac.compare_digest(_digest(secret), key.sha256 if key else _NO_DIGEST)
        return key if same else None

    def _follow(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_AGAIN_S:
            return
        self._looked = now
        try:
            found = self._file.path.stat()
            stamp: tuple[int, int] | None = (found.st_mtime_ns, found.st_ino)
        except OSError:
            stamp = None
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = {key.id: key for key in self._file.read() if key.revoked is None}
        except ConfigError as error:
            log.error("no key is accepted: %s", error.message)
            self._keys = {}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
