"""POST /v1/predict."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from aimat_ray.data.composition import format_formula, from_mapping, parse_formula, to_at_pct
from aimat_ray.errors import CompositionError
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.wire import Answer, unpack
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.replies import BAD_INPUT, UNAVAILABLE, request_id
from aimat_ray.serving.schemas import PredictRequest, PredictResponse, response_model
from aimat_ray.surrogate.base import DomainReason, FloatArray


def predict_router(context: AppContext) -> APIRouter:
    """Predictions of one or many alloys."""
    router = APIRouter(tags=["predict"])
    problem = context.problem
    model = response_model(problem)

    @router.post("/v1/predict", response_model=model, responses={**BAD_INPUT, **UNAVAILABLE})
    async def predict(body: PredictRequest, request: Request) -> PredictResponse:
        """Predict one or many alloys: properties with 90 % intervals, class probability, domain, nearest alloys."""
        at_frac = read_alloys(body.items(), problem)
        answer = await context.backend.answer(at_frac, body.nearest)
        document = {
            "request_id": request_id(request),
            "surrogate_version": answer.reply.version,
            "predictions": describe(answer, at_frac, problem),
        }
        return model.model_validate(document)

    return router


def read_alloys(items: list[str | dict[str, float]], problem: DesignProblem) -> FloatArray:
    """Compositions of the alloys of a request, [B, E].

    Raises:
        CompositionError: Names the position of the alloy that can't be read.
    """
    rows = np.empty((len(items), len(problem.elements)))
    for i, item in enumerate(items):
        try:
            read = parse_formula if isinstance(item, str) else from_mapping
            rows[i] = read(item, problem.elements)  # type: ignore[arg-type]
        except CompositionError as error:
            raise CompositionError(f"alloys[{i}]: {error.message}") from error
    return rows


def describe(answer: Answer, at_frac: FloatArray, problem: DesignProblem) -> list[dict[str, Any]]:
    """The answer in words and numbers, one document per alloy."""
    prediction = unpack(answer.reply, len(at_frac))
    at_pct = to_at_pct(at_frac)
    documents = []
    for i, composition in enumerate(at_frac):
        properties = {
            spec.key: {
                "value": float(prediction.mean[i, p]),
                "lower": float(prediction.lower[i, p]),
                "upper": float(prediction.upper[i, p]),
                "unit": spec.unit,
            }
            for p, spec in enumerate(problem.properties)
        }
        near = zip(answer.nearest_at_frac[i], answer.nearest_distance[i], strict=True)
        documents.append(
            {
                "composition": format_formula(composition, problem.elements),
                "at_pct": {problem.elements[e]: float(at_pct[i, e]) for e in np.flatnonzero(composition)},
                problem.feasibility.key: float(prediction.p_feasible[i]),
                "properties": properties,
                "in_domain": bool(prediction.in_domain[i]),
                "domain_reason": DomainReason(int(prediction.reason[i])).name.lower(),
                "nearest": [
                    {"formula": format_formula(row, problem.elements), "distance_at_pct": float(distance)}
                    for row, distance in near
                ],
            }
        )
    return documents
