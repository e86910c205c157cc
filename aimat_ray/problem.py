"""The design problem: elements, properties, feasibility class, bases and goals, read from one YAML file.

Nothing else in the package knows which materials are designed. The built-in problem is `problems/bmg.yaml`;
another problem (say, high-entropy alloys) is another YAML file and a table of measurements.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aimat_ray.errors import ProblemError

FloatArray = NDArray[np.float64]
Direction = Literal["maximize", "minimize"]
BUILTIN_PROBLEM = "bmg"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class PropertySpec(_Frozen):
    """A measured property: its column key (which carries the unit), and how to show it."""

    key: str
    symbol: str
    label: str
    unit: str
    direction: Direction
    plausible: tuple[float, float]
    decimals: int = 1


class DerivedSpec(_Frozen):
    """A quantity computed from two properties as numerator / denominator; it has no unit."""

    key: str
    symbol: str
    label: str
    numerator: str
    denominator: str
    direction: Direction
    threshold_cap: float | None = None
    decimals: int = 2
    unit: str = ""


class FeasibilitySpec(_Frozen):
    """The class that a design must belong to, and how the table marks it."""

    key: str
    label: str
    label_column: str
    flag_column: str
    classes: tuple[str, ...]
    positive: str
    threshold: Annotated[float, Field(gt=0, lt=1)]


class GoalSpec(_Frozen):
    """How the thresholds of a named goal follow from the measured rows of a base."""

    title: str
    percentile: Annotated[float, Field(gt=0, lt=100)]
    factor: Annotated[float, Field(gt=0)] = 1.0
    rows: Literal["feasible", "all"] = "feasible"
    min_rows: Annotated[int, Field(ge=1)] = 5
    impute: Literal["group", "median_over_bases"] = "group"
    objectives: tuple[tuple[str, ...], ...]


class PaperSpec(_Frozen):
    """Constants of the published environment: reward weights, percentile of its thresholds, start elements."""

    percentile: float
    weights: dict[str, float]
    start_swap: tuple[str, ...] = ()


class DesignProblem(_Frozen):
    """What is designed. Axis letters used with it: B batch, E elements, P properties, Q quantities (P + derived)."""

    name: str
    title: str
    elements: tuple[str, ...]
    feasibility: FeasibilitySpec
    properties: tuple[PropertySpec, ...]
    derived: tuple[DerivedSpec, ...] = ()
    bases: tuple[str, ...]
    excluded_bases: dict[str, str] = {}
    groups: dict[str, tuple[str, ...]] = {}
    goals: dict[str, GoalSpec]
    default_goal: str
    paper: PaperSpec | None = None
    cautions: dict[str, str] = {}

    @model_validator(mode="after")
    def _check_references(self) -> DesignProblem:
        known = set(self.quantity_keys)
        if len(set(self.elements)) != len(self.elements):
            raise ValueError("elements: each symbol may appear once")
        for base in self.bases:
            if base not in self.elements:
                raise ValueError(f"bases: {base!r} is not one of the elements")
        for derived in self.derived:
            if not {derived.numerator, derived.denominator} <= set(self.property_keys):
                raise ValueError(f"derived {derived.key}: numerator and denominator must be properties")
        for name, goal in self.goals.items():
            for key in (key for choices in goal.objectives for key in choices):
                if key not in known:
                    raise ValueError(f"goals.{name}: unknown quantity {key!r}; known: {sorted(known)}")
        if self.default_goal not in self.goals:
            raise ValueError(f"default_goal: {self.default_goal!r} is not one of {sorted(self.goals)}")
        return self

    @cached_property
    def property_keys(self) -> tuple[str, ...]:
        """Column keys of the P measured properties, in order."""
        return tuple(spec.key for spec in self.properties)

    @cached_property
    def quantity_keys(self) -> tuple[str, ...]:
        """Column keys of the Q quantities: the P properties, then the derived ones."""
        return self.property_keys + tuple(spec.key for spec in self.derived)

    @cached_property
    def quantities(self) -> tuple[PropertySpec | DerivedSpec, ...]:
        """Specifications of the Q quantities, in the order of `quantity_keys`."""
        return self.properties + self.derived

    @cached_property
    def element_index(self) -> dict[str, int]:
        """Position of each element on the E axis."""
        return {symbol: i for i, symbol in enumerate(self.elements)}

    @cached_property
    def base_index(self) -> dict[str, int]:
        """Position of each base in `bases`."""
        return {symbol: i for i, symbol in enumerate(self.bases)}

    @cached_property
    def maximize(self) -> NDArray[np.bool_]:
        """True where a quantity should grow, [Q]."""
        return np.array([spec.direction == "maximize" for spec in self.quantities])

    def quantity_index(self, key: str) -> int:
        """Position of a quantity on the Q axis.

        Raises:
            ProblemError: The key is not a quantity of this problem.
        """
        try:
            return self.quantity_keys.index(key)
        except ValueError:
            raise ProblemError(f"unknown property {key!r}; expected one of: {', '.join(self.quantity_keys)}") from None

    def check_base(self, base: str) -> str:
        """Return `base` if the problem designs alloys of it.

        Raises:
            ProblemError: Not an element, or not a base of this problem (with the reason).
        """
        if base in self.base_index:
            return base
        if base in self.excluded_bases:
            raise ProblemError(f"base {base!r} is left out: {self.excluded_bases[base]}")
        kind = "has no window" if base in self.element_index else "is not a known element"
        raise ProblemError(f"base {base!r} {kind}; expected one of: {' '.join(self.bases)}")

    def with_derived(self, values: FloatArray) -> FloatArray:
        """Append the derived quantities to property values.

        Args:
            values: Property values, [..., P], in the units of the keys; NaN where unknown.

        Returns:
            Quantities, [..., Q].
        """
        columns = [
            values[..., self.property_keys.index(d.numerator)] / values[..., self.property_keys.index(d.denominator)]
            for d in self.derived
        ]
        return np.concatenate([values, np.stack(columns, axis=-1)], axis=-1) if columns else values

    def group_of(self, base: str) -> str | None:
        """Name of the chemical group that a base belongs to, or None."""
        return next((name for name, members in self.groups.items() if base in members), None)


@lru_cache(maxsize=8)
def load_problem(name_or_path: str = BUILTIN_PROBLEM) -> DesignProblem:
    """Read a design problem: a built-in name or the path of a YAML file.

    Raises:
        ProblemError: No such problem, or the file does not fit `DesignProblem`.
    """
    builtin = resources.files("aimat_ray.problems") / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if builtin.is_file():
        text = builtin.read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise ProblemError(f"no design problem {name_or_path!r}: neither built in nor a YAML file")
    try:
        return DesignProblem.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise ProblemError(f"design problem {name_or_path!r} does not fit: {error}") from error
