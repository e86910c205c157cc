"""Thresholds and goals of the bases."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.goals import goal_for_base, paper_thresholds, property_range, rows_per_base
from aimat_ray.data.sources import AlloyData
from aimat_ray.problem import DesignProblem

TableMaker = Callable[..., AlloyTable]


def as_data(table: AlloyTable) -> Any:
    return SimpleNamespace(regression=table)


def test_glass_goal_by_hand(make_table: TableMaker, problem: DesignProblem) -> None:
    # 75th percentile of 1..5 is 4 (linear interpolation). Yield has 4 rows, fewer than 5: the modulus is taken.
    table = make_table(
        [f"Zr{60 + i}Cu{40 - i}" for i in range(5)] + ["Zr70Cu30"],
        {
            "dmax_mm": [1, 2, 3, 4, 5, 100],
            "yield_strength_mpa": [1500, 1600, 1700, 1800, None, 3000],
            "youngs_modulus_gpa": [80, 82, 84, 86, 88, 300],
        },
        feasible=[1, 1, 1, 1, 1, 0],
    )
    goal = goal_for_base(problem, as_data(table), "Zr", "glass")
    assert goal is not None
    first, second = goal.objectives
    assert (first.quantity, first.at_least, first.n_rows, first.source) == ("dmax_mm", 4, 5, "base")
    assert (second.quantity, second.at_least, second.n_rows) == ("youngs_modulus_gpa", 86, 5)
    assert first.at_most == np.inf
    assert goal.describe(problem) == ("goal glass of Zr: Dmax >= 4.0 mm (5 rows, base); E >= 86 GPa (5 rows, base)")
    easier = goal_for_base(problem, as_data(table), "Zr", percentile=50)
    assert easier is not None
    assert easier.objectives[0].at_least == 3


def test_group_is_pooled_and_named_else_no_evidence(make_table: TableMaker, problem: DesignProblem) -> None:
    table = make_table(
        ["Hf60Cu40", *[f"Zr{60 + i}Cu{40 - i}" for i in range(4)]],
        {"dmax_mm": [9, 1, 2, 3, 4], "youngs_modulus_gpa": [100, 80, 82, 84, 86]},
    )
    goal = goal_for_base(problem, as_data(table), "Hf", "glass")
    assert goal is not None
    assert [(o.n_rows, o.source) for o in goal.objectives] == [(5, "group:early_transition")] * 2
    assert goal.objectives[0].at_least == 4  # 75th percentile of 1, 2, 3, 4, 9
    assert goal_for_base(problem, as_data(table), "Fe", "glass") is None
    assert goal_for_base(problem, as_data(table), "Zn", "glass") is None  # belongs to no group


def test_paper_thresholds_by_hand(make_table: TableMaker, problem: DesignProblem) -> None:
    # Zr, 80th percentile of (100, 200): 180; all rows count, crystalline ones too. tg/tl: 0.7 is capped at 0.6.
    # tl is minimised: 20th percentile of (1000, 1100) is 1020. Fe has no modulus: median over (Zr 180, Cu 50) = 115.
    table = make_table(
        ["Zr60Cu40", "Zr70Cu30", "Cu60Zr40", "Fe80B20"],
        {
            "youngs_modulus_gpa": [100, 200, 50, None],
            "tg_k": [700, 770, None, None],
            "tl_k": [1000, 1100, None, None],
        },
        feasible=[1, 0, 1, 1],
    )
    key = problem.quantity_index
    zr, fe = (paper_thresholds(problem, as_data(table), base) for base in ("Zr", "Fe"))
    assert zr[key("youngs_modulus_gpa")] == pytest.approx(180)
    assert zr[key("trg")] == pytest.approx(0.6)
    assert zr[key("tl_k")] == pytest.approx(1020)
    assert fe[key("youngs_modulus_gpa")] == pytest.approx(115)
    assert np.isnan(fe[key("elongation_pct")])
    table = make_table(["Zr60Cu40"], {"youngs_modulus_gpa": [100], "elongation_pct": [2]})
    goal = goal_for_base(problem, as_data(table), "Fe", "paper")
    assert goal is not None
    assert [(o.at_least, o.source) for o in goal.objectives] == [(120, "median"), (pytest.approx(2.4), "median")]


def test_quantity_to_minimise_gets_an_upper_bound(make_table: TableMaker, problem: DesignProblem) -> None:
    spec = problem.goals["glass"].model_copy(update={"objectives": (("tl_k",),)})
    cooler = problem.model_copy(update={"goals": problem.goals | {"glass": spec}})
    table = make_table([f"Zr{60 + i}Cu{40 - i}" for i in range(5)], {"tl_k": [1000, 1010, 1020, 1030, 1040]})
    goal = goal_for_base(cooler, as_data(table), "Zr", "glass")
    assert goal is not None
    (objective,) = goal.objectives
    assert (objective.at_least, objective.at_most) == (-np.inf, 1010)  # the 25th percentile


def test_property_range(make_table: TableMaker, problem: DesignProblem) -> None:
    table = make_table(["Zr60Cu40", "Zr70Cu30"], {"tg_k": [600, 700], "tl_k": [1000, None]})
    least, largest = property_range(problem, as_data(table))
    assert (least[0], largest[0]) == (600, 700)
    assert (least[-1], largest[-1]) == (0.6, 0.6)
    assert (least[3], largest[3]) == (0, 1)


# METHOD section 2b: feasible rows with dmax / trg / modulus / yield / elongation; missing places were not stated.
STATED = {
    "Zr": (167, 154, 96, 118, 109), "Fe": (147, 148, 27, 3, 0), "Cu": (124, 125, 46, 28, 21), "Mg": (65, 67, 22, 0, 0),
    "Ni": (57, 59, 18, 6, 0), "La": (61, 61, 16, 0, 0), "Ca": (58, 58, 9, 0, 0), "Ce": (31, 30, 16, 0, 0),
    "Pd": (14, 25, 11, 0, 0), "Pr": (6, 6, 16), "Ti": (17, 17, 1), "Ag": (17, 17, 0), "Gd": (8, 6, 4), "Co": (8, 8, 3),
    "Au": (5, 6, 2),
}  # fmt: skip
ORDER = ("dmax_mm", "trg", "youngs_modulus_gpa", "yield_strength_mpa", "elongation_pct")


@pytest.mark.real_data
def test_row_counts_of_the_method(raw_real_data: AlloyData, problem: DesignProblem) -> None:
    """The stated counts give a tied row to its first element only; ours count it for each (METHOD section 1)."""
    table = raw_real_data.regression
    measured = ~np.isnan(problem.with_derived(table.values))
    columns = [problem.quantity_index(key) for key in ORDER]
    first = table.at_frac.argmax(axis=1)
    ours = rows_per_base(problem, table)
    for base, stated in STATED.items():
        mine = (first == problem.element_index[base]) & (table.feasible == 1)
        assert tuple(measured[mine].sum(axis=0)[columns])[: len(stated)] == stated, base
        assert all(ours[base][c] >= n for c, n in zip(columns, stated, strict=False)), base
    assert [ours["Zr"][c] for c in columns] == [194, 178, 117, 128, 118]
    assert [ours["Ti"][c] for c in columns] == [20, 20, 2, 5, 0]
    assert max(max(ours[base]) for base in problem.bases if base not in STATED) <= 7


@pytest.mark.real_data
def test_goals_of_the_measured_tables(real_data: AlloyData, problem: DesignProblem) -> None:
    goals = {base: goal_for_base(problem, real_data, base, "glass") for base in problem.bases}
    assert {base for base, goal in goals.items() if goal is None} == {"Nb", "W", "Mo", "Ta", "Zn", "Al"}
    zirconium = goals["Zr"]
    assert zirconium is not None
    assert [(o.quantity, o.at_least, o.n_rows) for o in zirconium.objectives] == [
        ("dmax_mm", 12.0, 194),
        ("yield_strength_mpa", pytest.approx(1800.0), 128),
    ]
    pooled = {base for base, goal in goals.items() if goal and any(o.source != "base" for o in goal.objectives)}
    assert pooled == {"Sr", "Hf", "Nd", "Pt", "Tm", "Ho", "Y", "Dy", "Er", "Lu", "Sc", "Yb", "Sm", "Tb"}
    assert all(goal_for_base(problem, real_data, base, "paper") for base in problem.bases)
    assert np.isfinite([paper_thresholds(problem, real_data, base) for base in problem.bases]).all()
