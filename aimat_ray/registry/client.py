"""The Predictor that environments, search and training use, wherever the surrogate lives.

    client = SurrogateClient.local(bundle)          # in this process, a bundle at hand
    client = SurrogateClient.stored(root, version)  # in this process, read from the store where it is first used
    client = SurrogateClient.following(hub)         # in this process, the hub's current version, see refresh()
    client = SurrogateClient.serve()                # through Ray Serve, one call per batch

A client counts what it asked for, and pickles as its address: the counters start at zero where it arrives.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from aimat_ray.registry.store import Loader, SurrogateStore, load_bundle
from aimat_ray.surrogate.base import FloatArray, Prediction

if TYPE_CHECKING:
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.surrogate.bundle import SurrogateBundle

SERVE_TIMEOUT_S = 30.0


class Transport(Protocol):
    """How a client reaches its surrogate. Built without work; connects on first use; pickles as an address."""

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict a batch, [B, E]."""

    def version(self) -> str:
        """Version that answers now."""

    def refresh(self) -> bool:
        """Adopt the current version; whether it changed."""


class SurrogateClient:
    """A `Predictor` that counts.

    Attributes:
        n_predictions: Compositions asked for so far, in this process.
        n_calls: Batches asked for so far, in this process.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.n_predictions = 0
        self.n_calls = 0

    @classmethod
    def local(cls, bundle: SurrogateBundle) -> SurrogateClient:
        """A client of a bundle in this process; pickles with the bundle in it."""
        return cls(LocalTransport(bundle))

    @classmethod
    def stored(cls, root: Path | str | None, version: str, load: Loader = load_bundle) -> SurrogateClient:
        """A client of a version in a store; every process reads it from there."""
        return cls(StoredTransport(SurrogateStore(root, load), version))

    @classmethod
    def following(cls, hub: SurrogateHub, ahead: bool = True) -> SurrogateClient:
        """A client that keeps the hub's current version in its own process; see `FollowingTransport`."""
        from aimat_ray.registry.following import FollowingTransport

        return cls(FollowingTransport(hub, ahead))

    @classmethod
    def serve(cls, app_name: str | None = None, timeout_s: float = SERVE_TIMEOUT_S) -> SurrogateClient:
        """A client of the Serve deployment, found by name in the process that calls."""
        from aimat_ray.registry.serve_transport import ServeTransport

        return cls(ServeTransport(app_name, timeout_s))

    @property
    def version(self) -> str:
        """Version of the surrogate that answers now."""
        return self._transport.version()

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict a batch; the whole answer is one version's, named in it.

        Args:
            at_frac: Atomic fractions, [B, E], non-negative, rows summing to 1.

        Raises:
            ServiceError: The service is gone or did not answer in time.
        """
        prediction = self._transport.predict(np.ascontiguousarray(at_frac, dtype=np.float64))
        self.n_predictions += len(prediction)
        self.n_calls += 1
        return prediction

    def refresh(self) -> bool:
        """Adopt the current version. Call it between vector steps, never within one.

        Returns:
            Whether the version is another one now; what was predicted before is then out of date.
        """
        return self._transport.refresh()

    def stay(self) -> None:
        """Keep the version in use from now on; without meaning for clients that follow nothing."""
        if hasattr(self._transport, "stay"):
            self._transport.stay()

    @property
    def next_version(self) -> str:
        """Version that `refresh` would adopt now; that of a fixed transport never differs from `version`."""
        ahead = getattr(self._transport, "next_version", self._transport.version)
        return str(ahead())

    def reset_counters(self) -> None:
        """Set both counters to zero."""
        self.n_predictions = self.n_calls = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return SurrogateClient, (self._transport,)


class LocalTransport:
    """A bundle at hand."""

    def __init__(self, bundle: SurrogateBundle) -> None:
        self._bundle = bundle

    def predict(self, at_frac: FloatArray) -> Prediction:
        """See `Transport`."""
        return self._bundle.predict(at_frac)

    def version(self) -> str:
        """See `Transport`."""
        return self._bundle.version

    def refresh(self) -> bool:
        """See `Transport`; a fixed bundle never changes."""
        return False


class StoredTransport:
    """A fixed version, read from the store on first use."""

    def __init__(self, store: SurrogateStore, version: str) -> None:
        self._store = store
        self._version = version
        self._bundle: SurrogateBundle | None = None

    def predict(self, at_frac: FloatArray) -> Prediction:
        """See `Transport`."""
        if self._bundle is None:
            self._bundle = self._store.get(self._version)
        return self._bundle.predict(at_frac)

    def version(self) -> str:
        """See `Transport`."""
        return self._version

    def refresh(self) -> bool:
        """See `Transport`; a fixed version never changes."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredTransport, (self._store, self._version)
