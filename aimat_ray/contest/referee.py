"""The referee: predicts every design of a list anew and believes nothing that a method says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aimat_ray.contest.notebook import is_alloy
from aimat_ray.env.episodes import beyond_80
from aimat_ray.env.goals import GoalBatch, thresholds_met
from aimat_ray.env.legality import BoolArray, FloatArray, check_legality
from aimat_ray.env.walk import WalkState, limits_of
from aimat_ray.rl.prepare import Workbench
from aimat_ray.search.diversity import distinct_rows, families

_TOP_RATIO = 1.5  # of a value to its bound, in the hypervolume: what is beyond counts no further


@dataclass(frozen=True)
class Verdict:
    """Which designs of a list pass which stage; every array is [N]. A stage includes the ones before it.

    `true` is apart: legal, and truly feasible and at the goal, whatever the surrogates say of it.
    """

    legal: BoolArray
    window: BoolArray
    feasible: BoolArray
    thresholds: BoolArray
    in_domain: BoolArray
    confirmed: BoolArray
    true: BoolArray | None


class Referee:
    """Judges lists of designs of one base.

    Args:
        bench: Task, surrogate, judge and, where there is one, the truth.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.knows_truth = bench.data.oracle is not None

    def judge(self, at_frac: FloatArray) -> dict[str, Any]:
        """Counts and scores of a list, [N, E]: what a row of the results says."""
        legal = is_alloy(self._bench.task, at_frac)
        good = at_frac[legal]
        verdict, met_80 = self._pass(at_frac, legal)
        success = verdict.confirmed if verdict.true is None else verdict.true
        n = len(at_frac)
        row: dict[str, Any] = {"n": n}
        row |= {
            name: int(getattr(verdict, name).sum())
            for name in ("legal", "window", "feasible", "thresholds", "in_domain", "confirmed")
        }
        row["true"] = None if verdict.true is None else int(verdict.true.sum())
        row["sr_legal"], row["sr_cls"] = _share(row["legal"], n), _share(row["feasible"], row["legal"])
        row["sr_goal"] = _share(row["thresholds"], n)
        row |= {f"sr80_{key}": _share(int(count), row["feasible"]) for key, count in met_80.items()}
        for name, marked in (("confirmed", verdict.confirmed), ("true", verdict.true)):
            row |= {f"distinct_{name}": None, f"families_{name}": None, f"systems_{name}": None}
            if marked is not None:
                row |= {f"{kind}_{name}": count for kind, count in _diversity(at_frac[marked]).items()}
        row["hits"] = row["distinct_confirmed" if verdict.true is None else "distinct_true"]
        row["hypervolume"] = self._hypervolume(good, success[legal])
        return row

    def _walks(self, at_frac: FloatArray) -> WalkState:
        task = self._bench.task
        base = np.zeros(len(at_frac), dtype=np.intp)
        prediction = self._bench.predictor.predict(at_frac)
        goals = task.goals.draw(base, task.judged(prediction), np.random.default_rng(0))
        return WalkState(at_frac, at_frac.copy(), base, base.copy(), goals, prediction)

    def _pass(self, at_frac: FloatArray, legal: BoolArray) -> tuple[Verdict, dict[str, int]]:
        problem, nothing = self._bench.problem, np.zeros(len(at_frac), dtype=bool)
        stages = {name: nothing.copy() for name in ("window", "feasible", "thresholds", "in_domain", "confirmed")}
        true = nothing.copy() if self.knows_truth else None
        if not legal.any():
            return Verdict(legal, **stages, true=true), dict.fromkeys(problem.quantity_keys, 0)
        walks = self._walks(at_frac[legal])
        judged = self._bench.judge.predict(walks.at_frac)
        least = problem.feasibility.threshold
        window = check_legality(walks.at_frac, limits_of(self._bench.task, walks.base)).legal
        feasible = walks.prediction.p_feasible >= least
        thresholds = feasible & _met(problem.with_derived(walks.prediction.mean), walks.goals)
        in_domain = thresholds & walks.prediction.in_domain
        agreed = (judged.p_feasible >= least) & _met(problem.with_derived(judged.mean), walks.goals)
        found = (window, feasible, thresholds, in_domain, in_domain & agreed)
        for name, passed in zip(stages, found, strict=True):
            stages[name][legal] = passed
        if true is not None:
            true[legal] = self._true(walks)
        met_80 = beyond_80(self._bench.task, walks)[feasible].sum(axis=0)
        counts = dict(zip(problem.quantity_keys, met_80.tolist(), strict=True))
        return Verdict(legal, **stages, true=true), counts

    def _true(self, walks: WalkState) -> BoolArray:
        oracle: Any = self._bench.data.oracle
        met = _met(self._bench.problem.with_derived(oracle.truth(walks.at_frac)), walks.goals)
        return np.asarray(oracle.feasible(walks.at_frac) & met)

    def _hypervolume(self, at_frac: FloatArray, success: BoolArray) -> float:
        """Share of the box that the successful designs dominate, each objective over its bound; 0 without any.

        By the truth where it is known, else by the judge's means. One axis per objective, from 0 to 1.5 bounds.
        """
        if not success.any():
            return 0.0
        from pymoo.indicators.hv import HV

        chosen, oracle = at_frac[success], self._bench.data.oracle
        values = self._bench.judge.predict(chosen).mean if oracle is None else oracle.truth(chosen)
        quantities = self._bench.problem.with_derived(values)
        goals = self._walks(chosen[:1]).goals
        asked = np.flatnonzero(np.isfinite(goals.at_least[0]))
        if asked.size == 0:
            return float("nan")
        ratio = np.clip(quantities[:, asked] / goals.at_least[0, asked], 0.0, _TOP_RATIO) / _TOP_RATIO
        return float(HV(ref_point=np.zeros(len(asked)))(-ratio))


def _met(quantities: FloatArray, goals: GoalBatch) -> BoolArray:
    return np.asarray(thresholds_met(quantities, goals).all(axis=1))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _diversity(at_frac: FloatArray) -> dict[str, int]:
    """Different designs: at 1 at%, families of variants (5 at% of the atoms), and sets of elements."""
    if len(at_frac) == 0:
        return {"distinct": 0, "families": 0, "systems": 0}
    return {
        "distinct": len(distinct_rows(at_frac, np.zeros(len(at_frac)))),
        "families": int(families(at_frac, np.arange(len(at_frac))).max()) + 1,
        "systems": len(np.unique(at_frac > 0, axis=0)),
    }
