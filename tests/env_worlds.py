"""Small tasks with surrogates that are formulas, for the tests of environment and search."""

from __future__ import annotations

from typing import Any

import numpy as np
from analytic_world import AnalyticPredictor, analytic_task, linear

from aimat_ray.config import EnvSettings
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks
from aimat_ray.problem import DesignProblem

WINDOWS = {
    "Zr": {"Zr": (40, 80), "Cu": (0, 40), "Al": (0, 20), "Ni": (0, 40), "Ti": (0, 20)},
    "Cu": {"Cu": (30, 80), "Zr": (0, 45), "Ti": (0, 30), "Ag": (0, 20)},
}


def small_world(problem: DesignProblem, **settings: Any) -> tuple[DesignTask, AnalyticPredictor]:
    """Goal: dmax of 8 mm, which is 0.5 mm per at% Al + 0.2 per at% Ni in Zr; 0.6 per at% Ag in Cu.

    Feasible up to 30 at% Ni.
    """
    nickel = problem.element_index["Ni"]

    def p_feasible(at_frac: FloatArray) -> FloatArray:
        return np.clip(0.5 + 5 * (0.3 - at_frac[:, nickel]), 0.0, 1.0)

    predictor = AnalyticPredictor(linear(problem, dmax_mm={"Al": 0.5, "Ni": 0.2, "Ag": 0.6}), p_feasible=p_feasible)
    task = analytic_task(problem, WINDOWS, {"dmax_mm": 8.0}, EnvSettings(**settings))
    return task, predictor


def small_walks(problem: DesignProblem, n: int = 60) -> tuple[DesignTask, AnalyticPredictor, WalkState]:
    """The small world, and fresh walks in it, half of them of each base."""
    task, predictor = small_world(problem)
    return task, predictor, fresh_walks(task, predictor, np.arange(n, dtype=np.intp) % 2, np.random.default_rng(0))


def still(task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
    """A proposer that always proposes to stay."""
    return np.zeros((len(state) * k, len(task.problem.elements)))
