"""What a service can be told; the only place with its defaults. `serve/*.yaml` holds values of these."""

from __future__ import annotations

from pathlib import Path

from aimat_ray.config import Settings


class ServingSettings(Settings):
    """One property endpoint.

    Attributes:
        problem: Design problem: a built-in name or a YAML file.
        data: Data set behind the surrogate and the page: a folder, 'oracle' or 'auto'.
        runs: Folder whose finished runs are offered under /v1/candidates and used by /v1/design.
    """

    problem: str = "bmg"
    data: str = "auto"
    runs: Path = Path("runs")
