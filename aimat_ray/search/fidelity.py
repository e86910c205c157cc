"""How well a distilled surrogate imitates its teacher, on answers that it was not taught."""

from __future__ import annotations

from typing import Any

import numpy as np

from aimat_ray.env.goals import thresholds_met
from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.prediction import Prediction, Predictor
from aimat_ray.search.teaching import Lessons


def fidelity(task: DesignTask, net: Predictor, held_out: Lessons) -> dict[str, Any]:
    """Compare the net's answers with the surrogate's.

    Args:
        task: Gives goals and names.
        net: The distilled surrogate.
        held_out: Compositions of walks that were not taught, with the surrogate's answers.

    Returns:
        n; r2 per property; p_agreement: share of rows on the same side of the feasibility threshold; p_mae;
        domain_agreement; goal: agreement on who meets the goal of its base, precision and recall of the net's yes, with
        the number of rows behind each (None where nobody meets a goal).
    """
    own, true = net.predict(held_out.at_frac), held_out.answers
    spread = ((true.mean - true.mean.mean(axis=0)) ** 2).sum(axis=0)
    r2 = 1.0 - ((own.mean - true.mean) ** 2).sum(axis=0) / np.maximum(spread, 1e-12)
    threshold = task.problem.feasibility.threshold
    same_side = (own.p_feasible >= threshold) == (true.p_feasible >= threshold)
    return {
        "n": len(held_out),
        "r2": {key: round(float(value), 4) for key, value in zip(task.problem.property_keys, r2, strict=True)},
        "p_agreement": round(float(same_side.mean()), 4),
        "p_mae": round(float(np.abs(own.p_feasible - true.p_feasible).mean()), 4),
        "domain_agreement": round(float((own.in_domain == true.in_domain).mean()), 4),
        "goal": _goal_agreement(task, held_out.at_frac, own, true),
    }


def _goal_agreement(task: DesignTask, at_frac: FloatArray, own: Prediction, true: Prediction) -> dict[str, Any]:
    row_of = np.full(at_frac.shape[1], -1)
    row_of[task.windows.base] = np.arange(len(task.bases))
    base = row_of[at_frac.argmax(axis=1)]
    rows = np.flatnonzero(base >= 0)
    own, true = own.rows(rows), true.rows(rows)
    goals = task.goals.draw(base[rows], task.judged(true), np.random.default_rng(0))

    def meets(prediction: Prediction) -> BoolArray:
        feasible = prediction.p_feasible >= task.problem.feasibility.threshold
        return feasible & thresholds_met(task.judged(prediction), goals).all(axis=1)

    said, is_so = meets(own), meets(true)
    both = int((said & is_so).sum())
    return {
        "n": len(rows),
        "agreement": round(float((said == is_so).mean()), 4) if len(rows) else None,
        "n_true": int(is_so.sum()),
        "n_said": int(said.sum()),
        "precision": round(both / int(said.sum()), 4) if said.any() else None,
        "recall": round(both / int(is_so.sum()), 4) if is_so.any() else None,
    }
