"""Foresight: the net is set right where the walk stands, moves keep clear of the brink, and what that costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from analytic_world import AnalyticPredictor
from env_worlds import small_walks, still

from aimat_ray.env.episodes import Chooser, CountingPredictor, run_episodes
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.walk import move
from aimat_ray.prediction import Prediction
from aimat_ray.problem import DesignProblem
from aimat_ray.search.controls import LocalSearch, Proposer, RandomMoves
from aimat_ray.search.foresight import Foresight, Picked, foresee
from aimat_ray.search.leading import Restless
from aimat_ray.search.merit import best_of, look_ahead
from aimat_ray.search.proposals import propose


class WrongNet:
    """The surrogate itself, with a constant error."""

    version = "net"

    def __init__(self, predictor: AnalyticPredictor, error: float) -> None:
        self.predictor, self.error = predictor, error

    def predict(self, at_frac: FloatArray) -> Prediction:
        truth = self.predictor.predict(at_frac)
        wrong = {name: getattr(truth, name) + self.error for name in ("mean", "lower", "upper", "p_feasible")}
        return replace(truth, **wrong, version=self.version)


def test_an_error_that_is_known_here_is_not_made_there(problem: DesignProblem) -> None:
    task, predictor, start = small_walks(problem)
    actions = propose(task, start, 8, np.random.default_rng(1))
    true = look_ahead(task, predictor, start, actions, 8)
    for error in (-3.0, 0.4):
        ahead = foresee(task, WrongNet(predictor, error), start, actions, 8)
        np.testing.assert_allclose(ahead.merit, true.merit, atol=1e-9)
        np.testing.assert_array_equal(ahead.state.at_frac, true.state.at_frac)
        np.testing.assert_array_equal(ahead.verdict.goal, true.verdict.goal)


def test_the_surrogate_itself_is_not_asked_where_it_has_answered(problem: DesignProblem) -> None:
    task, predictor, start = small_walks(problem)
    actions = propose(task, start, 4, np.random.default_rng(1))
    for asked, price in ((predictor, 4), (WrongNet(predictor, 0.1), 5)):
        counter = CountingPredictor(asked)
        foresee(task, counter, start, actions, 4)
        assert counter.n_predictions == price * len(start)


def test_moves_keep_clear_of_the_brink(problem: DesignProblem) -> None:
    """Feasible up to 30 at% Ni here; moves drawn blindly walk over it."""
    task, predictor, start = small_walks(problem, 200)
    assert (start.prediction.p_feasible < 0.9).any()

    def final_p(choose: Chooser) -> FloatArray:
        found = run_episodes(task, CountingPredictor(predictor), start, choose, np.random.default_rng(2))
        return found.final.prediction.p_feasible

    assert (final_p(Foresight(task, WrongNet(predictor, 0.2))) >= 0.8).all()
    assert (final_p(RandomMoves(task)) < 0.5).any()


def test_where_nothing_is_safe_the_safest_move_is_made(problem: DesignProblem) -> None:
    task, predictor, start = small_walks(problem)
    nickel = problem.element_index["Ni"]

    def hopeless(at_frac: FloatArray) -> FloatArray:
        return np.asarray(0.6 - 0.5 * at_frac[:, nickel])

    net = CountingPredictor(replace(predictor, p_feasible=hopeless, version="net"))
    start = replace(start, prediction=net.predict(start.at_frac))
    actions = Foresight(task, net, k=8)(start, np.random.default_rng(3))
    drawn = propose(task, start, 8, np.random.default_rng(3))
    walks = start.rows(np.repeat(np.arange(len(start)), 8))
    least = best_of(-move(task, walks, drawn)[:, nickel], 8)
    moved = np.abs(move(task, start, drawn[least]) - start.at_frac).max(axis=1) > 0.02 * task.max_step
    assert moved.sum() > 20
    ends = move(task, start, actions)[moved, nickel]
    np.testing.assert_allclose(ends, move(task, start, drawn[least])[moved, nickel], atol=1e-12)


def test_foresight_pays_one_prediction_a_step_and_arrives(problem: DesignProblem) -> None:
    task, predictor, start = small_walks(problem)
    counter, net = CountingPredictor(predictor), CountingPredictor(WrongNet(predictor, -1.0))
    found = run_episodes(task, counter, start, Foresight(task, net), np.random.default_rng(4))
    assert found.predictions == found.n_steps
    assert net.n_predictions == 17 * found.n_steps  # sixteen ahead, and where it stands
    blind = run_episodes(task, counter, start, RandomMoves(task), np.random.default_rng(4))
    assert found.goal.mean() > 0.9 > blind.goal.mean()


def test_the_picked_moves_lead_further_than_chance(problem: DesignProblem) -> None:
    task, predictor, start = small_walks(problem)
    rng = np.random.default_rng(1)
    picked = Picked(WrongNet(predictor, 0.3))(task, start, 2, rng)
    assert picked.shape == (2 * len(start), len(task.problem.elements))
    merit = look_ahead(task, predictor, start, picked, 2).merit
    drawn = look_ahead(task, predictor, start, Restless(still)(task, start, 2, rng), 2).merit
    assert (merit >= drawn - 1e-12).mean() > 0.9


def test_half_of_the_picked_moves_are_the_leaders(problem: DesignProblem) -> None:
    """Where the random half only leads down, the leader's wish to stay wins."""
    task, predictor, start = small_walks(problem)
    chosen = Picked(predictor, still)(task, start, 1, np.random.default_rng(1))
    after = look_ahead(task, predictor, start, chosen, 1).merit
    before = look_ahead(task, predictor, start, np.zeros_like(chosen), 1).merit
    assert (after >= before).all()
    assert (chosen != 0).any()


def test_a_search_pays_only_for_the_picked_move(problem: DesignProblem) -> None:
    task, predictor, start = small_walks(problem)
    counter, net = CountingPredictor(predictor), CountingPredictor(WrongNet(predictor, 0.1))
    led: Proposer = Restless(Picked(net))
    found = run_episodes(task, counter, start, LocalSearch(task, counter, led), np.random.default_rng(3), max_steps=16)
    chance = run_episodes(task, counter, start, LocalSearch(task, counter), np.random.default_rng(3), max_steps=16)
    assert found.predictions == found.n_steps
    assert net.n_predictions == 17 * found.n_steps
    assert found.goal.mean() > chance.goal.mean()
