"""The property endpoint: its HTTP application, its web page, and `Client`, the Python client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimat_ray.serving.client import Client as Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    """`Client` on first use: the service itself needs no HTTP client."""
    if name == "Client":
        from aimat_ray.serving.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
