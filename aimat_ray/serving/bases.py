"""`GET /v1/bases`: windows of the base elements, and distributions of the measured alloys as counts per bin."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from aimat_ray.data.composition import to_at_pct
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.knowledge import Knowledge
from aimat_ray.serving.replies import BAD_INPUT, request_id
from aimat_ray.serving.wire import Bound, Wire

_CACHE = "private, max-age=300"  # the data of a service do not change while it runs


class ElementRange(Wire):
    """How much of an element a design of the base may hold."""

    element: str
    lower_at_pct: float
    upper_at_pct: float
    always: Annotated[bool, Field(description="Whether every design of the base contains it.")]


class GoalBound(Bound):
    """A bound of the base's default goal, and how many measured alloys support it."""

    quantity: str
    n_rows: int


class Distribution(Wire):
    """Measured alloys per bin; values beyond the ends count in the outermost bins."""

    quantity: str
    edges: list[float]
    counts: list[int]
    base_counts: Annotated[list[int] | None, Field(description="Alloys of this base; null where they are too few.")]
    n: int
    n_base: int


class BaseSummary(Wire):
    """A base element that designs can start from."""

    base: str
    n_rows: Annotated[int, Field(description="Measured alloys of the feasible class behind its window.")]
    max_elements: int


class BasesResponse(Wire):
    """Every base with a window."""

    request_id: str
    data: str
    synthetic: Annotated[bool, Field(description="Whether the alloys come from the synthetic world.")]
    bases: list[BaseSummary]


class BaseResponse(BaseSummary):
    """All about one base."""

    request_id: str
    data: str
    synthetic: bool
    elements: list[ElementRange]
    example: Annotated[dict[str, float], Field(description="A legal alloy to start from, at%.")]
    goal: list[GoalBound]
    distributions: list[Distribution]


def bases_router(context: AppContext) -> APIRouter:
    """Routes about base elements."""
    router = APIRouter(tags=["information"])

    @lru_cache(maxsize=1)
    def knowledge() -> Knowledge:
        return Knowledge(context.problem, context.data)

    @lru_cache(maxsize=64)
    def document(base: str) -> dict[str, Any]:
        return describe_base(knowledge(), base)

    # Plain functions: FastAPI runs them in threads, where loading the data may take its time.
    @router.get("/v1/bases")
    def read_bases(request: Request, response: Response) -> BasesResponse:
        """Base elements with a window, in the order of the problem."""
        data = knowledge().data
        response.headers["Cache-Control"] = _CACHE
        return BasesResponse(
            request_id=request_id(request),
            data=data.name,
            synthetic=data.synthetic,
            bases=[
                BaseSummary(base=base, n_rows=window.n_rows, max_elements=window.max_elements)
                for base, window in data.windows.items()
            ],
        )

    @router.get("/v1/bases/{base}", responses=BAD_INPUT)
    def read_base(
        base: Annotated[str, Path(min_length=1, max_length=3, description="A base element.", examples=["Zr"])],
        request: Request,
        response: Response,
    ) -> BaseResponse:
        """Window, default goal and distributions of measured alloys of one base."""
        found = document(base)
        response.headers["Cache-Control"] = _CACHE
        return BaseResponse(request_id=request_id(request), **found)

    return router


def describe_base(knowledge: Knowledge, base: str) -> dict[str, Any]:
    """The document of one base, without the identity of a request.

    Raises:
        ProblemError: Not a base, or one without measured alloys.
    """
    window, elements = knowledge.window(base), knowledge.problem.elements
    goal = knowledge.goal(base)
    histograms = {key: knowledge.histogram(q, base) for q, key in enumerate(knowledge.problem.quantity_keys)}
    lower, upper = to_at_pct(window.lower), to_at_pct(window.upper)
    order = sorted(np.flatnonzero(window.allowed), key=lambda e: (elements[e] != base, not window.always[e], -upper[e]))
    return {
        "base": base,
        "n_rows": window.n_rows,
        "max_elements": int(knowledge.limits(base).max_elements[0]),
        "data": knowledge.data.name,
        "synthetic": knowledge.data.synthetic,
        "elements": [
            {
                "element": elements[e],
                "lower_at_pct": round(float(lower[e]), 4),
                "upper_at_pct": round(float(upper[e]), 4),
                "always": bool(window.always[e]) or elements[e] == base,
            }
            for e in order
        ],
        "example": knowledge.example(base),
        "goal": [
            {
                "quantity": objective.quantity,
                "at_least": objective.at_least if np.isfinite(objective.at_least) else None,
                "at_most": objective.at_most if np.isfinite(objective.at_most) else None,
                "n_rows": objective.n_rows,
            }
            for objective in (goal.objectives if goal else ())
        ],
        "distributions": [
            {
                "quantity": key,
                "edges": found.edges.round(6).tolist(),
                "counts": found.counts.tolist(),
                "base_counts": None if found.base_counts is None else found.base_counts.tolist(),
                "n": found.n,
                "n_base": found.n_base,
            }
            for key, found in histograms.items()
            if found is not None
        ],
    }
