"""Controls: their price, their order, and that they do what their names say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from env_worlds import small_world

from aimat_ray.config import RewardSettings
from aimat_ray.env.episodes import Chooser, CountingPredictor, Episodes, run_episodes
from aimat_ray.env.goals import RelativeGoals
from aimat_ray.env.walk import WalkState, fresh_walks, judge
from aimat_ray.problem import DesignProblem
from aimat_ray.search.controls import Greedy, LocalSearch, RandomAction, RandomMoves, ZeroAction
from aimat_ray.search.merit import ILLEGAL, INFEASIBLE, best_of, merit_of

MODES = ["simplex", "paper"]


def run(problem: DesignProblem, name: str, mode: str = "simplex", n: int = 40, **kwargs: int) -> tuple[Episodes, int]:
    task, predictor = small_world(problem, mode=mode)
    start = fresh_walks(task, predictor, np.arange(n, dtype=np.intp) % 2, np.random.default_rng(0))
    counter = CountingPredictor(predictor)
    choosers: dict[str, Chooser] = {
        "zero": ZeroAction(task),
        "random": RandomAction(task),
        "moves": RandomMoves(task),
        "greedy": Greedy(task, counter, 16),
        "local": LocalSearch(task, counter),
        "scored": Greedy(task, counter, 16, scorer=predictor),
    }
    return run_episodes(task, counter, start, choosers[name], np.random.default_rng(1), **kwargs), counter.n_predictions


@pytest.mark.parametrize("mode", MODES)
def test_zero_action_never_arrives(problem: DesignProblem, mode: str) -> None:
    episodes, spent = run(problem, "zero", mode, max_steps=5)
    assert not episodes.goal.any()
    assert spent == episodes.n_steps == 200
    np.testing.assert_allclose(episodes.final.at_frac, episodes.final.start, atol=1e-15)


@pytest.mark.parametrize("name", ["random", "moves", "local", "scored"])
def test_one_prediction_per_step(problem: DesignProblem, name: str) -> None:
    episodes, spent = run(problem, name)
    assert spent == episodes.predictions == episodes.n_steps


def test_greedy_pays_k_predictions_per_step(problem: DesignProblem) -> None:
    episodes, spent = run(problem, "greedy")
    assert spent == 16 * episodes.n_steps


def test_local_search_of_the_published_mode_pays_at_most_one_per_step(problem: DesignProblem) -> None:
    # an illegal proposal costs nothing, and neither does staying
    episodes, spent = run(problem, "local", "paper")
    assert spent <= episodes.n_steps


@pytest.mark.parametrize("mode", MODES)
def test_greedy_and_local_search_beat_chance(problem: DesignProblem, mode: str) -> None:
    rate = {name: run(problem, name, mode)[0].goal.mean() for name in ("zero", "random", "local", "greedy", "scored")}
    assert rate["zero"] == 0
    assert rate["greedy"] >= rate["local"] > rate["random"]
    if mode == "simplex":
        assert rate["greedy"] == 1  # the goal is always reachable in this world
        assert rate["scored"] == 1


@pytest.mark.parametrize("mode", MODES)
def test_looking_ahead_never_ends_infeasible_where_it_can_avoid_it(problem: DesignProblem, mode: str) -> None:
    for name in ("greedy", "local"):
        episodes, _ = run(problem, name, mode)
        assert episodes.n_feasible >= 0.99 * episodes.n_steps


def test_local_search_never_gets_worse(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    start = fresh_walks(task, predictor, np.arange(20, dtype=np.intp) % 2, np.random.default_rng(0))
    counter = CountingPredictor(predictor)
    search = LocalSearch(task, counter)
    seen: dict[bytes, list[float]] = {}

    def spy(state: WalkState, rng: np.random.Generator) -> np.ndarray:
        for walk, merit in zip(state.start, merit_of(task, state), strict=True):
            seen.setdefault(walk.tobytes(), []).append(merit)
        return search(state, rng)

    run_episodes(task, counter, start, spy, np.random.default_rng(1), max_steps=10)
    assert sum(len(merits) for merits in seen.values()) > 60
    assert all((np.diff(merits) >= 0).all() for merits in seen.values())


def test_the_scorer_is_counted_apart(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    start = fresh_walks(task, predictor, np.zeros(10, dtype=np.intp), np.random.default_rng(0))
    counter, scorer = CountingPredictor(predictor), CountingPredictor(predictor)
    episodes = run_episodes(task, counter, start, Greedy(task, counter, 8, scorer), np.random.default_rng(1))
    assert counter.n_predictions == episodes.n_steps
    assert scorer.n_predictions == 8 * episodes.n_steps


def test_the_same_seed_walks_the_same_way(problem: DesignProblem) -> None:
    one, two = run(problem, "greedy")[0], run(problem, "greedy")[0]
    np.testing.assert_array_equal(one.final.at_frac, two.final.at_frac)
    np.testing.assert_array_equal(one.steps, two.steps)


def test_a_limited_change_is_kept(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    d = problem.quantity_index("dmax_mm")
    task = replace(task, goals=RelativeGoals((d,), (), problem.maximize, gain=(0.1, 0.2), max_change=0.06))
    start = fresh_walks(task, predictor, np.arange(30, dtype=np.intp) % 2, np.random.default_rng(0))
    counter = CountingPredictor(predictor)
    episodes = run_episodes(task, counter, start, Greedy(task, counter), np.random.default_rng(1))
    change = 0.5 * np.abs(episodes.final.at_frac - episodes.final.start).sum(axis=1)
    assert episodes.goal.mean() > 0.8
    assert (change[episodes.goal] <= 0.06 + 1e-9).all()


def test_merit_ranks_illegal_below_infeasible_below_feasible(problem: DesignProblem) -> None:
    from analytic_world import walks_at

    task, predictor = small_world(problem, reward=RewardSettings(feasibility_barrier=0.0))
    state = walks_at(task, predictor, ["Zr60Cu24Al16", "Zr60Cu28Al12", "Zr50Al16Ni34", "Zr30Cu40Al20Ti10"])
    # at the goal: closeness 1 plus the bonus; 6 of 8 mm; p = 0.5 + 5 x (0.3 - 0.34); Zr is not the largest
    np.testing.assert_allclose(merit_of(task, state), [2, 0.75, INFEASIBLE + 0.3, ILLEGAL])
    np.testing.assert_allclose(merit_of(task, state, judge(task, state)), merit_of(task, state))


def test_the_barrier_of_the_reward_is_part_of_the_merit(problem: DesignProblem) -> None:
    from analytic_world import walks_at

    task, predictor = small_world(problem)
    state = walks_at(task, predictor, ["Zr60Al12Ni28"])  # 6 + 5.6 mm; p = 0.6 lacks 0.2 of 0.8
    assert merit_of(task, state)[0] == pytest.approx(2 - 0.1 * 0.2)


def test_best_of_takes_the_first_of_equals() -> None:
    np.testing.assert_array_equal(best_of(np.array([1.0, 3, 3, 5, 4, 5]), 3), [1, 3])
