"""What the endpoint counts, through Ray's metrics: Prometheus reads it at every node's metrics port.

Ray exports the names below with the prefix `ray_`. serving-design.md lists them.
"""

from __future__ import annotations

from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

_SECONDS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0]
_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]


class RayWatch:
    """Counts replies and predictions of one HTTP process."""

    def __init__(self) -> None:
        self._replies: Any = Counter(
            "aimat_http_requests", description="Replies by route and status.", tag_keys=("route", "status")
        )
        self._latency: Any = Histogram(
            "aimat_http_latency_seconds",
            description="Time from the request's head to the reply's end.",
            boundaries=_SECONDS,
            tag_keys=("route",),
        )
        self._calls: Any = Histogram(
            "aimat_surrogate_call_seconds", description="Time of one call of the surrogate.", boundaries=_SECONDS
        )
        self._requests: Any = Histogram(
            "aimat_batch_requests", description="Requests answered by one call.", boundaries=_SIZES
        )
        self._rows: Any = Histogram("aimat_batch_alloys", description="Alloys in one call.", boundaries=_SIZES)
        self._alloys: Any = Counter(
            "aimat_alloys", description="Predicted alloys by version and domain.", tag_keys=("version", "in_domain")
        )
        self._serial: Any = Gauge("aimat_version_serial", description="Serial of the version that answered last.")
        self._waiting: Any = Gauge("aimat_waiting_alloys", description="Alloys that wait for a call.")

    def replied(self, route: str, status: int, seconds: float) -> None:
        """See `Watch`."""
        self._replies.inc(1, {"route": route, "status": str(status)})
        self._latency.observe(seconds, {"route": route})

    def predicted(self, version: str, serial: int, n_inside: int, n_outside: int) -> None:
        """See `BackendWatch`."""
        for n_rows, inside in ((n_inside, "yes"), (n_outside, "no")):
            if n_rows:
                self._alloys.inc(n_rows, {"version": version, "in_domain": inside})
        self._serial.set(serial)

    def called(self, n_requests: int, n_rows: int, n_waiting: int, seconds: float) -> None:
        """See `BackendWatch`."""
        self._calls.observe(seconds)
        self._requests.observe(n_requests)
        self._rows.observe(n_rows)
        self._waiting.set(n_waiting)
