"""Experiment trackers that a sweep also reports to: MLflow and Weights & Biases. Both are optional packages."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from aimat_ray.errors import ConfigError
from aimat_ray.sweep.settings import TrackSettings

_MODE_VARIABLE = "WANDB_MODE"


def trackers(settings: TrackSettings, sweep: str) -> list[Any]:
    """Tune callbacks for the configured trackers.

    Args:
        settings: Which ones.
        sweep: Name of the sweep: MLflow's experiment, W&B's group.

    Raises:
        ConfigError: The tracker's package is not installed.
    """
    found = []
    if settings.mlflow is not None:
        _require("mlflow", "mlflow-skinny")
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        found.append(MLflowLoggerCallback(tracking_uri=settings.mlflow, experiment_name=sweep))
    if settings.wandb is not None:
        _require("wandb", "wandb")
        from ray.air.integrations.wandb import WandbLoggerCallback

        if settings.wandb_mode == "offline":
            os.environ[_MODE_VARIABLE] = "offline"  # no key is asked for
        options = {} if settings.wandb_dir is None else {"dir": settings.wandb_dir}
        found.append(WandbLoggerCallback(settings.wandb, group=sweep, mode=settings.wandb_mode, **options))
    return found


def _require(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"track.{module}: package {package} is not installed; pip install {package}")
