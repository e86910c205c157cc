"""Bases without starts are found before they can fail the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from env_worlds import small_world

from aimat_ray.env.goals import FixedGoals
from aimat_ray.env.startable import startable
from aimat_ray.env.walk import fresh_walks
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem


def test_a_base_that_is_never_feasible_is_named(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    copper, zirconium = problem.element_index["Cu"], problem.element_index["Zr"]
    assert startable(task, predictor) == (pytest.approx([True, True]), [])
    only_zr = replace(predictor, p_feasible=lambda x: (x[:, zirconium] > x[:, copper] + 0.01) * 1.0)
    possible, reasons = startable(task, only_zr)
    assert possible.tolist() == [True, False]
    assert reasons == ["base 'Cu': found no feasible start that is not already at the goal"]


def test_where_starts_are_rare_one_serves_several_walks(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    nickel = problem.element_index["Ni"]
    seen = []

    def once(at_frac: np.ndarray) -> np.ndarray:
        """Only the first composition ever asked about is feasible."""
        if not seen:
            seen.append(at_frac[0].copy())
        return (np.abs(at_frac - seen[0]).max(axis=1) == 0) * 1.0

    rare = replace(predictor, p_feasible=once)
    base = np.zeros(4, dtype=np.intp)
    task = replace(task, goals=FixedGoals(task.goals.at_least * 100, task.goals.at_most))  # nobody starts at the goal
    state = fresh_walks(task, rare, base, np.random.default_rng(2))
    assert len(state) == 4
    assert np.abs(np.diff(state.at_frac, axis=0)).max() == 0
    assert (state.start == state.at_frac).all()
    never = replace(predictor, p_feasible=lambda x: x[:, nickel] * 0.0)
    with pytest.raises(ProblemError, match="base 'Zr'"):
        fresh_walks(task, never, base, np.random.default_rng(2))
