from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from analytic_world import walks_at

from aimat_ray.data.composition import parse_formulas
from aimat_ray.env.goals import GoalBatch, goal_margin
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.ledger import (
    confirmed_by,
    distance_to_measured_at_pct,
    first_of_kind,
    nearest_at_pct,
    pass_stages,
    true_successes,
    within_change,
)

STAGES = ("legal", "feasible", "thresholds", "goal", "in_domain", "confirmed", "new", "distinct")
# (design, stages that it passes, whether it is a true success)
DESIGNS: list[tuple[str, int, bool]] = [
    ("Zr90Cu5Al5", 0, False),  # more Zr than the window admits
    ("Zr60Cu36Al4", 1, False),  # Al below 5
    ("Zr70Cu15Al15", 2, False),  # 3 mm
    ("Zr50Cu30Al10Ag10", 4, True),  # 6 mm, outside the domain
    ("Zr50Cu22Al10Ni18", 5, False),  # 4.4 mm; judge 2.6 mm, truth 3.5 mm
    ("Zr60Cu33Al7", 5, True),  # judge: p 0.4
    ("Zr60Cu30Al10", 6, True),  # 0.5 at% from a measured alloy
    ("Zr56Cu25Al10Ni9", 8, True),  # 5 mm, judge 4.1 mm, truth 4.55 mm
    ("Zr55.8Cu25.2Al10Ni9", 7, True),  # the same at 1 at%
]


def test_each_design_stops_at_its_stage(bench: Any) -> None:
    stages = pass_stages(bench, walks_at(bench.task, bench.predictor, [formula for formula, *_ in DESIGNS]))
    for row, (formula, n_passed, true) in enumerate(DESIGNS):
        assert [bool(getattr(stages, name)[row]) for name in STAGES] == [i < n_passed for i in range(8)], formula
        assert stages.true is not None
        assert bool(stages.true[row]) is true, formula
    # of nine: one illegal, one infeasible, one below the bound; then one, two, one and one are lost
    assert stages.counts() == {
        "legal": 8, "feasible": 7, "thresholds": 6, "goal": 6, "in_domain": 5, "confirmed": 3, "new": 2, "distinct": 1,
        "true": 5,
    }  # fmt: skip


def test_truth_is_unknown_on_measured_data(bench: Any) -> None:
    measured = replace(bench, data=SimpleNamespace(**vars(bench.data) | {"oracle": None}))
    walks = walks_at(bench.task, bench.predictor, ["Zr60Cu30Al10"])
    assert true_successes(measured, walks) is None
    assert pass_stages(measured, walks).counts()["true"] is None


def test_a_change_beyond_the_allowed_one_is_no_goal_for_anybody(bench: Any) -> None:
    walks = walks_at(bench.task, bench.predictor, ["Zr60Cu30Al10", "Zr60Cu30Al10"])
    start = parse_formulas(["Zr65Cu25Al10", "Zr64Cu26Al10"], bench.problem.elements)
    goals = replace(walks.goals, max_change=np.array([0.045, 0.045]))
    walks = replace(walks, start=start, goals=goals)
    # 5 and 4 at% of the atoms were exchanged; 4.5 are allowed
    assert within_change(walks).tolist() == [False, True]
    assert pass_stages(bench, walks).goal.tolist() == [False, True]
    assert confirmed_by(bench.task, bench.judge, walks).tolist() == [False, True]
    truth = true_successes(bench, walks)
    assert truth is not None
    assert truth.tolist() == [False, True]


def test_distance_is_the_share_of_atoms_to_exchange(bench: Any) -> None:
    at_frac = parse_formulas(["Zr60Cu30Al10", "Zr40Cu30Al15Ni15", "Zr50Cu40Ag10"], bench.problem.elements)
    distance, row = distance_to_measured_at_pct(bench, at_frac)
    # 0.5 Zr for 0.5 Cu; 1 Zr for 1 Cu (third row: the first of the class table); 10 Al for 10 Ag
    assert distance == pytest.approx([0.5, 1.0, 10.0])
    assert row.tolist() == [0, 2, 1]


def test_nearest_over_more_rows_than_one_chunk() -> None:
    rng = np.random.default_rng(0)
    measured, asked = rng.dirichlet(np.ones(5), 700), rng.dirichlet(np.ones(5), 20)
    distance, row = nearest_at_pct(asked, measured)
    every = 50 * np.abs(asked[:, None] - measured[None]).sum(axis=2)
    np.testing.assert_array_equal(row, every.argmin(axis=1))
    np.testing.assert_allclose(distance, every.min(axis=1))


def test_nothing_measured_is_infinitely_far() -> None:
    distance, _ = nearest_at_pct(np.full((1, 2), 0.5), np.zeros((0, 2)))
    assert distance.tolist() == [np.inf]


def test_first_of_kind_looks_among_the_marked_only(problem: DesignProblem) -> None:
    at_frac = parse_formulas(["Zr60Cu40", "Zr60.2Cu39.8", "Zr50Cu50", "Zr60Cu40"], problem.elements)
    assert first_of_kind(at_frac, np.array([True] * 4)).tolist() == [True, False, True, False]
    assert first_of_kind(at_frac, np.array([False, True, False, True])).tolist() == [False, True, False, False]
    assert not first_of_kind(at_frac, np.zeros(4, dtype=bool)).any()


def test_margin_is_the_smallest_relative_distance_to_a_bound() -> None:
    inf = np.inf
    goals = GoalBatch(
        at_least=np.array([[4.0, -inf], [4.0, -inf], [4.0, -inf], [-inf, -inf]]),
        at_most=np.array([[inf, 100.0], [inf, 100.0], [8.0, inf], [inf, inf]]),
        max_change=np.full(4, inf),
    )
    quantities = np.array([[5.0, 90.0], [5.0, 110.0], [7.5, 0.0], [1.0, 1.0]])
    # 5 is 25 % above 4 and 90 is 10 % below 100; 110 is 10 % above; 7.5 is 6.25 % below 8; nothing asked
    assert goal_margin(quantities, goals) == pytest.approx([0.10, -0.10, 0.0625, inf])
