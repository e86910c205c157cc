"""The list of new alloys: rounded as for weighing in, predicted again, ranked by what two surrogates agree on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.composition import format_formula, round_at_pct
from aimat_ray.env.goals import goal_margin
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.walk import WalkState, judge
from aimat_ray.prediction import DomainReason, Prediction
from aimat_ray.rl.ledger import NEW_AT_PCT, Stages, distance_to_measured_at_pct, nearest_at_pct, pass_stages
from aimat_ray.rl.prepare import Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.search.diversity import families

MAX_CANDIDATES = 50
MIN_DISTANCE_AT_PCT = 1.0  # candidates nearer to a better one than this are left out
N_CLUSTERS = 2  # the published study cast the alloys nearest to two cluster centres


def write_candidates(
    bench: Workbench, walks: WalkState | None, methods: list[str], run: RunDirectory
) -> dict[str, Any]:
    """Rank the designs that reached the goal and write `candidates.csv`.

    Args:
        bench: Surrogates, data and task.
        walks: Final states at the goal, [B]; None where no walk reached it.
        methods: Which method found each of them, [B].
        run: Where the table goes.

    Returns:
        Path and number of candidates, for the evaluation document.
    """
    run_id = run.read_json("run.json")["run_id"]
    rows = [] if walks is None else candidate_rows(bench, walks, np.array(methods, dtype=object), run_id)
    run.write_table("candidates.csv", rows)
    return {"path": str(run / "candidates.csv"), "n": len(rows), "families": len({row["family"] for row in rows})}


def candidate_rows(
    bench: Workbench, walks: WalkState, methods: NDArray[np.object_], run_id: str
) -> list[dict[str, Any]]:
    """Candidates, best first."""
    if len(walks) == 0:
        return []
    at_frac = round_at_pct(walks.at_frac, 1)
    rounded = replace(walks, at_frac=at_frac, prediction=bench.predictor.predict(at_frac))
    still = judge(bench.task, rounded).goal
    rounded, methods = rounded.rows(still), methods[still]
    if len(rounded) == 0:
        return []
    stages = pass_stages(bench, rounded)
    judged = bench.judge.predict(rounded.at_frac)
    margin = _agreed_margin(bench, rounded, judged)
    order = np.lexsort((-margin, ~stages.confirmed))
    kept = _spread_out(rounded.at_frac, order)
    family = families(rounded.at_frac[kept], np.arange(len(kept)))
    cluster, centre = _clusters(rounded.at_frac[kept])
    return [
        {"rank": rank + 1, "formula": format_formula(rounded.at_frac[row], bench.problem.elements)}
        | _columns(bench, rounded, judged, stages, margin, int(row))
        | {
            "family": int(family[rank]) + 1,
            "cluster": int(cluster[rank]),
            "cluster_centre": bool(centre[rank]),
            "method": str(methods[row]),
            "surrogate_version": rounded.prediction.version,
            "judge_version": judged.version,
            "run_id": run_id,
            "synthetic": bench.data.synthetic,
        }
        for rank, row in enumerate(kept)
    ]


def _agreed_margin(bench: Workbench, walks: WalkState, judged: Prediction) -> FloatArray:
    """The smaller of the margins that surrogate and judge leave to the goal, [B]."""
    own = goal_margin(bench.problem.with_derived(walks.prediction.mean), walks.goals)
    other = goal_margin(bench.problem.with_derived(judged.mean), walks.goals)
    return np.minimum(own, other)


def _spread_out(at_frac: FloatArray, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows in order, without those that are nearly a better one.

    Half of a full list goes to the best rows. The other half belongs first to the best of families that have none yet:
    walks of one policy tend to end at variants of one alloy, which may all be wrong together.
    """
    distinct: list[int] = []
    for row in order:
        if not distinct or nearest_at_pct(at_frac[row][None], at_frac[distinct])[0][0] > MIN_DISTANCE_AT_PCT:
            distinct.append(int(row))
    rows = np.array(distinct, dtype=np.intp)
    if len(rows) <= MAX_CANDIDATES:
        return rows
    half = MAX_CANDIDATES - MAX_CANDIDATES // 2
    family = families(at_frac[rows], np.arange(len(rows)))
    founders = np.unique(family, return_index=True)[1]
    preference = np.concatenate([np.arange(half), np.sort(founders), np.arange(half, len(rows))])
    _, first = np.unique(preference, return_index=True)
    chosen = preference[np.sort(first)][:MAX_CANDIDATES]
    return rows[np.sort(chosen)]


def _clusters(at_frac: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """k-means cluster of each candidate, and whether it is the one nearest to its cluster's centre."""
    from sklearn.cluster import KMeans

    k = min(N_CLUSTERS, len(at_frac))
    model = KMeans(n_clusters=k, n_init=4, random_state=0).fit(at_frac)
    centre = np.zeros(len(at_frac), dtype=bool)
    for c in range(k):
        members = np.flatnonzero(model.labels_ == c)
        away = np.linalg.norm(at_frac[members] - model.cluster_centers_[c], axis=1)
        centre[members[away.argmin()]] = True
    return model.labels_.astype(np.intp), centre


def _columns(
    bench: Workbench, walks: WalkState, judged: Prediction, stages: Stages, margin: FloatArray, row: int
) -> dict[str, Any]:
    problem, prediction = bench.problem, walks.prediction
    columns: dict[str, Any] = {
        "base": bench.task.bases[int(walks.base[row])],
        problem.feasibility.key: round(float(prediction.p_feasible[row]), 4),
    }
    for p, spec in enumerate(problem.properties):
        for suffix, values in (("", prediction.mean), ("_lower", prediction.lower), ("_upper", prediction.upper)):
            columns[f"{spec.key}{suffix}"] = round(float(values[row, p]), spec.decimals + 1)
    quantities = problem.with_derived(prediction.mean)
    for q, derived in enumerate(problem.derived, start=len(problem.properties)):
        columns[derived.key] = round(float(quantities[row, q]), derived.decimals + 1)
    columns |= {
        "in_domain": bool(prediction.in_domain[row]),
        "domain_reason": DomainReason(int(prediction.reason[row])).name.lower(),
        "confirmed": bool(stages.confirmed[row]),
        "confirmed_margin": round(float(margin[row]), 4),
        f"judge_{problem.feasibility.key}": round(float(judged.p_feasible[row]), 4),
    }
    columns |= {
        f"judge_{spec.key}": round(float(judged.mean[row, p]), spec.decimals + 1)
        for p, spec in enumerate(problem.properties)
    }
    if stages.true is not None:
        columns["true"] = bool(stages.true[row])
    nearest = _nearest(bench, walks.at_frac[row])
    columns["new"] = nearest["nearest_distance_at_pct"] > NEW_AT_PCT
    return columns | nearest | {"steps": int(walks.step[row])}


def _nearest(bench: Workbench, at_frac: FloatArray) -> dict[str, Any]:
    """The nearest measured alloy with its distance and measured values."""
    regression, classification = bench.data.regression, bench.data.classification
    distance, found = distance_to_measured_at_pct(bench, at_frac[None])
    row = int(found[0])
    known = row < len(regression)
    table, row = (regression, row) if known else (classification, row - len(regression))
    columns: dict[str, Any] = {
        "nearest_formula": format_formula(table.at_frac[row], bench.problem.elements),
        "nearest_distance_at_pct": round(float(distance[0]), 2),
        "nearest_class": table.label[row],
    }
    for p, spec in enumerate(bench.problem.properties):
        columns[f"nearest_{spec.key}"] = float(table.values[row, p]) if known else float("nan")
    return columns
