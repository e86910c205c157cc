"""From predicted successes to alloys worth casting: every stage that a design passes, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.composition import composition_key
from aimat_ray.env.goals import thresholds_met
from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import exchanged
from aimat_ray.env.walk import WalkState, judge
from aimat_ray.prediction import Predictor
from aimat_ray.rl.prepare import Workbench

NEW_AT_PCT = 1.0  # nearer to a measured alloy than this is not new
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Stages:
    """Which walks pass which stage; each stage includes all before it. Every array is [B]."""

    legal: BoolArray
    feasible: BoolArray
    thresholds: BoolArray
    goal: BoolArray
    in_domain: BoolArray
    confirmed: BoolArray
    new: BoolArray
    distinct: BoolArray
    true: BoolArray | None

    def counts(self) -> dict[str, int | None]:
        """Number of walks per stage; `true` is None where the truth is unknown."""
        names = ("legal", "feasible", "thresholds", "goal", "in_domain", "confirmed", "new", "distinct")
        numbers: dict[str, int | None] = {name: int(getattr(self, name).sum()) for name in names}
        return numbers | {"true": None if self.true is None else int(self.true.sum())}


def pass_stages(bench: Workbench, walks: WalkState) -> Stages:
    """Follow designs through every stage.

    Args:
        bench: Task, judge, measured alloys and, on synthetic data, the truth.
        walks: Final states.
    """
    verdict = judge(bench.task, walks)
    in_domain = verdict.goal & walks.prediction.in_domain
    confirmed = in_domain & confirmed_by(bench.task, bench.judge, walks)
    new = confirmed & (distance_to_measured_at_pct(bench, walks.at_frac)[0] > NEW_AT_PCT)
    truth = true_successes(bench, walks)
    return Stages(
        legal=verdict.legal,
        feasible=verdict.feasible,
        thresholds=verdict.thresholds,
        goal=verdict.goal,
        in_domain=in_domain,
        confirmed=confirmed,
        new=new,
        distinct=new & first_of_kind(walks.at_frac, new),
        true=None if truth is None else verdict.goal & truth,
    )


def confirmed_by(task: DesignTask, other: Predictor, walks: WalkState) -> BoolArray:
    """Whether another surrogate also sees the design feasible and at its goal, [B]."""
    prediction = other.predict(walks.at_frac)
    feasible = prediction.p_feasible >= task.problem.feasibility.threshold
    met = thresholds_met(task.problem.with_derived(prediction.mean), walks.goals).all(axis=1)
    return feasible & met & within_change(walks)


def within_change(walks: WalkState) -> BoolArray:
    """Whether the walk stayed within the allowed change from its start, [B]."""
    return exchanged(walks.at_frac, walks.start) <= walks.goals.max_change + 1e-9


def true_successes(bench: Workbench, walks: WalkState) -> BoolArray | None:
    """Whether the design is truly feasible and at its goal, [B]; None where the truth is unknown."""
    oracle = bench.data.oracle
    if oracle is None:
        return None
    met = thresholds_met(bench.problem.with_derived(oracle.truth(walks.at_frac)), walks.goals).all(axis=1)
    return np.asarray(oracle.feasible(walks.at_frac) & met & within_change(walks))


def distance_to_measured_at_pct(bench: Workbench, at_frac: FloatArray) -> tuple[FloatArray, NDArray[np.intp]]:
    """Distance to the nearest measured alloy and its row among the property rows followed by the class rows.

    The distance is half the sum of absolute differences: the share of atoms, in at%, that would have to be exchanged.
    """
    measured = np.concatenate([bench.data.regression.at_frac, bench.data.classification.at_frac])
    return nearest_at_pct(at_frac, measured)


def nearest_at_pct(at_frac: FloatArray, measured: FloatArray) -> tuple[FloatArray, NDArray[np.intp]]:
    """Distance (at% exchanged) to the nearest of `measured` and its row, [B] each."""
    distance, row = np.full(len(at_frac), np.inf), np.zeros(len(at_frac), dtype=np.intp)
    for first in range(0, len(measured), _CHUNK):
        part = 50.0 * np.abs(at_frac[:, None] - measured[None, first : first + _CHUNK]).sum(axis=2)
        best = part.argmin(axis=1)
        value = part[np.arange(len(part)), best]
        closer = value < distance
        distance, row = np.where(closer, value, distance), np.where(closer, best + first, row)
    return distance, row


def first_of_kind(at_frac: FloatArray, among: BoolArray) -> BoolArray:
    """Marks the first of each group of designs that agree to 1 at%, among the marked rows, [B]."""
    first = np.zeros(len(at_frac), dtype=bool)
    rows = np.flatnonzero(among)
    if rows.size:
        _, index = np.unique(composition_key(at_frac[rows], 0), return_index=True)
        first[rows[index]] = True
    return first
