"""What `POST /v1/design` may be asked for, and the wish that it becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from aimat_ray.data.alloy_table import FloatArray
from aimat_ray.data.improvement import KEEP_TOLERANCE, LARGEST_CHANGE_AT_PCT, Amount, Improvement
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem
from aimat_ray.serving.schemas import EXAMPLE_FORMULA, Alloy
from aimat_ray.serving.wire import Finite, Wire

MAX_WISHES = 8
MAX_DESIGNS = 20
MAX_BUDGET = 20_000
DEFAULT_BUDGET = 4_000
METHODS = ("auto", "evolution", "greedy", "local", "policy")

Percent = Annotated[float, Field(gt=0, le=200, allow_inf_nan=False)]


class Wish(Wire):
    """What one quantity shall do: bounds in its unit, or a change relative to the start alloy."""

    quantity: Annotated[str, Field(min_length=1, max_length=60, description="Key of a property, such as dmax_mm.")]
    at_least: Finite | None = None
    at_most: Finite | None = None
    raise_pct: Annotated[Percent | None, Field(description="Grow by at least this share of the start's value.")] = None
    lower_pct: Annotated[Percent | None, Field(description="Fall by at least this share of the start's value.")] = None
    keep_pct: Annotated[
        Percent | None, Field(description="Become worse by at most this share of the start's value.")
    ] = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        bounds = (self.at_least, self.at_most, self.raise_pct, self.lower_pct, self.keep_pct)
        if all(value is None for value in bounds):
            raise ValueError(
                f"{self.quantity}: give one of at_least, at_most, raise_pct, lower_pct, keep_pct "
                f"(keeping usually means {100 * KEEP_TOLERANCE:g})"
            )
        return self


class DesignRequest(Wire):
    """From which alloy to which goal."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "start": EXAMPLE_FORMULA,
                    "wishes": [
                        {"quantity": "yield_strength_mpa", "raise_pct": 5},
                        {"quantity": "dmax_mm", "keep_pct": 2},
                    ],
                    "max_change_at_pct": 8,
                }
            ]
        }
    )

    start: Annotated[Alloy, Field(description="The alloy to improve: a formula, or amounts per element.")]
    wishes: Annotated[list[Wish], Field(min_length=1, max_length=MAX_WISHES)]
    max_change_at_pct: Annotated[
        float,
        Field(gt=0, le=LARGEST_CHANGE_AT_PCT, description="Largest share of atoms exchanged, at%."),
    ] = 8.0
    method: Annotated[
        str,
        Field(
            max_length=20,
            description=f"One of {', '.join(METHODS)}. auto: evolution, and the policy of a finished run if any.",
        ),
    ] = "auto"
    n_designs: Annotated[int, Field(ge=1, le=MAX_DESIGNS)] = 5
    budget: Annotated[int, Field(ge=100, le=MAX_BUDGET, description="Predictions that a search may spend.")] = (
        DEFAULT_BUDGET
    )
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0


@dataclass(frozen=True)
class BoundedImprovement(Improvement):
    """A wish that also has bounds in the quantities' own units.

    Attributes:
        limits: Quantity -> smallest and largest acceptable value; infinite where free.
    """

    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def bounds(self, problem: DesignProblem, start: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `Improvement`; the narrower one of two bounds holds."""
        at_least, at_most = super().bounds(problem, start)
        for key, (low, high) in self.limits.items():
            q = problem.quantity_index(key)
            at_least[:, q] = np.maximum(at_least[:, q], low)
            at_most[:, q] = np.minimum(at_most[:, q], high)
        return at_least, at_most

    @property
    def keys(self) -> tuple[str, ...]:
        """Quantities that the wish is about."""
        return (*super().keys, *self.limits)

    def describe(self) -> str:
        """In one line."""
        signs = ((">=", 0), ("<=", 1))
        parts = [
            f"{key} {sign} {bounds[end]:g}"
            for key, bounds in self.limits.items()
            for sign, end in signs
            if math.isfinite(bounds[end])
        ]
        return ", ".join([*parts, super().describe()])


def read_wishes(request: DesignRequest, problem: DesignProblem) -> BoundedImprovement:
    """The wish of a request.

    Raises:
        ProblemError: An unknown quantity, one that is named twice, or wishes that contradict each other.
    """
    groups: dict[str, dict[str, Amount]] = {"raise_pct": {}, "lower_pct": {}, "keep_pct": {}}
    limits: dict[str, tuple[float, float]] = {}
    for i, wish in enumerate(request.wishes):
        key = wish.quantity
        problem.quantity_index(key)
        if key in limits or any(key in group for group in groups.values()):
            raise ProblemError(f"wishes[{i}]: {key} is named twice; put all that is asked of it into one wish")
        relative = [name for name in groups if getattr(wish, name) is not None]
        if len(relative) > 1:
            raise ProblemError(
                f"wishes[{i}]: {' and '.join(relative)} of {key} contradict each other; give one of them"
            )
        for name in relative:
            groups[name][key] = Amount(getattr(wish, name) / 100.0)
        low = -math.inf if wish.at_least is None else wish.at_least
        high = math.inf if wish.at_most is None else wish.at_most
        if low > high:
            raise ProblemError(f"wishes[{i}]: {key} can't be at least {low:g} and at most {high:g}")
        if math.isfinite(low) or math.isfinite(high):
            limits[key] = (low, high)
    return BoundedImprovement(
        raised=groups["raise_pct"],
        lowered=groups["lower_pct"],
        kept=groups["keep_pct"],
        max_change_at_pct=request.max_change_at_pct,
        limits=limits,
    )
