from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from analytic_world import AnalyticPredictor, analytic_task, linear

from aimat_ray.config import EnvSettings, RewardSettings
from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.composition import composition_key
from aimat_ray.data.sources import AlloyData
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import paper_step, simplex_step
from aimat_ray.env.walk import limits_of
from aimat_ray.experience.pool import TrustedPool, build_pool, experience_of, usable_in
from aimat_ray.problem import DesignProblem

STEP = 0.05
# Quaternary alloys on a line, 4 at% apart, the second measured twice; one of other elements; one of two elements.
FORMULAS = ("Zr64Cu16Al10Ni10", "Zr60Cu20Al10Ni10", "Zr56Cu24Al10Ni10", "Zr60Cu20Al10Ni10", "Zr60Cu30Al10", "Zr60Cu40")
# So the pairs one step apart are 0-1, 1-2 and the same with 3 in place of 1, and 1-3 which changes nothing.
PAIRS = {(0, 1), (1, 0), (1, 2), (2, 1), (0, 3), (3, 0), (3, 2), (2, 3), (1, 3), (3, 1)}
TG = (640.0, None, 680.0, 661.0, 650.0, 630.0)
DMAX = (3.0, 4.0, 5.0, None, 1.0, 1.0)
ZR = {"Zr": (40.0, 80.0), "Cu": (0.0, 50.0), "Al": (0.0, 20.0), "Ni": (0.0, 20.0)}
CU = {"Cu": (40.0, 80.0), "Zr": (0.0, 50.0), "Al": (0.0, 20.0), "Ni": (0.0, 20.0)}


@pytest.fixture
def table(make_table: Callable[..., AlloyTable]) -> AlloyTable:
    return make_table(FORMULAS, {"tg_k": TG, "dmax_mm": DMAX})


@pytest.fixture
def pool(table: AlloyTable) -> TrustedPool:
    return build_pool(table, STEP)


def make_task(problem: DesignProblem, **settings: object) -> DesignTask:
    return analytic_task(problem, {"Zr": ZR, "Cu": CU}, {"dmax_mm": 4.5}, EnvSettings(**settings))  # type: ignore[arg-type]


def row_of(pool: TrustedPool, first: int, second: int) -> int:
    (row,) = np.flatnonzero((pool.source_row == [first, second]).all(axis=1))
    return int(row)


def test_every_ordered_pair_one_step_apart_is_a_transition(pool: TrustedPool) -> None:
    assert {tuple(pair) for pair in pool.source_row.tolist()} == PAIRS
    assert len(pool) == 10
    assert pool.n_compositions == 4  # rows 0, 1, 2, 3


def test_the_action_is_what_is_added(pool: TrustedPool, problem: DesignProblem) -> None:
    row = row_of(pool, 0, 1)
    zr, cu = problem.element_index["Zr"], problem.element_index["Cu"]
    assert pool.change[row, [zr, cu]] == pytest.approx([-0.04, 0.04])  # Zr64 -> Zr60, Cu16 -> Cu20
    np.testing.assert_array_equal(pool.change[row], -pool.change[row_of(pool, 1, 0)])
    assert pool.max_abs_residual <= 1e-12
    np.testing.assert_allclose(pool.change.sum(axis=1), 0.0, atol=1e-12)


def test_two_measurements_of_one_alloy_change_nothing(pool: TrustedPool) -> None:
    assert not pool.change[row_of(pool, 1, 3)].any()
    assert not pool.change[row_of(pool, 3, 1)].any()


def test_provenance_is_kept_per_property_and_end(pool: TrustedPool, problem: DesignProblem) -> None:
    tg, dmax = (problem.property_keys.index(key) for key in ("tg_k", "dmax_mm"))
    row = row_of(pool, 1, 3)  # tg is measured at the second end only, dmax at the first only
    assert pool.measured[row][:, [tg, dmax]].tolist() == [[False, True], [True, False]]
    assert pool.values[row, 1, tg] == 661.0
    assert pool.values[row, 0, dmax] == 4.0
    assert not pool.measured[:, :, problem.property_keys.index("elongation_pct")].any()


def test_an_empty_pool_is_a_pool(make_table: Callable[..., AlloyTable], problem: DesignProblem) -> None:
    pool = build_pool(make_table(["Zr60Cu30Al10", "Fe80B20", "Zr60Cu20Al10Ni10"]), STEP)
    assert len(pool) == pool.n_compositions == 0
    assert pool.max_abs_residual == 0.0
    usable, base = usable_in(pool, make_task(problem), only_measured=False)
    task, predictor = make_task(problem), AnalyticPredictor(linear(problem))
    assert len(experience_of(usable, base, task, predictor, np.random.default_rng(0)).reward) == 0


