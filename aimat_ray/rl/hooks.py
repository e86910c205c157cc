"""What may accompany a training run: layers above this one watch it, and change its surrogate and its rewards."""

from __future__ import annotations

from typing import Any, Protocol

from aimat_ray.rl.prepare import Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.td3 import TD3
from aimat_ray.search.archive import Archive


class Companion(Protocol):
    """Called by `train.design`, in this order; everything happens in the process that trains."""

    def join(self, bench: Workbench, run: RunDirectory, resume: bool) -> Workbench:
        """Before anything is built; may put another predictor in place."""

    def start(self, algorithm: TD3, bench: Workbench, archive: Archive | None) -> None:
        """Before the first step, or after a checkpoint was restored."""

    def after_iteration(self, algorithm: TD3) -> dict[str, Any]:
        """Between two iterations; what it returns are further columns of the metrics."""

    def measured(self, row: dict[str, Any]) -> None:
        """After each iteration, with its row of the metrics."""

    def finish(self, bench: Workbench, archive: Archive | None) -> tuple[Workbench, Archive | None]:
        """After training: what the run is evaluated with."""

    def close(self) -> None:
        """At the end, also after an error."""


class Alone:
    """No companion."""

    def join(self, bench: Workbench, run: RunDirectory, resume: bool) -> Workbench:
        """See `Companion`."""
        return bench

    def start(self, algorithm: TD3, bench: Workbench, archive: Archive | None) -> None:
        """See `Companion`."""

    def after_iteration(self, algorithm: TD3) -> dict[str, Any]:
        """See `Companion`."""
        return {}

    def measured(self, row: dict[str, Any]) -> None:
        """See `Companion`."""

    def finish(self, bench: Workbench, archive: Archive | None) -> tuple[Workbench, Archive | None]:
        """See `Companion`."""
        return bench, archive

    def close(self) -> None:
        """See `Companion`."""
