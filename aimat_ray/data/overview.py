"""What a set of alloy data holds, as plain values: for `aimat data show`, reports and pages."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.goals import BaseGoal, goal_for_base
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.windows import base_rows


def describe_data(data: AlloyData, goal: str | None = None, percentile: float | None = None) -> dict[str, Any]:
    """Sizes, cleaning, missingness, and rows and goal per base.

    Args:
        data: What to describe.
        goal: Goal of the problem; its default one otherwise.
        percentile: Overrides the goal's percentile.
    """
    problem = data.problem
    goal = goal or problem.default_goal
    bases = [_base(data, base, goal, percentile) for base in problem.bases]
    return {
        "name": data.name,
        "checksum": data.checksum,
        "synthetic": data.synthetic,
        "location": data.location,
        "problem": problem.name,
        "tables": {
            "regression": _sizes(data.regression),
            "classification": _sizes(data.classification)
            | {"classes": dict(sorted(Counter(data.classification.label).items()))},
        },
        "cleaning": data.cleaning.to_dict(),
        "properties": _properties(data),
        "goal": goal,
        "bases": bases,
        "no_evidence": [entry["base"] for entry in bases if entry["goal"] is None],
        "cautions": problem.cautions,
    }


def goal_document(goal: BaseGoal) -> dict[str, Any]:
    """Properties, thresholds and row counts of a goal (None for a bound that does not exist)."""
    return {
        "name": goal.name,
        "properties": [item.quantity for item in goal.objectives],
        "thresholds": [
            {
                "quantity": item.quantity,
                "at_least": item.at_least if np.isfinite(item.at_least) else None,
                "at_most": item.at_most if np.isfinite(item.at_most) else None,
                "n_rows": item.n_rows,
                "source": item.source,
            }
            for item in goal.objectives
        ],
    }


def _sizes(table: AlloyTable) -> dict[str, Any]:
    return {
        "rows": len(table),
        "feasible": int((table.feasible == 1).sum()),
        "not_feasible": int((table.feasible == 0).sum()),
        "elements_per_row": {str(n): count for n, count in sorted(Counter(table.n_elements().tolist()).items())},
    }


def _properties(data: AlloyData) -> list[dict[str, Any]]:
    problem, table = data.problem, data.regression
    quantities = problem.with_derived(table.values)
    entries = []
    for i, spec in enumerate(problem.quantities):
        measured = ~np.isnan(quantities[:, i])
        values = quantities[measured, i]
        entries.append(
            {
                "key": spec.key,
                "label": spec.label,
                "unit": spec.unit,
                "n": int(measured.sum()),
                "n_feasible": int((measured & (table.feasible == 1)).sum()),
                "missing_share": round(1.0 - float(measured.mean()), 4) if len(table) else None,
                "least": float(values.min()) if len(values) else None,
                "median": float(np.median(values)) if len(values) else None,
                "largest": float(values.max()) if len(values) else None,
            }
        )
    return entries


def _base(data: AlloyData, base: str, goal: str, percentile: float | None) -> dict[str, Any]:
    problem = data.problem
    rows = base_rows(data.regression, base, problem, feasible_only=True)
    measured = ~np.isnan(problem.with_derived(data.regression.values[rows]))
    labelled = base_rows(data.classification, base, problem, feasible_only=True)
    window = data.windows.get(base)
    found = goal_for_base(problem, data, base, goal, percentile)
    return {
        "base": base,
        "rows_regression": int(rows.sum()),
        "rows_classification": int(labelled.sum()),
        "rows_per_quantity": dict(zip(problem.quantity_keys, measured.sum(axis=0).tolist(), strict=True)),
        "window": None
        if window is None
        else {
            "n_rows": window.n_rows,
            "max_elements": window.max_elements,
            "always": [problem.elements[i] for i in np.flatnonzero(window.always)],
            "n_allowed": int(window.allowed.sum()),
        },
        "goal": None if found is None else goal_document(found),
        "goal_text": "no evidence" if found is None else found.describe(problem),
    }
