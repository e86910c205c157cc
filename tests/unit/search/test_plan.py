"""Plans: searched once per walk, for the walk's own goal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from analytic_world import AnalyticPredictor
from env_worlds import small_world

from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.env.goals import RelativeGoals, harder
from aimat_ray.env.legality import FloatArray, check_legality
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import exchanged
from aimat_ray.env.walk import WalkState, fresh_walks, judge, limits_of
from aimat_ray.problem import DesignProblem
from aimat_ray.search.plan import PlanLabeler
from aimat_ray.search.steering import steer

World = tuple[DesignTask, AnalyticPredictor]


@pytest.fixture(scope="module")
def world(problem: DesignProblem) -> World:
    return small_world(problem)


def walks(world: World, n: int = 24) -> WalkState:
    task, predictor = world
    return fresh_walks(task, predictor, np.arange(n) % 2, np.random.default_rng(3))


def relative(world: World) -> World:
    """Raise dmax by a fifth of the start's within 8 at%."""
    task, predictor = world
    dmax = task.problem.quantity_index("dmax_mm")
    goals = RelativeGoals((dmax,), (), task.problem.maximize, (0.2, 0.2), 0.08)
    return replace(task, goals=goals), predictor


@pytest.mark.parametrize("of", [lambda world: world, relative], ids=["fixed goals", "relative goals"])
def test_plans_are_legal_and_meet_the_walks_own_goals(world: World, of) -> None:
    task, predictor = of(world)
    state = walks((task, predictor))
    target, meets = PlanLabeler(task, predictor).plans(state)
    assert meets.mean() > 0.9
    there = replace(state, at_frac=target, prediction=predictor.predict(target))
    assert judge(task, there).goal[meets].all()
    assert check_legality(target, limits_of(task, state.base)).legal.all()
    assert (exchanged(target, state.start) <= state.goals.max_change + 1e-9).all()


def test_following_the_labels_leads_to_the_goal(world: World) -> None:
    task, predictor = world
    labeler, state = PlanLabeler(task, predictor), walks(world)

    def follow(state: WalkState, rng: np.random.Generator) -> FloatArray:
        effect, _ = labeler(state)
        return steer(task, state, state.at_frac + task.max_step * effect)

    walked = run_episodes(task, CountingPredictor(predictor), state, follow, np.random.default_rng(0), max_steps=30)
    assert walked.goal.mean() > 0.9


def test_a_goal_out_of_reach_has_no_label(world: World) -> None:
    task, predictor = world
    state = walks(world)
    _, weight = PlanLabeler(task, predictor)(replace(state, goals=harder(state.goals, 50.0)))
    assert not weight.any()


def test_a_walk_is_searched_for_once_and_again_after_a_swap(world: World) -> None:
    task, predictor = world
    state, labeler = walks(world), PlanLabeler(task, predictor)
    first, _ = labeler.plans(state)
    spent = labeler.predictions
    assert 0 < spent <= len(state) * (labeler.settings.population * labeler.settings.generations + 1)
    again, _ = labeler.plans(state.rows(np.arange(5)))
    np.testing.assert_array_equal(again, first[:5])
    assert labeler.predictions == spent
    labeler.predictor = replace(predictor, version="another")
    labeler.plans(state.rows(np.arange(5)))
    assert labeler.predictions > spent


def test_a_checkpoint_keeps_the_plans_of_open_walks(world: World) -> None:
    task, predictor = world
    state, labeler, resumed = walks(world), PlanLabeler(task, predictor), PlanLabeler(task, predictor)
    resumed.remember(state, labeler.recall(state))
    for found, kept in zip(resumed.plans(state), labeler.plans(state), strict=True):
        np.testing.assert_array_equal(found, kept)
    assert resumed.predictions == 0
