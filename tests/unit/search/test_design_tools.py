"""Search as a tool: designs, demonstrations, lookahead labels, diversity."""

from __future__ import annotations

import numpy as np
import pytest
from analytic_world import walks_at
from env_worlds import small_world

from aimat_ray.env.episodes import CountingPredictor
from aimat_ray.env.walk import fresh_walks, judge, limits_of, observe
from aimat_ray.errors import ConfigError
from aimat_ray.experience.buffer import FlatReplayBuffer, transition_schema
from aimat_ray.problem import DesignProblem
from aimat_ray.search.controls import ZeroAction
from aimat_ray.search.demonstrations import demonstrate, greedy_demonstrations
from aimat_ray.search.design import METHODS, search_designs
from aimat_ray.search.diversity import distinct_rows, families, spread_rows
from aimat_ray.search.lookahead import LookaheadLabeler


@pytest.mark.parametrize("method", METHODS)
def test_designs_are_distinct_and_at_the_goal(problem: DesignProblem, method: str) -> None:
    task, predictor = small_world(problem)
    found = search_designs(task, predictor, method, 4_000, np.random.default_rng(0))
    assert len(found) >= 10
    assert judge(task, found.walks).goal.all()
    apart = np.abs(found.walks.at_frac[:, None] - found.walks.at_frac[None]).max(axis=2) + np.eye(len(found))
    assert apart.min() > 0.01
    assert found.predictions < 4_000 + 2_048  # one walk of greedy search at most beyond the budget
    assert (found.steps >= 1).all() and (found.steps <= task.settings.max_steps).all()
    assert 0 < found.n_goal <= found.n_tried


@pytest.mark.parametrize("method", METHODS)
def test_designs_start_where_they_are_told_to(problem: DesignProblem, method: str) -> None:
    task, predictor = small_world(problem)
    start = walks_at(task, predictor, ["Zr64Cu30Al6"])
    found = search_designs(task, predictor, method, 2_000, np.random.default_rng(0), start=start)
    assert len(found) > 0
    np.testing.assert_array_equal(found.walks.start, np.repeat(start.at_frac, len(found), axis=0))


def test_an_impossible_goal_gives_nothing(problem: DesignProblem) -> None:
    from dataclasses import replace

    task, predictor = small_world(problem)
    task = replace(task, goals=replace(task.goals, at_least=task.goals.at_least * 10))  # type: ignore[attr-defined, type-var]
    for method in METHODS:
        found = search_designs(task, predictor, method, 600, np.random.default_rng(0))
        assert (len(found), found.n_goal) == (0, 0)
        assert found.predictions > 0


def test_unknown_methods_and_empty_budgets_are_bad_input(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    with pytest.raises(ConfigError, match="unknown search method 'magic'; expected one of: archive, greedy"):
        search_designs(task, predictor, "magic", 100, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="at least 1 prediction"):
        search_designs(task, predictor, "local", 0, np.random.default_rng(0))


@pytest.mark.parametrize("mode", ["simplex", "paper"])
def test_demonstrations_fit_the_replay_buffer(problem: DesignProblem, mode: str) -> None:
    task, predictor = small_world(problem, mode=mode)
    columns, spent = greedy_demonstrations(task, predictor, np.random.default_rng(0), n_transitions=150, k=4)
    n_elements, n_actions = len(problem.elements), columns["actions"].shape[1]
    extras = {
        "at_frac": ((n_elements,), np.float32),
        "next_at_frac": ((n_elements,), np.float32),
        "label": ((n_actions,), np.float32),
    }
    buffer = FlatReplayBuffer(transition_schema(task.layout.size, n_actions, extras), 200, np.random.default_rng(0))
    buffer.add(columns)
    assert len(buffer) == 150
    assert spent >= 4 * 150
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in columns.values())
    assert np.abs(columns["actions"]).max() <= 1
    ends = columns["terminateds"] > 0
    assert 0.01 < ends.mean() < 0.9
    assert columns["rewards"][ends].mean() > columns["rewards"][~ends].mean()
    if mode == "simplex":
        change = columns["next_at_frac"] - columns["at_frac"]
        np.testing.assert_allclose(columns["label"] * task.max_step, change, atol=1e-6)


def test_a_walk_cut_off_by_the_step_limit_is_not_terminated(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    start = fresh_walks(task, predictor, np.zeros(5, dtype=np.intp), np.random.default_rng(0))
    columns = demonstrate(
        task, CountingPredictor(predictor), start, ZeroAction(task), np.random.default_rng(0), max_steps=4
    )
    assert columns["rewards"].shape == (20,)
    assert not columns["terminateds"].any()
    np.testing.assert_array_equal(columns["obs"][:5], observe(task, start))


def test_lookahead_labels_lead_uphill(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = walks_at(task, predictor, ["Zr60Cu34Al6"] * 8)
    labeler = LookaheadLabeler(task, predictor, k=32)
    effect, weight = labeler(state)
    aluminium = problem.element_index["Al"]
    assert (effect[:, aluminium] > 0.2).all()  # the one element of this alloy that counts
    np.testing.assert_allclose(effect.sum(axis=1), 0, atol=1e-5)
    np.testing.assert_array_equal(weight, 1)
    np.testing.assert_array_equal(labeler(state)[0], effect)
    limits = limits_of(task, state.base)
    there = state.at_frac + task.max_step * effect
    assert (there >= limits.lower - 1e-6).all() and (there <= limits.upper + 1e-6).all()


def test_distinct_rows_keep_the_better_of_two_equal_ones() -> None:
    at_frac = np.array([[0.5, 0.5], [0.505, 0.495], [0.52, 0.48], [0.7, 0.3]])
    np.testing.assert_array_equal(distinct_rows(at_frac, np.array([1.0, 2, 0, 3])), [3, 1, 2])
    np.testing.assert_array_equal(distinct_rows(at_frac, np.array([1.0, 2, 0, 3]), n=2), [3, 1])
    np.testing.assert_array_equal(distinct_rows(at_frac, np.arange(4.0), within_at_pct=50.0), [3])
    assert len(distinct_rows(at_frac[:0], np.zeros(0))) == 0


def test_families_gather_around_the_best() -> None:
    at_frac = np.array([[0.5, 0.5], [0.54, 0.46], [0.58, 0.42], [0.9, 0.1], [0.55, 0.45]])
    # row 2 founds a family of all within 5 at%: rows 1 and 4; row 0 is 8 at% away
    np.testing.assert_array_equal(families(at_frac, np.array([2, 0, 1, 3, 4])), [1, 0, 0, 2, 0])
    np.testing.assert_array_equal(families(at_frac, np.array([0, 1, 2, 3, 4])), [0, 0, 1, 2, 0])
    assert len(families(at_frac[:0], np.zeros(0, dtype=np.intp))) == 0


def test_spread_rows_go_to_the_farthest() -> None:
    at_frac = np.array([[0.5, 0.5], [0.51, 0.49], [0.9, 0.1], [0.7, 0.3], [0.5, 0.5]])
    np.testing.assert_array_equal(spread_rows(at_frac, 3, np.array([0])), [0, 2, 3])
    np.testing.assert_array_equal(spread_rows(at_frac, 9, np.zeros(0, dtype=np.intp)), [0, 2, 3, 1])
    assert len(spread_rows(at_frac[:0], 3, np.zeros(0, dtype=np.intp))) == 0
