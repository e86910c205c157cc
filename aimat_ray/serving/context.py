"""What the parts of the HTTP application are built from, and what a part is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from fastapi import APIRouter

from aimat_ray.problem import DesignProblem
from aimat_ray.serving.backend import Backend
from aimat_ray.serving.envelope import Watch
from aimat_ray.serving.settings import ServingSettings

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData
    from aimat_ray.serving.designer import Designer


@dataclass(frozen=True)
class AppContext:
    """Handed to every part of the application.

    Attributes:
        problem: The design problem.
        backend: Where predictions come from.
        settings: What the service was told.
        watch: Told of every reply and prediction; None where nobody counts.
        designer: Who answers /v1/design; None where nobody does.
    """

    problem: DesignProblem
    backend: Backend
    settings: ServingSettings = field(default_factory=ServingSettings)
    watch: Watch | None = None
    designer: Designer | None = None

    @cached_property
    def data(self) -> AlloyData:
        """The measured alloys, loaded on first use (a second or two): ask for it in a thread."""
        from aimat_ray.data.sources import load_data

        return load_data(self.settings.data, self.problem)


# A part of the application: its routes. Access, limits, request ids and errors are the application's business.
RouterFactory = Callable[[AppContext], APIRouter]
