"""The Open Inference Protocol, version 2, over the same surrogate: /v2. JSON tensors; no binary extension.

Names of outputs are those of `aimat predict --file`: `tg_k`, `tg_k_lower`, `tg_k_upper`, ...
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from aimat_ray import __version__
from aimat_ray.data.composition import from_at_pct
from aimat_ray.data.formulas import AlloyReader
from aimat_ray.errors import BadInputError, UnknownVersionError
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.wire import Answer, unpack
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.health import check_ready
from aimat_ray.serving.replies import request_id
from aimat_ray.serving.schemas import EXAMPLE_FORMULA, MAX_ALLOYS, MAX_FORMULA, ProtocolError
from aimat_ray.serving.wire import Wire
from aimat_ray.surrogate.base import DomainReason, FloatArray

FORMULAS, AT_PCT = "formula", "at_pct"
_HEADER_LENGTH = "inference-header-content-length"
_SUM_TOLERANCE_AT_PCT = 1e-3
_MAX_NUMBERS = MAX_ALLOYS * 120

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProtocolError, "description": what}
    for status, what in {
        400: "The body is not JSON.", 401: "An API key is needed.", 403: "This caller may not do this.",
        404: "There is no such model or version.", 413: "The body is too large.", 422: "The request can't be used.",
        429: "More requests than this caller may make.", 503: "Not available now.", 504: "Not answered in time.",
    }.items()
}  # fmt: skip

Name = Annotated[str, Field(min_length=1, max_length=100)]
Number = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Row = Annotated[list[Number], Field(max_length=120)]
Formula = Annotated[str, Field(max_length=MAX_FORMULA)]
Parameters = Annotated[dict[Name, bool | int | float | str], Field(max_length=20)]


class TensorInfo(Wire):
    """Name, type and shape of a tensor; -1 is the number of alloys."""

    name: str
    datatype: str
    shape: list[int]


class ServerMetadata(Wire):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(Wire):
    """A model: give either input, `formula` or `at_pct`."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


class Live(Wire):
    """Whether the server lives."""

    live: bool


class Ready(Wire):
    """Whether a real prediction succeeds."""

    ready: bool


class ModelReady(Wire):
    """Whether a real prediction of this model succeeds."""

    name: str
    ready: bool


class InputTensor(Wire):
    """One input: formulas (BYTES, [B]), or at% in the order of the problem's elements (FP64 or FP32, [B, E])."""

    name: Literal["formula", "at_pct"]
    datatype: Literal["BYTES", "FP64", "FP32"]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=_MAX_NUMBERS)]], Field(min_length=1, max_length=2)]
    parameters: Parameters = Field(default_factory=dict)
    data: (
        Annotated[list[Formula], Field(max_length=MAX_ALLOYS)]
        | Annotated[list[Number], Field(max_length=_MAX_NUMBERS)]
        | Annotated[list[Row], Field(max_length=MAX_ALLOYS)]
    )


class RequestedOutput(Wire):
    """One output that is wanted."""

    name: Name
    parameters: Parameters = Field(default_factory=dict)


