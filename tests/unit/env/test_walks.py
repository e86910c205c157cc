"""Walks: judging, starts, predictions, strict episodes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from analytic_world import AnalyticPredictor, analytic_task, linear, walks_at
from env_worlds import small_world

from aimat_ray.config import EnvSettings, RewardSettings
from aimat_ray.data.composition import parse_formulas
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.env.goals import RelativeGoals
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.observation import ObservationLayout
from aimat_ray.env.snapshot import walks_from_arrays, walks_to_arrays
from aimat_ray.env.transition import exchanged
from aimat_ray.env.walk import WalkState, advance, fresh_walks, judge, observe, predict_legal
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem


def both_bases(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.intp) % 2


def test_judgement_by_hand(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    formulas = ["Zr60Cu24Al16", "Zr60Cu25Al15", "Zr50Al16Ni34", "Zr42Al16Ni42", "Zr30Cu40Al20Ti10"]
    verdict = judge(task, walks_at(task, predictor, formulas))
    # dmax 8.0 and 7.5; p of 0.3 with Ni 34; Ni 42 is outside the window; Zr is not the largest
    np.testing.assert_array_equal(verdict.legal, [True, True, True, False, False])
    np.testing.assert_array_equal(verdict.feasible, [True, True, False, False, False])
    np.testing.assert_array_equal(verdict.thresholds, [True, False, False, False, False])
    np.testing.assert_array_equal(verdict.goal, [True, False, False, False, False])


def test_too_large_a_change_is_not_at_the_goal(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = walks_at(task, predictor, ["Zr60Cu24Al16"] * 2)
    start = parse_formulas(["Zr60Cu34Al6", "Zr60Cu28Al12"], problem.elements)  # 10 and 4 at% exchanged
    state = replace(state, start=start, goals=replace(state.goals, max_change=np.full(2, 0.08)))
    np.testing.assert_allclose(exchanged(state.at_frac, start), [0.1, 0.04])
    np.testing.assert_array_equal(judge(task, state).thresholds, [True, True])
    np.testing.assert_array_equal(judge(task, state).goal, [False, True])


def test_robust_goals_lie_inside_the_domain(problem: DesignProblem) -> None:
    task, predictor = small_world(problem, reward=RewardSettings(robust=True))
    outside = replace(predictor, in_domain=lambda x: np.zeros(len(x)))
    assert judge(task, walks_at(task, predictor, ["Zr60Cu24Al16"])).goal[0]
    verdict = judge(task, walks_at(task, outside, ["Zr60Cu24Al16"]))
    assert verdict.thresholds[0] and not verdict.goal[0]


def test_caution_says_how_far_out_on_the_pessimistic_side_goals_are_judged(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    prediction = predictor.predict(walks_at(task, predictor, ["Zr60Cu24Al16"]).at_frac)
    prediction = replace(prediction, lower=prediction.mean - 8.0, upper=prediction.mean + 4.0)
    for caution, expected_drop in ((1.0, 8.0), (0.25, 2.0)):
        reward = RewardSettings(robust=True, caution=caution)
        judged = replace(task, settings=task.settings.model_copy(update={"reward": reward})).judged(prediction)
        dmax, tl = problem.quantity_index("dmax_mm"), problem.quantity_index("tl_k")
        np.testing.assert_allclose(prediction.mean[:, dmax] - judged[:, dmax], expected_drop, atol=1e-9)
        np.testing.assert_allclose(judged[:, tl] - prediction.mean[:, tl], expected_drop / 2, atol=1e-9)
        assert (judged[:, -1] < problem.with_derived(prediction.mean)[:, -1]).all()  # the ratio Tg/Tl as well


def test_starts_are_feasible_and_not_at_the_goal(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = fresh_walks(task, predictor, both_bases(300), np.random.default_rng(0))
    verdict = judge(task, state)
    assert verdict.feasible.all()
    assert not verdict.goal.any()
    np.testing.assert_array_equal(state.at_frac, state.start)
    np.testing.assert_array_equal(state.base, both_bases(300))
    assert (state.step == 0).all()


def test_a_base_without_a_start_is_named(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    hopeless = replace(predictor, p_feasible=lambda x: np.zeros(len(x)))
    with pytest.raises(ProblemError, match="base 'Zr'"):
        fresh_walks(task, hopeless, np.zeros(2, dtype=np.intp), np.random.default_rng(0))
    easy = analytic_task(problem, {"Zr": {"Zr": (40, 80), "Cu": (0, 40), "Al": (0, 20)}}, {"dmax_mm": -1.0})
    with pytest.raises(ProblemError, match="not already at the goal"):
        fresh_walks(easy, predictor, np.zeros(2, dtype=np.intp), np.random.default_rng(0))


def test_an_empty_window_is_named(problem: DesignProblem) -> None:
    task = analytic_task(problem, {"Zr": {"Zr": (10, 20), "Cu": (0, 10), "Al": (0, 10)}}, {"dmax_mm": 8.0})
    predictor = AnalyticPredictor(linear(problem))
    with pytest.raises(ProblemError, match="admits no legal composition"):
        fresh_walks(task, predictor, np.zeros(2, dtype=np.intp), np.random.default_rng(0))


def test_illegal_compositions_cost_no_prediction(problem: DesignProblem) -> None:
    task, predictor = small_world(problem, mode="paper")
    counter = CountingPredictor(predictor)
    state = walks_at(task, predictor, ["Zr60Cu24Al16"] * 3)
    at_frac = state.at_frac.copy()
    at_frac[1, 0] = -0.1
    prediction = predict_legal(task, counter, at_frac, state.prediction)
    assert counter.n_predictions == 2
    assert np.isnan(prediction.p_feasible[1]) and np.isnan(prediction.mean[1]).all()
    assert np.isfinite(prediction.p_feasible[[0, 2]]).all()


def test_observations_are_finite_even_after_an_illegal_step(problem: DesignProblem) -> None:
    task, predictor = small_world(problem, mode="paper")
    state = walks_at(task, predictor, ["Zr96Cu2Al2"])
    action = np.array([[1.0, 1.0, -1.0, 0, 0, 0, 0]])
    after, verdict, parts, _ = advance(task, predictor, state, action)
    assert not verdict.legal[0] and not verdict.goal[0]
    assert np.isfinite(observe(task, after)).all()
    assert np.isfinite(parts.total).all()


def test_a_step_is_exact_and_leaves_its_input_alone(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = fresh_walks(task, predictor, both_bases(40), np.random.default_rng(1))
    copy = walks_to_arrays(state)
    copy = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in copy.items()}
    action = np.random.default_rng(2).uniform(-1, 1, state.at_frac.shape)
    after, _, _, _ = advance(task, predictor, state, action)
    change = after.at_frac - state.at_frac
    np.testing.assert_allclose(state.at_frac + change, after.at_frac, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(state.at_frac, copy["at_frac"])
    np.testing.assert_array_equal(after.start, state.start)
    np.testing.assert_array_equal(after.step, state.step + 1)


def test_one_prediction_per_walk_and_step(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = fresh_walks(task, predictor, both_bases(10), np.random.default_rng(1))
    counter = CountingPredictor(predictor)

    def stay(walks: WalkState, rng: np.random.Generator) -> FloatArray:
        return np.zeros_like(walks.at_frac)

    episodes = run_episodes(task, counter, state, stay, np.random.default_rng(0), max_steps=7, keep_path=True)
    assert episodes.predictions == counter.n_predictions == 70
    assert episodes.n_steps == episodes.n_legal == episodes.n_feasible == 70
    assert not episodes.goal.any()
    assert episodes.path is not None and episodes.path.shape == (8, 10, len(problem.elements))
    np.testing.assert_array_equal(episodes.path[-1], state.at_frac)


def test_a_walk_ends_at_its_goal_and_where_it_becomes_infeasible(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    # 0.5 x 14 + 0.2 x 2 = 7.4 mm, 5 at% more Al is enough; 28 at% Ni may become 31 by a step and is infeasible then
    wide = {"Zr": {"Zr": (40.0, 80.0), "Cu": (0.0, 40.0), "Al": (0.0, 20.0), "Ni": (0.0, 60.0)}}
    task = analytic_task(problem, wide, {"dmax_mm": 8.0}, EnvSettings())
    state = walks_at(task, predictor, ["Zr60Cu24Al14Ni2", "Zr50Cu20Al2Ni28"])

    def push(walks: WalkState, rng: np.random.Generator) -> FloatArray:
        action = np.zeros_like(walks.at_frac)
        is_first = walks.at_frac[:, problem.element_index["Al"]] > 0.1
        action[is_first, problem.element_index["Al"]] = 1.0
        action[~is_first, problem.element_index["Ni"]] = 1.0
        return action

    episodes = run_episodes(task, CountingPredictor(predictor), state, push, np.random.default_rng(0))
    np.testing.assert_array_equal(episodes.goal, [True, False])
    np.testing.assert_array_equal(episodes.steps, [1, 1])
    assert episodes.n_feasible == 1
    assert episodes.final.prediction.p_feasible[1] < 0.5


def test_a_remembered_answer_is_free_once(problem: DesignProblem) -> None:
    _, predictor = small_world(problem)
    counter = CountingPredictor(predictor)
    alloys = parse_formulas(["Zr60Cu24Al16", "Cu60Zr40"], problem.elements)
    first = counter.predict(alloys)
    counter.remember(alloys, first)
    assert counter.predict(alloys.copy()) is first
    assert counter.n_predictions == 2
    counter.predict(alloys)
    assert counter.n_predictions == 4
    counter.remember(alloys, first)
    counter.predict(alloys[:1])  # another question forgets it
    counter.predict(alloys)
    assert counter.n_predictions == 7


def test_snapshots_hold_everything(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    task = replace(task, goals=RelativeGoals((3,), (0,), problem.maximize))
    state = fresh_walks(task, predictor, both_bases(6), np.random.default_rng(3))
    again = walks_from_arrays(walks_to_arrays(state))
    np.testing.assert_array_equal(observe(task, again), observe(task, state))
    assert again.prediction.version == state.prediction.version


def test_blocks_tile_the_observation() -> None:
    layout = ObservationLayout(n_elements=52, n_bases=35, n_quantities=8, n_properties=7)
    edges = [(block.start, block.stop) for block in layout.blocks.values()]
    assert edges[0][0] == 0 and edges[-1][1] == layout.size
    assert all(one[1] == two[0] for one, two in pairwise(edges))
    assert ObservationLayout(52, 35, 8, 7, full=False).size == 52


def test_observation_by_hand(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = walks_at(task, predictor, ["Zr60Cu28Al12"])
    state = replace(
        state,
        start=parse_formulas(["Zr60Cu32Al8"], problem.elements),
        goals=replace(state.goals, max_change=np.array([0.08])),
    )
    seen, blocks = observe(task, state)[0], task.layout.blocks
    d = problem.quantity_index("dmax_mm")
    np.testing.assert_allclose(seen[blocks["at_frac"]], state.at_frac[0], rtol=1e-6)
    assert seen[blocks["base"]].argmax() == problem.base_index["Zr"]
    # dmax is 6 of 8: (6/8 - 1) x 4 = -1; the bound is clipped to 8 in units of the scale 1
    assert seen[blocks["satisfaction"]][d] == pytest.approx(-1)
    assert seen[blocks["at_least"]][d] == pytest.approx(8)
    assert seen[blocks["at_least_asked"]].sum() == 1 and seen[blocks["at_most_asked"]].sum() == 0
    assert seen[blocks["p_feasible"]][0] == pytest.approx(1)
    # 8 - 4 at% are left: 5 x 0.04
    assert seen[blocks["change_left"]][0] == pytest.approx(0.2)
    assert seen[blocks["displacement"]][problem.element_index["Al"]] == pytest.approx(0.4)
