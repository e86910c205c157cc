"""Reads the `args` of a Serve config file, so that `aimat serve` starts what `serve deploy` would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from aimat_ray.errors import ConfigError
from aimat_ray.serving.settings import ServingSettings, read_serving_settings

IMPORT_PATH = "aimat_ray.serving.service:build"


def load_serving_settings(path: Path | None, overrides: dict[str, Any]) -> ServingSettings:
    """Settings from a Serve config file (or none), with overrides on top.

    Args:
        path: A file such as `serve/surrogate.yaml`; None for the defaults.
        overrides: Values by dotted key, for example `{"http.port": 9000}`.

    Raises:
        ConfigError: The file can't be read, has no application of this package, or a value does not fit.
    """
    tree = {} if path is None else _args(path)
    for dotted, value in overrides.items():
        *parents, leaf = dotted.split(".")
        group = tree
        for key in parents:
            group = group.setdefault(key, {})
            if not isinstance(group, dict):
                raise ConfigError(f"setting {dotted!r}: {key!r} is a value, not a group of settings")
        group[leaf] = value
    return read_serving_settings(tree, str(path) if path else "settings of the service")


def _args(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"Serve config {path}: {error}") from error
    applications = document.get("applications") if isinstance(document, dict) else None
    for application in applications if isinstance(applications, list) else []:
        if isinstance(application, dict) and application.get("import_path") == IMPORT_PATH:
            return dict(application.get("args") or {})
    raise ConfigError(f"Serve config {path}: expected an application with import_path {IMPORT_PATH}")
