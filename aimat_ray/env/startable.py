"""Which bases of a task walks can start from: one that can't must not fail the others."""

from __future__ import annotations

import numpy as np

from aimat_ray.env.legality import BoolArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import fresh_walks
from aimat_ray.errors import ProblemError
from aimat_ray.prediction import Predictor

_PROBES = 16  # starts asked for at once: a base where they are too rare for that would fail later


def startable(task: DesignTask, predictor: Predictor, seed: int = 0) -> tuple[BoolArray, list[str]]:
    """Try to draw feasible starts that are not at the goal.

    Args:
        task: What is designed.
        predictor: The surrogate.
        seed: The same seed gives the same answer.

    Returns:
        Whether each base of the task has starts, [NB]; and for those that have none, why.
    """
    possible = np.ones(len(task.bases), dtype=bool)
    reasons = []
    for b in range(len(task.bases)):
        try:
            fresh_walks(task, predictor, np.full(_PROBES, b, dtype=np.intp), np.random.default_rng([seed, b]))
        except ProblemError as error:
            possible[b] = False
            reasons.append(error.message)
    return possible, reasons
