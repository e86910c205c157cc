"""How safely a goal is met, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from analytic_world import walks_at
from env_worlds import small_world

from aimat_ray.env.safety import clipped_margin, doubt, robust_margin
from aimat_ray.problem import DesignProblem


def test_margins_and_doubts_by_hand(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    # dmax of 8, 10 and 6 mm where 8 is asked
    state = walks_at(task, predictor, ["Zr60Cu24Al16", "Zr60Cu20Al20", "Zr60Cu28Al12"])
    np.testing.assert_allclose(robust_margin(problem, state.prediction, state.goals), [0, 0.25, -0.25], atol=1e-12)
    far = replace(
        state.prediction,
        p_feasible=np.array([0.9, 1.0, 1.0]),
        distance=np.array([0.0, 0.3, 0.0]),
        in_domain=np.array([True, True, False]),
    )
    # 0.95 - 0.9; 2 x (0.3 - 0.1); 1
    np.testing.assert_allclose(doubt(far), [0.05, 0.4, 1.0])
    np.testing.assert_allclose(robust_margin(problem, far, state.goals), [-0.05, -0.15, -1.25], atol=1e-12)


def test_the_pessimistic_end_counts(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = walks_at(task, predictor, ["Zr60Cu20Al20"])
    wide = replace(state.prediction, lower=state.prediction.mean - 4)  # 6 of 8 mm
    np.testing.assert_allclose(robust_margin(problem, wide, state.goals), [-0.25])


def test_margins_are_clipped(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    goals = walks_at(task, predictor, ["Zr60Cu24Al16"] * 3).goals
    d = problem.quantity_index("dmax_mm")
    values = np.zeros((3, len(problem.quantity_keys)))
    values[:, d] = (80, -80, np.nan)
    np.testing.assert_array_equal(clipped_margin(values, goals), [0.5, -1, -1])
