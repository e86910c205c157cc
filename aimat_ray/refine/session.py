"""Which companion a run gets."""

from __future__ import annotations

from aimat_ray.config import DesignSettings
from aimat_ray.refine.companion import AmrCompanion, check_settings
from aimat_ray.rl.hooks import Alone, Companion
from aimat_ray.rl.prepare import Say


def companion_for(settings: DesignSettings, say: Say) -> Companion:
    """The companion that the settings ask for.

    Raises:
        ConfigError: The settings don't go together.
    """
    check_settings(settings)
    if settings.refine.adviser != "off":
        return AmrCompanion(settings, say)
    return Alone()
