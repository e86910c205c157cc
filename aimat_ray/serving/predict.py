"""POST /v1/predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response

from aimat_ray.data.composition import to_at_pct
from aimat_ray.data.formulas import AlloyReader, format_formulas
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
    symbols, keys = problem.elements, [(spec.key, spec.unit) for spec in problem.properties]
    units = [unit for _, unit in keys]
    documents = []
    rows = zip(
        format_formulas(at_frac, symbols),
        to_at_pct(at_frac),
        prediction.p_feasible.tolist(),
        np.stack([prediction.mean, prediction.lower, prediction.upper], axis=2).tolist(),
        prediction.in_domain.tolist(),
        prediction.reason.tolist(),
        answer.nearest_formula,
        answer.nearest_distance.tolist(),
        strict=True,
    )
    names = [key for key, _ in keys]
    for formula, at_pct, p_feasible, values, in_domain, reason, near, distances in rows:
        present = np.flatnonzero(at_pct)
        documents.append(
            {
                "composition": formula,
                "at_pct": dict(zip([symbols[e] for e in present], at_pct[present].tolist(), strict=True)),
                problem.feasibility.key: p_feasible,
                "properties": {
                    name: {"value": value[0], "lower": value[1], "upper": value[2], "unit": unit}
                    for name, value, unit in zip(names, values, units, strict=True)
                },
                "in_domain": in_domain,
                "domain_reason": _REASONS[reason],
                "nearest": [
                    {"formula": other, "distance_at_pct": distance}
                    for other, distance in zip(near, distances, strict=True)
                ],
            }
        )
    return documents
