"""How a `SurrogateClient` keeps the hub's current version in its own process."""

from __future__ import annotations

import logging
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from aimat_ray.errors import AimatError
from aimat_ray.surrogate.base import FloatArray, Prediction

if TYPE_CHECKING:
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.registry.store import VersionInfo
    from aimat_ray.surrogate.bundle import SurrogateBundle

POLL_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Loaded:
    info: VersionInfo
    bundle: SurrogateBundle


class FollowingTransport:
    """The hub's current version, loaded here; what answers changes only in `refresh`.

    Loading takes 0.3 s and more. With `ahead`, a thread asks the hub and loads beside the caller, and `refresh` only
    exchanges one reference, so a vector environment does not stand still. Without, `refresh` asks and loads itself:
    the caller then surely has the version that is current at that moment, for the price of a pause.

    Args:
        hub: The hub to follow.
        ahead: Load beside the caller.
        poll_s: How often the thread asks the hub.
    """

    def __init__(self, hub: SurrogateHub, ahead: bool = True, poll_s: float = POLL_S) -> None:
        self._hub = hub
        self._ahead = ahead
        self._poll_s = poll_s
        self._in_use: _Loaded | None = None
        self._waiting: _Loaded | None = None
        self._refused: set[int] = set()
        self._trouble = ""
        self.staying = False

    def stay(self) -> None:
        """Keep the version in use from now on; the hub, which may end, is not asked any more."""
        self.staying = True

    def predict(self, at_frac: FloatArray) -> Prediction:
        """See `Transport`."""
        return self._used().bundle.predict(at_frac)

    def version(self) -> str:
        """See `Transport`."""
        return self._used().bundle.version

    def next_version(self) -> str:
        """Version that `refresh` would adopt now; with `ahead` the one that is loaded already."""
        return (self._waiting or self._used()).bundle.version if self._ahead else self._hub.require_current().version

    def refresh(self) -> bool:
        """See `Transport`. A version that can't be loaded leaves the one in use; without `ahead` it raises."""
        before = self._in_use
        if before is None:
            self._used()
            return False
        if self.staying:
            return False
        new = self._waiting if self._ahead else self._read(before)
        if new is None or new.info.serial == before.info.serial:
            return False
        self._in_use = new
        return new.bundle.version != before.bundle.version

    def _used(self) -> _Loaded:
        if self._in_use is None:
            info = self._hub.require_current()
            self._in_use = self._waiting = _Loaded(info, self._hub.load(info))
            if self._ahead:
                look = (weakref.ref(self), self._poll_s)
                threading.Thread(target=_keep_looking, args=look, name="surrogate-ahead", daemon=True).start()
        return self._in_use

    def _read(self, known: _Loaded) -> _Loaded:
        """What the hub says is current; loaded only if it is another version than the known one."""
        info = self._hub.require_current()
        if info.serial == known.info.serial or info.serial in self._refused:
            return known
        try:
            return _Loaded(info, known.bundle if info.version == known.info.version else self._hub.load(info))
        except AimatError:
            self._refused.add(info.serial)
            raise

    def look(self) -> None:
        """Load what the hub says is current, for the next `refresh` to take."""
        assert self._waiting is not None
        try:
            self._waiting = self._read(self._waiting)
            self._trouble = ""
        except Exception as error:  # the version in use goes on, whatever happened
            if str(error) != self._trouble:  # said once, not twice a second
                log.warning("the surrogate could not be loaded ahead: %s", error)
            self._trouble = str(error)

    def __reduce__(self) -> tuple[Any, ...]:
        return FollowingTransport, (self._hub, self._ahead, self._poll_s)


def _keep_looking(reference: weakref.ref[FollowingTransport], poll_s: float) -> None:
    """The thread's work; it ends when nobody uses the transport any more."""
    pause = threading.Event()
    while not pause.wait(poll_s):
        transport = reference()
        if transport is None or transport.staying or not ray.is_initialized():
            return
        transport.look()
        del transport
