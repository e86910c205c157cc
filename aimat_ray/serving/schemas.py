"""What goes over HTTP. Field descriptions and examples become the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from aimat_ray.problem import DesignProblem
from aimat_ray.serving.backend import VersionList

MAX_ALLOYS = 1000
MAX_NEAREST = 10
MAX_FORMULA = 500
EXAMPLE_FORMULA = "Zr65Cu17.5Ni10Al7.5"

Amount = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=True)]
Symbol = Annotated[str, Field(min_length=1, max_length=3)]
Formula = Annotated[str, Field(min_length=1, max_length=MAX_FORMULA)]
Amounts = Annotated[dict[Symbol, Amount], Field(min_length=1, max_length=120)]
Alloy = Formula | Amounts


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictRequest(_Wire):
    """Which alloys to predict."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"alloys": EXAMPLE_FORMULA},
                {"alloys": [EXAMPLE_FORMULA, {"Cu": 50, "Zr": 43, "Al": 7}], "nearest": 3},
            ]
        }
    )

    alloys: Formula | Amounts | Annotated[list[Alloy], Field(min_length=1, max_length=MAX_ALLOYS)] = Field(
        description="One alloy or a list of them: a formula, or amounts per element (at% or any multiple)."
    )
    nearest: Annotated[int, Field(ge=0, le=MAX_NEAREST, strict=True)] = Field(
        1, description="How many of the nearest measured alloys to return per alloy."
    )

    def items(self) -> list[str | dict[str, float]]:
        """The alloys as a list, also where one was sent alone."""
        return list(self.alloys) if isinstance(self.alloys, list) else [self.alloys]


class PropertyValue(_Wire):
    """A predicted property with its 90 % interval."""

    value: float
    lower: float
    upper: float
    unit: str


class Nearest(_Wire):
    """A measured alloy near the one asked for."""

    formula: str
    distance_at_pct: Annotated[float, Field(ge=0, description="Half the sum of absolute differences, in at%.")]


class AlloyPrediction(_Wire):
    """The answer for one alloy. The probability of the feasible class is under the key of the problem (`p_bmg`)."""

    composition: str
    at_pct: dict[str, float]
    properties: dict[str, PropertyValue]
    in_domain: bool
    domain_reason: str
    nearest: list[Nearest]


class PredictResponse(_Wire):
    """The answers, in the order of the request, all of one surrogate version."""

    request_id: str
    surrogate_version: str
    predictions: list[AlloyPrediction]


class PropertyInfo(_Wire):
    """A property of the problem."""

    key: str
    label: str
    symbol: str
    unit: str
    direction: Literal["maximize", "minimize"]
    plausible: tuple[float, float] | None


class ProblemResponse(_Wire):
    """What is designed: the closed lists that requests choose from."""

    name: str
    title: str
    elements: list[str]
    bases: list[str]
    excluded_bases: dict[str, str]
    properties: list[PropertyInfo]
    derived: list[PropertyInfo]
    feasibility: str
    feasible_from: float
    cautions: dict[str, str]


class VersionEvent(_Wire):
    """One change of the current version."""

    serial: int
    kind: str
    version: str
    at: str
    note: str


class VersionsResponse(_Wire):
    """The surrogate's versions."""

    channel: str
    current: str
    serial: int
    history: list[VersionEvent]


def versions_response(found: VersionList) -> VersionsResponse:
    """What a backend knows about versions, without the ids of requests."""
    events = [VersionEvent.model_validate(event.model_dump(exclude={"request"})) for event in found.history]
    return VersionsResponse(channel=found.channel, current=found.current, serial=found.serial, history=events)


class Health(_Wire):
    """State of the service."""

    status: Literal["live", "ready"]
    surrogate_version: str | None = None


class ErrorDetail(_Wire):
    """What was wrong, where, and what to do."""

    code: str
    message: str
    field: str | None = None


class ErrorResponse(_Wire):
    """Every answer that is not a success has this form."""

    error: ErrorDetail
    request_id: str


class ProtocolError(_Wire):
    """What the Open Inference Protocol answers where it can't answer."""

    error: str


def response_model(problem: DesignProblem) -> type[PredictResponse]:
    """`PredictResponse` with the problem's own name for the class probability."""
    probability = Annotated[float, Field(ge=0, le=1, description=problem.feasibility.label)]
    own: dict[str, Any] = {problem.feasibility.key: (probability, ...)}
    alloy = create_model("AlloyPrediction", __base__=AlloyPrediction, **own)
    answers: dict[str, Any] = {"predictions": (list[alloy], ...)}
    return create_model("PredictResponse", __base__=PredictResponse, **answers)


def problem_response(problem: DesignProblem) -> ProblemResponse:
    """The problem as it is told to clients."""
    measured = [
        PropertyInfo(
            key=spec.key,
            label=spec.label,
            symbol=spec.symbol,
            unit=spec.unit,
            direction=spec.direction,
            plausible=spec.plausible,
        )
        for spec in problem.properties
    ]
    derived = [
        PropertyInfo(
            key=spec.key, label=spec.label, symbol=spec.symbol, unit=spec.unit, direction=spec.direction, plausible=None
        )
        for spec in problem.derived
    ]
    return ProblemResponse(
        name=problem.name,
        title=problem.title,
        elements=list(problem.elements),
        bases=list(problem.bases),
        excluded_bases=problem.excluded_bases,
        properties=measured,
        derived=derived,
        feasibility=problem.feasibility.key,
        feasible_from=problem.feasibility.threshold,
        cautions=problem.cautions,
    )