def test_only_moves_of_the_tasks_own_bases_are_usable(
    make_table: Callable[..., AlloyTable], problem: DesignProblem
) -> None:
    # the tie counts for Zr and for Cu; from it, Zr leads to one side and Cu to the other; Fe is no base of the task
    table = make_table(["Zr40Cu40Al10Ni10", "Zr42Cu38Al10Ni10", "Zr38Cu42Al10Ni10", "Fe60Cu20Al20", "Fe61Cu20Al19"])
    usable, base = usable_in(build_pool(table, STEP), make_task(problem), only_measured=False)
    found = {(int(b), *pair) for b, pair in zip(base, usable.source_row.tolist(), strict=True)}
    assert found == {(0, 0, 1), (0, 1, 0), (1, 0, 2), (1, 2, 0)}  # 1 and 2 are 4 at% apart but have no base in common


def test_only_measured_asks_for_the_goals_quantities_at_both_ends(pool: TrustedPool, problem: DesignProblem) -> None:
    usable, base = usable_in(pool, make_task(problem), only_measured=True)
    # the goal asks for dmax, which row 3 lacks; that tg is unknown in row 1 does not matter
    assert {tuple(pair) for pair in usable.source_row.tolist()} == {(0, 1), (1, 0), (1, 2), (2, 1)}
    assert (base == 0).all()


def test_rewards_take_measured_values_and_predicted_ones_elsewhere(pool: TrustedPool, problem: DesignProblem) -> None:
    # predicted dmax: 0.2 mm per at% Cu, so 4.0 at Cu20 (where row 3 has no measurement) and 4.8 at Cu24
    predictor = AnalyticPredictor(linear(problem, dmax_mm={"Cu": 0.2}))
    task = make_task(problem, reward=RewardSettings(progress_weight=1.0, step_cost=0.0, goal_bonus=2.0))
    usable, base = usable_in(pool, task, only_measured=False)
    lived = experience_of(usable, base, task, predictor, np.random.default_rng(0))
    rows = {pair: row_of(usable, *pair) for pair in PAIRS}
    # 0 -> 1: measured 3.0 -> 4.0 of 4.5 wanted: satisfaction 3/4.5 -> 4/4.5
    assert lived.reward[rows[0, 1]] == pytest.approx(1 / 4.5)
    # 3 -> 2: predicted 4.0 -> measured 5.0 (not the predicted 4.8, which would give the same): the rest, and the bonus
    assert lived.reward[rows[3, 2]] == pytest.approx(1 - 4 / 4.5 + 2.0)
    assert lived.terminated.tolist() == [pair[1] == 2 for pair in usable.source_row.tolist()]
    # 1 -> 3: measured 4.0 -> predicted 4.0, nothing gained
    assert lived.reward[rows[1, 3]] == pytest.approx(0.0)


@pytest.mark.parametrize("mode", ["simplex", "paper"])
def test_the_stored_action_makes_the_environment_take_the_same_step(
    mode: str, pool: TrustedPool, problem: DesignProblem
) -> None:
    task = make_task(problem, mode=mode)
    usable, base = usable_in(pool, task, only_measured=False)
    predictor = AnalyticPredictor(linear(problem))
    action = experience_of(usable, base, task, predictor, np.random.default_rng(0)).action.astype(np.float64)
    if mode == "paper":
        reached = paper_step(usable.at_frac, action, STEP)
    else:
        reached = simplex_step(usable.at_frac, action, limits_of(task, base), STEP)
    np.testing.assert_allclose(reached, usable.next_at_frac, atol=1e-8)  # actions are stored in single precision
    assert np.abs(action).max() <= 1.0


@pytest.mark.real_data
def test_size_on_the_released_table(raw_real_data: AlloyData, real_data: AlloyData) -> None:
    pool = build_pool(raw_real_data.regression, STEP)
    assert 4070 <= len(pool) <= 4072
    assert pool.n_compositions == 881  # rows; 20 of them repeat a composition
    at_frac = raw_real_data.regression.at_frac[np.unique(pool.source_row)]
    assert len(set(composition_key(at_frac, 2))) == 861
    assert pool.max_abs_residual <= 1e-12
    assert int((pool.change == 0).all(axis=1).sum()) == 42
    assert len(build_pool(real_data.regression, STEP)) == len(pool)  # the cleaning removes rows that take no part