class InferRequest(Wire):
    """Which alloys to predict, and which outputs to return (all by default)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": [{"name": FORMULAS, "datatype": "BYTES", "shape": [1], "data": [EXAMPLE_FORMULA]}]},
            ]
        }
    )

    id: Annotated[str, Field(max_length=200)] | None = None
    parameters: Parameters = Field(default_factory=dict)
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=100)] = Field(default_factory=list)


class OutputTensor(TensorInfo):
    """One output with its values, row-major."""

    data: list[float] | list[bool] | list[str]


class InferResponse(Wire):
    """The outputs, all of one version."""

    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]


def open_inference_router(context: AppContext) -> APIRouter:
    """The protocol's routes."""
    # Clients of this protocol send JSON without saying so.
    router = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=ERRORS, strict_content_type=False)
    problem, backend, known = context.problem, context.backend, context.settings.bundle
    reader = AlloyReader(problem.elements)
    outputs = output_types(problem)

    def check_name(model: str) -> None:
        if model != known:
            raise UnknownVersionError(f"no model {model[:100]!r}; this server has: {known}")

    @router.get("")
    async def server() -> ServerMetadata:
        """The server's name and version."""
        return ServerMetadata(name="aimat-ray", version=__version__, extensions=[])

    @router.get("/health/live")
    async def live() -> Live:
        """The HTTP process answers."""
        return Live(live=True)

    @router.get("/health/ready")
    async def ready() -> Ready:
        """The surrogate answers a real prediction."""
        await check_ready(context)
        return Ready(ready=True)

    @router.get("/models/{model}")
    @router.get("/models/{model}/versions/{version}")
    async def metadata(model: str, version: str | None = None) -> ModelMetadata:
        """Inputs and outputs of the model."""
        check_name(model)
        answering = (await check_ready(context, version)).reply.version
        n_elements = len(problem.elements)
        inputs = [
            TensorInfo(name=FORMULAS, datatype="BYTES", shape=[-1]),
            TensorInfo(name=AT_PCT, datatype="FP64", shape=[-1, n_elements]),
        ]
        described = [TensorInfo(name=name, datatype=kind, shape=[-1]) for name, kind in outputs.items()]
        return ModelMetadata(
            name=model, versions=[answering], platform="aimat_surrogate", inputs=inputs, outputs=described
        )

    @router.get("/models/{model}/ready")
    @router.get("/models/{model}/versions/{version}/ready")
    async def model_ready(model: str, version: str | None = None) -> ModelReady:
        """The model, in this version if one is named, answers a real prediction."""
        check_name(model)
        await check_ready(context, version)
        return ModelReady(name=model, ready=True)

    @router.post("/models/{model}/infer", response_model=InferResponse)
    @router.post("/models/{model}/versions/{version}/infer", response_model=InferResponse)
    async def infer(model: str, body: InferRequest, request: Request, version: str | None = None) -> Response:
        """Predict alloys; with a version in the path, that version answers or nobody."""
        check_name(model)
        if _HEADER_LENGTH in request.headers:
            raise BadInputError("binary tensors are not taken; send the data as JSON (binary_data=False)")
        wanted = [output.name for output in body.outputs] or list(outputs)
        if unknown := sorted(set(wanted) - set(outputs)):
            raise BadInputError(f"no output {unknown[0]!r}; expected one of: {', '.join(outputs)}")
        at_frac = read_tensor(body.inputs[0], reader, problem)
        answer = await backend.answer(at_frac, 0, version)
        values = output_values(answer, len(at_frac), problem)
        document = {
            "model_name": model,
            "model_version": answer.reply.version,
            "id": body.id if body.id is not None else request_id(request),
            "outputs": [
                {"name": name, "datatype": outputs[name], "shape": [len(at_frac)], "data": values[name]}
                for name in wanted
            ],
        }
        return Response(orjson.dumps(document), media_type="application/json")

    return router


def output_types(problem: DesignProblem) -> dict[str, str]:
    """Datatype of every output by name."""
    keys = [key + end for key in problem.property_keys for end in ("", "_lower", "_upper")]
    numbers = dict.fromkeys([problem.feasibility.key, *keys], "FP64")
    return {**numbers, "in_domain": "BOOL", "domain_reason": "BYTES"}


def output_values(answer: Answer, n_rows: int, problem: DesignProblem) -> dict[str, list[Any]]:
    """Values of every output by name, one per alloy."""
    prediction = unpack(answer.reply, n_rows)
    values: dict[str, list[Any]] = {problem.feasibility.key: prediction.p_feasible.tolist()}
    for p, key in enumerate(problem.property_keys):
        values[key] = prediction.mean[:, p].tolist()
        values[f"{key}_lower"] = prediction.lower[:, p].tolist()
        values[f"{key}_upper"] = prediction.upper[:, p].tolist()
    values["in_domain"] = prediction.in_domain.tolist()
    values["domain_reason"] = [DomainReason(reason).name.lower() for reason in prediction.reason.tolist()]
    return values


def read_tensor(tensor: InputTensor, reader: AlloyReader, problem: DesignProblem) -> FloatArray:
    """Compositions of an input tensor, [B, E].

    Raises:
        BadInputError: Type, shape and data do not belong together, or an alloy can't be read.
    """
    if tensor.name == FORMULAS:
        formulas = [item for item in tensor.data if isinstance(item, str)]
        fits = tensor.datatype == "BYTES" and tensor.shape in ([len(formulas)], [len(formulas), 1])
        if not formulas or len(formulas) != len(tensor.data) or not fits:
            raise BadInputError(
                f"input 'formula': expected datatype BYTES, shape [B] and B formulas; got {tensor.datatype}, "
                f"shape {tensor.shape} and {len(tensor.data)} values"
            )
        return reader.read(formulas)
    n_elements = len(problem.elements)
    try:
        at_pct = np.array(tensor.data, dtype=np.float64).reshape(tensor.shape)
    except (ValueError, TypeError):
        at_pct = np.empty(0)
    expected = at_pct.ndim == 2 and at_pct.shape[1] == n_elements and 0 < len(at_pct) <= MAX_ALLOYS
    if tensor.datatype == "BYTES" or not expected:
        raise BadInputError(
            f"input 'at_pct': expected datatype FP64, shape [B, {n_elements}] with B up to {MAX_ALLOYS}, and as many "
            f"numbers, in the order of the elements of /v1/problem; got {tensor.datatype}, shape {tensor.shape}"
        )
    wrong = np.flatnonzero(np.abs(at_pct.sum(axis=1) - 100.0) > _SUM_TOLERANCE_AT_PCT)
    if len(wrong):
        raise BadInputError(f"input 'at_pct': row {wrong[0]} sums to {at_pct[wrong[0]].sum():g}; expected 100")
    return from_at_pct(at_pct) / from_at_pct(at_pct).sum(axis=1, keepdims=True)
