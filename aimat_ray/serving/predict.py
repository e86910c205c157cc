"""POST /v1/predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response

from aimat_ray.data.formulas import AlloyReader, amounts_at_pct, format_formulas
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.wire import Answer, unpack
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.replies import BAD_INPUT, UNAVAILABLE, request_id
from aimat_ray.serving.schemas import PredictRequest, response_model
from aimat_ray.surrogate.base import DomainReason, FloatArray

_REASONS = {int(reason): reason.name.lower() for reason in DomainReason}


def predict_router(context: AppContext) -> APIRouter:
    """Predictions of one or many alloys."""
    router = APIRouter(tags=["predict"])
    problem = context.problem
    reader = AlloyReader(problem.elements)

    @router.post("/v1/predict", response_model=response_model(problem), responses={**BAD_INPUT, **UNAVAILABLE})
    async def predict(body: PredictRequest, request: Request) -> Response:
        """Predict one or many alloys: properties with 90 % intervals, class probability, domain, nearest alloys."""
        at_frac = reader.read(body.items())
        answer = await context.backend.answer(at_frac, body.nearest)
        document = {
            "request_id": request_id(request),
            "surrogate_version": answer.reply.version,
            "predictions": describe(answer, at_frac, problem),
        }
        # The document is built here and matches the model by test: validating a thousand alloys again takes longer
        # than predicting them.
        return Response(orjson.dumps(document), media_type="application/json")

    return router


def describe(answer: Answer, at_frac: FloatArray, problem: DesignProblem) -> list[dict[str, Any]]:
    """The answer in words and numbers, one document per alloy."""
    prediction = unpack(answer.reply, len(at_frac))
    own = problem.feasibility.key
    names = [(spec.key, spec.unit) for spec in problem.properties]
    return [
        {
            "composition": formula,
            "at_pct": amounts,
            own: p_feasible,
            "properties": {
                key: {"value": value, "lower": lower, "upper": upper, "unit": unit}
                for (key, unit), (value, lower, upper) in zip(names, values, strict=True)
            },
            "in_domain": in_domain,
            "domain_reason": _REASONS[reason],
            "nearest": [
                {"formula": near, "distance_at_pct": distance}
                for near, distance in zip(nearest, distances, strict=True)
            ],
        }
        for formula, amounts, p_feasible, values, in_domain, reason, nearest, distances in zip(
            format_formulas(at_frac, problem.elements),
            amounts_at_pct(at_frac, problem.elements),
            prediction.p_feasible.tolist(),
            np.stack([prediction.mean, prediction.lower, prediction.upper], axis=2).tolist(),
            prediction.in_domain.tolist(),
            prediction.reason.tolist(),
            answer.nearest_formula,
            answer.nearest_distance.tolist(),
            strict=True,
        )
    ]
