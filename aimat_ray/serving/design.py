"""`POST /v1/design`: from an alloy and a goal to better alloys near it, with the way there."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field, create_model
from starlette.exceptions import HTTPException

from aimat_ray.data.composition import parse_formula, to_at_pct
from aimat_ray.data.formulas import read_alloy
from aimat_ray.env.legality import FloatArray
from aimat_ray.errors import CompositionError, ServiceError
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.improve import ImprovedAlloy
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.designer import DesignAnswer, DesignAsk, DesignTimeError
from aimat_ray.serving.replies import BAD_INPUT, UNAVAILABLE, request_id
from aimat_ray.serving.schemas import Nearest
from aimat_ray.serving.wire import Wire
from aimat_ray.serving.wishes import BoundedImprovement, DesignRequest, read_wishes


class DesignedValue(Wire):
    """A quantity of a design: the surrogate's value with its 90 % interval, and what changed since the start."""

    value: float
    lower: Annotated[float | None, Field(description="Null for quantities that are derived from others.")]
    upper: float | None
    difference: float
    judge: Annotated[float | None, Field(description="What an independent surrogate says.")]
    judge_difference: float | None
    unit: str


class PathStep(Wire):
    """A composition on the straight way from the start to a design."""

    formula: str
    at_pct: dict[str, float]
    feasible: Annotated[bool, Field(description="Whether the surrogate sees it in the feasible class.")]


class DesignedAlloy(Wire):
    """The start, or an alloy near it. The probability of the feasible class is under the problem's key (`p_bmg`)."""

    formula: str
    at_pct: dict[str, float]
    properties: dict[str, DesignedValue]
    fulfils: Annotated[bool, Field(description="Whether the surrogate sees every wish fulfilled.")]
    confirmed: Annotated[bool | None, Field(description="Whether an independent surrogate agrees; null without one.")]
    in_domain: bool
    domain_reason: str
    nearest: Nearest
    change_at_pct: float
    moves: Annotated[dict[str, float], Field(description="Change of each element, at%.")]
    path: list[PathStep]
    method: str | None


class ResolvedBound(Wire):
    """What the wishes mean for this start, in the quantity's unit."""

    quantity: str
    at_least: float | None
    at_most: float | None


class DesignResponse(Wire):
    """Better alloys, all predicted by one surrogate version: confirmed ones first."""

    request_id: str
    surrogate_version: str
    judge_version: str | None
    synthetic: bool
    base: str
    start: DesignedAlloy
    goal: list[ResolvedBound]
    max_change_at_pct: float
    designs: list[DesignedAlloy]
    nearest_miss: Annotated[
        DesignedAlloy | None, Field(description="Where nothing fulfils the wishes: what came nearest.")
    ]
    n_found: int
    predictions: int
    budget: Annotated[int, Field(description="Less than asked for where the time would not have done.")]
    seconds: float
    policy_run: Annotated[str | None, Field(description="Run whose trained policy searched too.")]


def design_router(context: AppContext) -> APIRouter:
    """The design route."""
    router = APIRouter(tags=["design"])
    problem = context.problem
    model = _response_model(problem)

    @router.post("/v1/design", response_model=model, responses={**BAD_INPUT, **UNAVAILABLE})
    async def design(body: DesignRequest, request: Request) -> Any:
        """Search for better alloys near one: a bounded number of predictions, some seconds."""
        ask = read_request(body, problem)
        if context.designer is None:
            raise ServiceError("this service does not design; ask one that was started with aimat serve")
        try:
            answer = await context.designer.design(ask)
        except DesignTimeError as error:  # 504 and not 503: a client that asks again would wait as long again
            raise HTTPException(504, error.message) from error
        return {"request_id": request_id(request), **describe(answer, problem)}

    return router


def read_request(body: DesignRequest, problem: DesignProblem) -> DesignAsk:
    """A request as numbers.

    Raises:
        BadInputError: The alloy or the wishes can't be used.
    """
    try:
        at_frac = read_alloy(body.start, problem.elements)
    except CompositionError as error:
        raise CompositionError(f"start: {error.message}") from error
    return DesignAsk(at_frac, read_wishes(body, problem), body.method, body.n_designs, body.budget, body.seed)


def describe(answer: DesignAnswer, problem: DesignProblem) -> dict[str, Any]:
    """The answer as a document, without the identity of the request."""
    found = answer.improvements
    assert isinstance(found.wish, BoundedImprovement)
    values = [found.start.quantities[key]["value"] for key in problem.quantity_keys]
    at_least, at_most = found.wish.bounds(problem, np.array([values], dtype=np.float64))
    return {
        "surrogate_version": found.surrogate_version,
        "judge_version": found.judge_version,
        "synthetic": found.synthetic,
        "base": found.base,
        "start": _alloy(found.start, problem, None),
        "goal": [
            {"quantity": key, "at_least": _finite(at_least[0, q]), "at_most": _finite(at_most[0, q])}
            for q, key in enumerate(problem.quantity_keys)
            if np.isfinite(at_least[0, q]) or np.isfinite(at_most[0, q])
        ],
        "max_change_at_pct": found.wish.max_change_at_pct,
        "designs": [
            _alloy(design, problem, method) for design, method in zip(found.designs, answer.methods, strict=True)
        ],
        "nearest_miss": found.nearest_miss and _alloy(found.nearest_miss, problem, None),
        "n_found": found.n_found,
        "predictions": found.predictions,
        "budget": answer.budget,
        "seconds": round(answer.seconds, 3),
        "policy_run": answer.run_id,
    }


def _alloy(alloy: ImprovedAlloy, problem: DesignProblem, method: str | None) -> dict[str, Any]:
    missing = {"judge": None, "judge_difference": None}
    return {
        "formula": alloy.formula,
        "at_pct": _amounts(alloy.at_frac, problem),
        problem.feasibility.key: alloy.p_feasible,
        "properties": {
            spec.key: {**missing, **alloy.quantities[spec.key], "unit": spec.unit} for spec in problem.quantities
        },
        "fulfils": alloy.fulfils,
        "confirmed": alloy.confirmed,
        "in_domain": alloy.in_domain,
        "domain_reason": alloy.domain_reason,
        "nearest": {"formula": alloy.nearest_formula, "distance_at_pct": alloy.nearest_distance_at_pct},
        "change_at_pct": alloy.change_at_pct,
        "moves": alloy.moves,
        "path": [
            {"formula": formula, "at_pct": _amounts(parse_formula(formula, problem.elements), problem), "feasible": ok}
            for formula, ok in zip(alloy.path, alloy.path_feasible, strict=True)
        ],
        "method": method,
    }


def _amounts(at_frac: FloatArray, problem: DesignProblem) -> dict[str, float]:
    order = np.argsort(-at_frac, kind="stable")
    return {problem.elements[e]: round(float(to_at_pct(at_frac[e])), 4) for e in order if at_frac[e] > 0}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _response_model(problem: DesignProblem) -> type[DesignResponse]:
    own: dict[str, Any] = {problem.feasibility.key: (float, ...)}
    alloy = create_model("DesignedAlloy", __base__=DesignedAlloy, **own)
    parts: dict[str, Any] = {
        "start": (alloy, ...),
        "designs": (list[alloy], ...),
        "nearest_miss": (alloy | None, ...),
    }
    return create_model("DesignResponse", __base__=DesignResponse, **parts)
