"""Which companions a run gets, and how they work side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aimat_ray.config import DesignSettings
from aimat_ray.refine.checks import check_settings
from aimat_ray.refine.companion import AmrCompanion
from aimat_ray.refine.knowledge.companion import KbrCompanion, Progress
from aimat_ray.rl.hooks import Alone, Companion
from aimat_ray.rl.prepare import Say, Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.td3 import TD3
from aimat_ray.search.archive import Archive


class Together:
    """Several companions, called in order."""

    def __init__(self, companions: Sequence[Companion]) -> None:
        self._companions = tuple(companions)

    def join(self, bench: Workbench, run: RunDirectory, resume: bool) -> Workbench:
        """See `Companion`."""
        for companion in self._companions:
            bench = companion.join(bench, run, resume)
        return bench

    def start(self, algorithm: TD3, bench: Workbench, archive: Archive | None) -> None:
        """See `Companion`."""
        for companion in self._companions:
            companion.start(algorithm, bench, archive)

    def after_iteration(self, algorithm: TD3) -> dict[str, Any]:
        """See `Companion`."""
        row: dict[str, Any] = {}
        for companion in self._companions:
            row |= companion.after_iteration(algorithm)
        return row

    def measured(self, row: dict[str, Any]) -> None:
        """See `Companion`."""
        for companion in self._companions:
            companion.measured(row)

    def finish(self, bench: Workbench, archive: Archive | None) -> tuple[Workbench, Archive | None]:
        """See `Companion`."""
        for companion in self._companions:
            bench, archive = companion.finish(bench, archive)
        return bench, archive

    def close(self) -> None:
        """See `Companion`."""
        for companion in self._companions:
            companion.close()


def companion_for(settings: DesignSettings, say: Say, progress: Progress | None = None) -> Companion:
    """The companion that the settings ask for.

    Args:
        settings: Of the run.
        say: Told what happens.
        progress: How far the training is, where env steps don't tell.

    Raises:
        ConfigError: The settings don't go together.
    """
    check_settings(settings)
    # Knowledge first: AMR may recompute stored rewards when it starts, and knowledge must then be added again.
    companions: list[Companion] = []
    knowledge = KbrCompanion(settings, say, progress) if settings.knowledge.scorer != "off" else None
    if knowledge is not None:
        companions.append(knowledge)
    if settings.refine.adviser != "off":
        companions.append(AmrCompanion(settings, say, knowledge.add_to_stored if knowledge else None))
    return Together(companions) if companions else Alone()
