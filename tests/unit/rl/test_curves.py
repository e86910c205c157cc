"""Success against predictions: what a walk has paid when it reaches its goal."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from analytic_world import SmallBench
from env_worlds import small_world

from aimat_ray.config import DesignSettings, EvaluationSettings
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.env.walk import fresh_walks
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.curves import curve, success_curves
from aimat_ray.rl.forms import POLICY, REJECTING
from aimat_ray.rl.methods import NET_CLIMBING, NET_SCORED, run_method, standard_methods
from aimat_ray.rl.methods import test_starts as starts_of
from aimat_ray.rl.policy import Policy
from aimat_ray.search.controls import Greedy


def paid(goal: list[bool], spent: list[float]) -> Any:
    return SimpleNamespace(goal=np.array(goal), spent=np.array(spent))


def test_a_walk_counts_from_the_budget_that_its_way_fits_into() -> None:
    points = curve([paid([True, True, False], [3.0, 9.0, 40.0]), paid([True], [16.0])])
    # budgets 4, 8, 16, 32, 64: one walk has paid 3, one 9, one 16 at its goal; the failed one 40
    assert [point["predictions"] for point in points] == [4, 8, 16, 32, 64]
    assert [point["mean"] for point in points] == [0.25, 0.25, 0.75, 0.75, 0.75]
    assert all(point["lower"] <= point["mean"] <= point["upper"] for point in points)


def test_each_walk_knows_its_own_price(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    rng = np.random.default_rng(0)
    start = fresh_walks(task, predictor, np.arange(20) % 2, rng)
    counter = CountingPredictor(predictor)
    episodes = run_episodes(task, counter, start, Greedy(task, counter, 4), rng)
    np.testing.assert_allclose(episodes.spent, 4 * episodes.steps)
    assert episodes.spent.sum() == episodes.predictions


@pytest.fixture
def bench(problem: DesignProblem) -> Any:
    task, predictor = small_world(problem)
    settings = DesignSettings(evaluation=EvaluationSettings(episodes=12, seeds=2, curve_episodes=6))
    small = SmallBench(task, predictor, predictor, None)
    return SimpleNamespace(
        task=small.task,
        problem=problem,
        predictor=predictor,
        settings=settings,
        scorer=replace(predictor, version="net"),
    )


def test_scored_moves_pay_one_prediction_a_step(bench: Any) -> None:
    methods = standard_methods(None, None, 4, distilled=True)
    result = run_method(bench, NET_SCORED, methods[NET_SCORED])
    steps = sum(int(e.steps.sum()) for e in result.episodes)
    assert sum(e.predictions for e in result.episodes) == steps
    assert result.scores == 17 * steps  # sixteen ahead, and where the walk stands
    document = result.as_dict()
    assert document["distilled_scores"] == pytest.approx(17 * document["predictions"])
    greedy = run_method(bench, "greedy_16", methods["greedy_16"])
    assert "distilled_scores" not in greedy.as_dict()
    assert greedy.rate == result.rate
    assert greedy.predictions_per_episode > 8 * result.predictions_per_episode  # it keeps clear of the brink, too
    # the net of this test is the surrogate itself: scored greedily, the same walks for a sixteenth of the price
    scored = run_method(bench, "scored", lambda bench, counter, net: Greedy(bench.task, counter, 16, scorer=net))
    assert scored.scores == 16 * sum(e.n_steps for e in scored.episodes)
    assert greedy.rate == scored.rate
    assert greedy.predictions_per_episode == pytest.approx(16 * scored.predictions_per_episode)
    assert NET_SCORED not in standard_methods(None, None, 4, distilled=False)


def test_curves_cover_the_methods_and_their_wider_forms(bench: Any) -> None:
    methods = standard_methods(None, None, 4, distilled=True)
    results = {name: run_method(bench, name, make) for name, make in methods.items()}
    curves = success_curves(bench, results, None, "greedy_16")
    assert next(iter(curves)) == "greedy_16"
    assert set(curves) == {"greedy_16", "greedy_4", "greedy_64", "local_search_long", NET_SCORED, NET_CLIMBING}
    for points in curves.values():
        means = [point["mean"] for point in points]
        assert means == sorted(means)
        assert points[0]["predictions"] == 4
    assert curves["greedy_16"][-1]["mean"] == results["greedy_16"].rate.mean
    assert curves["greedy_64"][-1]["n"] == 6


def test_a_policy_with_rejection_keeps_what_it_has_for_one_prediction_a_step(bench: Any) -> None:
    def still(seen: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(seen), len(bench.problem.elements))

    methods = standard_methods(Policy(bench.task, still), None, 4)
    alone, rejecting = (run_method(bench, name, methods[name]) for name in (POLICY, REJECTING))
    assert alone.rate.mean == 0.0  # a policy that never moves stays where it starts
    for e in rejecting.episodes:
        assert (e.final.prediction.p_feasible >= bench.problem.feasibility.threshold).all()
        assert e.n_feasible == e.n_steps
        assert (e.spent <= e.steps).all()
    assert rejecting.rate.mean > 0.0  # chance takes over where the policy does not arrive


def test_tuning_starts_are_not_test_starts(bench: Any) -> None:
    tuning = SimpleNamespace(**vars(bench) | {"settings": bench.settings.model_copy(
        update={"evaluation": bench.settings.evaluation.model_copy(update={"starts": "tuning"})}
    )})  # fmt: skip
    (_, first), (_, second) = next(starts_of(bench)), next(starts_of(tuning))
    assert np.abs(first.at_frac - second.at_frac).max(axis=1).min() > 1e-3
    np.testing.assert_array_equal(first.at_frac, next(starts_of(bench))[1].at_frac)
