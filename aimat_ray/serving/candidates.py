"""`GET /v1/candidates` and `GET /v1/runs`: the new alloys of finished runs, filtered and sorted."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from aimat_ray.errors import ConfigError
from aimat_ray.problem import DesignProblem
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.replies import BAD_INPUT, request_id
from aimat_ray.serving.runs import FinishedRun, RunShelf, candidate_columns, candidate_table, dig, flag, plain
from aimat_ray.serving.wire import Finite, Wire

MAX_CANDIDATES = 1_000
_UNSORTABLE = ("formula", "domain_reason", "nearest_formula")


class Estimate(Wire):
    """What the surrogate of the run predicted, and what the independent judge says."""

    value: float | None
    lower: float | None
    upper: float | None
    judge: float | None
    unit: str


class CandidateNearest(Wire):
    """The nearest measured alloy."""

    formula: str
    distance_at_pct: float | None


class Candidate(Wire):
    """A new alloy. The probabilities of the feasible class are under the key of the problem (`p_bmg`)."""

    run_id: str
    rank: int | None
    formula: str
    base: str | None
    properties: dict[str, Estimate]
    in_domain: bool | None
    domain_reason: str | None
    confirmed: Annotated[bool | None, Field(description="Whether an independent surrogate agrees.")]
    confirmed_margin: float | None
    new: Annotated[bool | None, Field(description="Whether it is no copy of a measured alloy.")]
    true: Annotated[bool | None, Field(description="In the synthetic world: whether the goal is truly met.")]
    nearest: CandidateNearest | None
    steps: int | None
    method: str | None
    surrogate_version: str | None
    judge_version: str | None
    synthetic: bool | None


class CandidatesResponse(Wire):
    """Candidates that pass the filters."""

    request_id: str
    n_total: Annotated[int, Field(description="How many pass; `limit` and `offset` choose among them.")]
    candidates: list[Candidate]


class RunSummary(Wire):
    """A finished run."""

    run_id: str
    name: Annotated[str, Field(description="Name of its folder.")]
    base: str
    created: str | None
    goal: list[dict[str, Any]]
    goal_rate: Annotated[float | None, Field(description="Strict success rate of its policy, 0..1.")]
    n_candidates: int
    n_confirmed: int
    surrogate_version: str | None
    synthetic: bool | None


class RunsResponse(Wire):
    """Finished runs, newest first."""

    request_id: str
    runs: list[RunSummary]


class CandidateQuery(BaseModel):
    """Filters; every quantity has a `min_` and a `max_` of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Annotated[str | None, Field(max_length=3, description="Base element.")] = None
    run: Annotated[str | None, Field(max_length=100, description="Identity of a run.")] = None
    confirmed: Annotated[
        bool | None, Field(description="Only those that an independent surrogate confirms, or not.")
    ] = None
    in_domain: bool | None = None
    new: bool | None = None
    sort: str = "rank"
    limit: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 100
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    format: Literal["json", "csv"] = "json"


def candidates_router(context: AppContext) -> APIRouter:
    """Routes about finished runs; they are looked up again at every request."""
    problem = context.problem
    shelf = RunShelf(context.settings.runs, problem)
    query_model, response_model = _query_model(problem), _response_model(problem)
    router = APIRouter(tags=["candidates"])

    @router.get("/v1/runs")
    def read_runs(request: Request) -> RunsResponse:
        """Finished runs that the service shows."""
        return RunsResponse(request_id=request_id(request), runs=[_summary(run) for run in shelf.runs()])

    csv: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}

    def read_candidates(request: Request, query: CandidateQuery) -> Any:
        """New alloys of finished runs: at 0.1 at%, predicted after rounding, ranked by what two surrogates agree on."""
        chosen = select(candidate_table(shelf.runs(), problem), query, problem)
        page = chosen.iloc[query.offset : query.offset + query.limit]
        if query.format == "csv":
            headers = {"Content-Disposition": 'attachment; filename="candidates.csv"'}
            return Response(page.to_csv(index=False), media_type="text/csv; charset=utf-8", headers=headers)
        documents = [_document(row, problem) for row in page.to_dict("records")]
        return {"request_id": request_id(request), "n_total": len(chosen), "candidates": documents}

    # The problem names the filters, so their model is made here; FastAPI reads it from the annotation.
    read_candidates.__annotations__["query"] = Annotated[query_model, Query()]
    router.get("/v1/candidates", response_model=response_model, responses={**csv, **BAD_INPUT})(read_candidates)
    return router


