"""The rows of candidates.csv as typed values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from aimat_ray.data.composition import parse_formula
from aimat_ray.errors import AimatError
from aimat_ray.problem import DesignProblem
from aimat_ray.report.run_files import Row, flag, number

REASONS = {
    "inside": "inside the domain",
    "unseen_element": "holds an element that was never measured",
    "too_far": "too far from every measured alloy",
    "few_systems": "too few similar alloy systems were measured",
    "no_measured_neighbour": "no measured neighbour for one of the properties",
}


class Estimate(NamedTuple):
    """A predicted value and its interval; NaN where not known."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Candidate:
    """One designed alloy. NaN and None stand for what the file does not say.

    Attributes:
        rank: Place in the ranking, from 1.
        formula: At% formula.
        base_is_majority: Whether no element has a larger fraction than the base; None where this can't be told.
        composition: The composition as the file writes it; may be empty.
        p_feasible: Probability of the feasible class.
        estimates: Surrogate's values by quantity, in the units of the keys.
        in_domain: Whether the surrogate may be believed here.
        domain_reason: Why, in words.
        judge_p: Judge's probability of the feasible class.
        judge_values: Judge's values by quantity.
        confirmed: Whether it is at the goal and in the domain, and the judge agrees.
        margin: Confirmed margin, by which candidates are ranked.
        nearest: Formula of the nearest measured alloy.
        nearest_distance: Its distance, at%.
        nearest_values: Its measured values by quantity.
        nearest_class: Its class; may be empty.
        method: Method that found it; may be empty.
        steps: Steps from the start to the candidate.
        cluster: Label of its cluster; may be empty.
        centre: Whether it is the one that stands for its cluster.
        true: On the synthetic world: whether the goal is truly reached.
        synthetic: Whether the candidate comes from synthetic data.
        versions: Surrogate and judge; may be empty.
    """

    rank: int
    formula: str
    base_is_majority: bool | None
    composition: str
    p_feasible: float
    estimates: dict[str, Estimate]
    in_domain: bool | None
    domain_reason: str
    judge_p: float
    judge_values: dict[str, float]
    confirmed: bool | None
    margin: float
    nearest: str
    nearest_distance: float
    nearest_values: dict[str, float]
    nearest_class: str
    method: str
    steps: float
    cluster: str
    centre: bool
    true: bool | None
    synthetic: bool | None
    versions: str = ""

    def estimate(self, key: str) -> Estimate:
        """The estimate of a quantity, NaN where there is none."""
        return self.estimates.get(key, Estimate(math.nan, math.nan, math.nan))


def parse_candidates(rows: tuple[Row, ...] | None, problem: DesignProblem) -> list[Candidate]:
    """Candidates in the order of their rank; rows without a formula are left out."""
    usable = [row for row in rows or () if row.get("formula", "").strip()]
    candidates = [_candidate(row, position, problem) for position, row in enumerate(usable, start=1)]
    return sorted(candidates, key=lambda candidate: candidate.rank)


def _candidate(row: Row, position: int, problem: DesignProblem) -> Candidate:
    rank = number(row.get("rank"))
    estimates = {
        key: Estimate(number(row.get(key)), number(row.get(f"{key}_lower")), number(row.get(f"{key}_upper")))
        for key in problem.quantity_keys
    }
    reason = row.get("domain_reason", "").strip()
    return Candidate(
        rank=int(rank) if math.isfinite(rank) else position,
        formula=row["formula"].strip(),
        base_is_majority=_is_majority(row["formula"], row.get("base", ""), problem),
        composition=row.get("composition", "").strip(),
        p_feasible=number(row.get(problem.feasibility.key)),
        estimates=estimates,
        in_domain=flag(row.get("in_domain")),
        domain_reason=REASONS.get(reason.lower(), reason.replace("_", " ")),
        judge_p=number(row.get(f"judge_{problem.feasibility.key}")),
        judge_values=_values(row, "judge_", problem),
        confirmed=flag(row.get("confirmed")),
        margin=number(row.get("confirmed_margin")),
        nearest=row.get("nearest_formula", "").strip(),
        nearest_distance=number(row.get("nearest_distance_at_pct")),
        nearest_values=_values(row, "nearest_", problem),
        nearest_class=row.get("nearest_class", "").strip(),
        method=row.get("method", "").strip(),
        steps=number(row.get("steps")),
        cluster=row.get("cluster", "").strip(),
        centre=bool(flag(row.get("cluster_centre"))),
        true=flag(row.get("true")),
        synthetic=flag(row.get("synthetic")),
        versions=" ".join(filter(None, (row.get("surrogate_version"), row.get("judge_version")))),
    )


def _is_majority(formula: str, base: str, problem: DesignProblem) -> bool | None:
    column = problem.element_index.get(base.strip())
    if column is None:
        return None
    try:
        at_frac = parse_formula(formula, problem.elements)
    except AimatError:
        return None
    return bool(at_frac[column] >= at_frac.max() - 1e-9)


def _values(row: Row, prefix: str, problem: DesignProblem) -> dict[str, float]:
    """Values of the quantities that a prefixed group of columns holds; derived ones are completed from their parts."""
    values = {key: number(row.get(prefix + key)) for key in problem.quantity_keys}
    for spec in problem.derived:
        if math.isnan(values[spec.key]) and values[spec.denominator]:
            values[spec.key] = values[spec.numerator] / values[spec.denominator]
    return {key: value for key, value in values.items() if math.isfinite(value)}
