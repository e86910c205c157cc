"""Whether a knowledge score agrees with what was measured; said before anybody trusts it in a reward."""

from __future__ import annotations

from typing import Any

import numpy as np

from aimat_ray.data.composition import system_key
from aimat_ray.data.sources import AlloyData
from aimat_ray.refine.knowledge.rules import RULES, RuleScorer
from aimat_ray.surrogate.validation import score_class

LEAST_ROWS = 20


def agreement(data: AlloyData) -> dict[str, Any]:
    """Hold the rules against the measured alloys.

    Args:
        data: Both tables; Tg/Tl of a row is the measured one.

    Returns:
        `score`: AUC of the score for the feasible class and rank correlation with the casting diameter, with 95 %
        intervals over chemical systems; `rules`: the AUC of each rule alone.
    """
    problem, table = data.problem, data.regression
    scores = RuleScorer(problem).score(np.array(table.at_frac), problem.with_derived(np.array(table.values)))
    classes = data.classification if len(data.classification) else table
    of_class = RuleScorer(problem).score(np.array(classes.at_frac))
    _, system = np.unique(system_key(np.array(classes.at_frac), problem.elements).astype(str), return_inverse=True)
    labels = np.array(classes.feasible)
    document: dict[str, Any] = {"score": _auc(labels, of_class.total, system), "rules": {}, "n_rows": len(classes)}
    for r, rule in enumerate(RULES):
        said = of_class.contributions[:, r]
        document["rules"][rule.name] = {
            "words": rule.words, "weight": rule.weight, "auc": (_auc(labels, said, system) or {}).get("auc"),
        }  # fmt: skip
    if "dmax_mm" in problem.property_keys:
        document["dmax_rank_correlation"] = _spearman(
            np.array(table.values[:, problem.property_keys.index("dmax_mm")]), scores.total
        )
    return document


def _auc(labels: Any, score: Any, system: Any) -> dict[str, Any] | None:
    if np.ptp(score) == 0:
        return None
    scored = score_class(labels, (score + 1) / 2, system)
    if scored is None:
        return None
    return {
        "auc": scored.auc,
        "lower": scored.lower,
        "upper": scored.upper,
        "n": scored.n,
        "n_systems": scored.n_systems,
    }


def _spearman(measured: Any, score: Any) -> dict[str, Any] | None:
    known = np.isfinite(measured)
    n = int(known.sum())
    if n < LEAST_ROWS:
        return None
    rank = [np.argsort(np.argsort(v[known])) for v in (measured, score)]
    return {"r": float(np.corrcoef(rank[0], rank[1])[0, 1]), "n": n}