def select(table: pd.DataFrame, query: CandidateQuery, problem: DesignProblem) -> pd.DataFrame:
    """The candidates that pass the filters of a `CandidateQuery`, in order; those without the sorted value last.

    Raises:
        ConfigError: Unknown column to sort by, or a range that nothing can be in.
    """
    for name in ("base", "confirmed", "in_domain", "new"):
        wanted = getattr(query, name)
        if wanted is not None:
            table = table[table[name] == wanted]
    if query.run is not None:
        table = table[table["run_id"] == query.run]
    for key in _filtered(problem):
        low, high = getattr(query, f"min_{key}"), getattr(query, f"max_{key}")
        if low is not None and high is not None and low > high:
            raise ConfigError(f"min_{key}={low:g} is larger than max_{key}={high:g}: nothing can be between them")
        if low is not None:
            table = table[table[key] >= low]
        if high is not None:
            table = table[table[key] <= high]
    by = query.sort.removeprefix("-")
    known = _sortable(problem)
    if by not in known:
        raise ConfigError(f"sort: unknown column {by[:60]!r}; expected one of: {', '.join(known)}")
    falling = query.sort.startswith("-")
    return table.sort_values([by, "rank"], ascending=[not falling, True], kind="stable", na_position="last")


def _sortable(problem: DesignProblem) -> list[str]:
    return [name for name in candidate_columns(problem) if name not in _UNSORTABLE]


def _filtered(problem: DesignProblem) -> list[str]:
    return [problem.feasibility.key, *problem.quantity_keys]


def _query_model(problem: DesignProblem) -> type[CandidateQuery]:
    columns = [sign + name for name in _sortable(problem) for sign in ("", "-")]
    words = "A column; `-` in front for the largest first."
    sort = Annotated[str, Field(max_length=60, description=words, json_schema_extra={"enum": columns})]
    bounds: dict[str, Any] = {"sort": (sort, "rank")}
    for key in _filtered(problem):
        bounds |= {f"min_{key}": (Finite | None, None), f"max_{key}": (Finite | None, None)}
    return create_model("CandidateQuery", __base__=CandidateQuery, **bounds)


def _response_model(problem: DesignProblem) -> type[CandidatesResponse]:
    p = problem.feasibility.key
    own: dict[str, Any] = {p: (float | None, ...), f"judge_{p}": (float | None, ...)}
    row = create_model("Candidate", __base__=Candidate, **own)
    listed: dict[str, Any] = {"candidates": (list[row], ...)}
    return create_model("CandidatesResponse", __base__=CandidatesResponse, **listed)


def _document(row: dict[Any, Any], problem: DesignProblem) -> dict[str, Any]:
    values = {str(name): plain(value) for name, value in row.items()}
    document = {name: values[name] for name in values if name in Candidate.model_fields}
    p = problem.feasibility.key
    for name in ("rank", "steps"):
        document[name] = None if values[name] is None else int(values[name])
    nearest = values["nearest_formula"]
    return document | {
        p: values[p],
        f"judge_{p}": values[f"judge_{p}"],
        "properties": {
            spec.key: {
                "value": values[spec.key],
                "lower": values.get(f"{spec.key}_lower"),
                "upper": values.get(f"{spec.key}_upper"),
                "judge": values.get(f"judge_{spec.key}"),
                "unit": spec.unit,
            }
            for spec in problem.quantities
        },
        "nearest": nearest and {"formula": nearest, "distance_at_pct": values["nearest_distance_at_pct"]},
    }


def _summary(run: FinishedRun) -> RunSummary:
    thresholds = dig(run.record, "goal", "thresholds")
    bounds = [bound for bound in thresholds if isinstance(bound, dict)] if isinstance(thresholds, list) else []
    return RunSummary(
        run_id=run.run_id,
        name=run.folder.name,
        base=run.base,
        created=_text(dig(run.record, "created")),
        goal=[{key: bound.get(key) for key in ("quantity", "at_least", "at_most")} for bound in bounds],
        goal_rate=_number(dig(run.evaluation, "evaluation", "sr_goal", "mean")),
        n_candidates=len(run.candidates),
        n_confirmed=sum(flag(value) is True for value in run.candidates.get("confirmed", ())),
        surrogate_version=_text(run.evaluation.get("surrogate_version")),
        synthetic=flag(dig(run.record, "data", "synthetic")),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
