"""Which settings go together with AMR and KBR; light, so that the command line can ask before it loads anything."""

from __future__ import annotations

from aimat_ray.config import DesignSettings
from aimat_ray.errors import ConfigError


def check_settings(settings: DesignSettings) -> None:
    """Refuse combinations that can't work, before anything is started.

    Raises:
        ConfigError: AMR with the published environment or reward, a short observation, planned labels, or a surrogate
            behind Serve; AMR or KBR for a run that does not train.
    """
    if settings.knowledge.scorer != "off" and settings.method != "td3":
        raise ConfigError(f"--kbr needs method = 'td3', got {settings.method!r}")
    if settings.refine.adviser == "off":
        return
    env = settings.env
    wrong = {
        "env.mode": (env.mode, "simplex"),
        "env.observation": (env.observation, "full"),
        "env.reward.kind": (env.reward.kind, "progress"),
        "transport": (settings.transport, "local"),
        "method": (settings.method, "td3"),
    }
    for key, (value, needed) in wrong.items():
        if value != needed:
            raise ConfigError(f"--amr needs {key} = {needed!r}, got {value!r}")
    if settings.agent.labels == "plan":  # after a swap every stored step would need a search of its own
        raise ConfigError("--amr can't renew agent.labels = 'plan'; use 'archive', 'lookahead', 'both' or 'none'")
