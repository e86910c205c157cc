"""A workbench whose surrogate, judge and truth are formulas, so that every verdict can be worked by hand.

Goal: dmax >= 4 mm. Surrogate: 0.2 mm per at% Cu, feasible from 5 at% Al, outside its domain with Ag. Judge: 0.1 mm less
per at% Ni, feasible from 8 at% Al. Truth: 0.05 mm less per at% Ni, always feasible.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from analytic_world import AnalyticPredictor, SmallBench, Truth, analytic_task, linear

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.problem import DesignProblem

WINDOW = {"Zr": (40.0, 80.0), "Cu": (0.0, 50.0), "Al": (0.0, 20.0), "Ni": (0.0, 20.0), "Ag": (0.0, 20.0)}


@pytest.fixture
def bench(problem: DesignProblem, make_table: Callable[..., AlloyTable]) -> Any:
    al, ag = problem.element_index["Al"], problem.element_index["Ag"]
    predictor = AnalyticPredictor(
        linear(problem, dmax_mm={"Cu": 0.2}),
        p_feasible=lambda x: np.where(x[:, al] >= 0.05, 1.0, 0.2),
        in_domain=lambda x: (x[:, ag] == 0).astype(float),
    )
    judge = AnalyticPredictor(
        linear(problem, dmax_mm={"Cu": 0.2, "Ni": -0.1}),
        p_feasible=lambda x: np.where(x[:, al] >= 0.08, 1.0, 0.4),
        version="judge-1",
    )
    data = SimpleNamespace(
        regression=make_table(["Zr60.5Cu29.5Al10", "Zr50Cu40Al10"], {"dmax_mm": [5.5, None]}),
        classification=make_table(["Zr41Cu29Al15Ni15"], label=["RMG"], feasible=[0.0]),
        oracle=Truth(linear(problem, dmax_mm={"Cu": 0.2, "Ni": -0.05})),
        synthetic=True,
    )
    return SmallBench(analytic_task(problem, {"Zr": WINDOW}, {"dmax_mm": 4.0}), predictor, judge, data)
