"""Led moves: what the distilled surrogate picks, what it costs, and where chance takes over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from env_worlds import small_world

from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks
from aimat_ray.problem import DesignProblem
from aimat_ray.search.controls import LocalSearch, Proposer
from aimat_ray.search.leading import Picked, Restless, restlessness
from aimat_ray.search.merit import look_ahead


def still(task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
    """A leader that always proposes to stay."""
    return np.zeros((len(state) * k, len(task.problem.elements)))


def world(problem: DesignProblem, n: int = 60) -> tuple[DesignTask, CountingPredictor, WalkState]:
    task, predictor = small_world(problem)
    start = fresh_walks(task, predictor, np.arange(n, dtype=np.intp) % 2, np.random.default_rng(0))
    return task, CountingPredictor(predictor), start


def test_the_picked_moves_lead_further_than_chance(problem: DesignProblem) -> None:
    task, scorer, start = world(problem)
    rng = np.random.default_rng(1)
    picked = Picked(scorer)(task, start, 2, rng)
    assert picked.shape == (2 * len(start), len(task.problem.elements))
    assert scorer.n_predictions == 2 * 16 * len(start)
    merit = look_ahead(task, scorer, start, picked, 2).merit
    drawn = look_ahead(task, scorer, start, Restless(still)(task, start, 2, rng), 2).merit
    assert (merit >= drawn - 1e-12).mean() > 0.9


def test_half_of_the_moves_are_the_leaders(problem: DesignProblem) -> None:
    """Where the random half only leads down, the leader's wish to stay wins."""
    task, scorer, start = world(problem)
    chosen = Picked(scorer, still)(task, start, 1, np.random.default_rng(1))
    after = look_ahead(task, scorer, start, chosen, 1).merit
    before = look_ahead(task, scorer, start, np.zeros_like(chosen), 1).merit
    assert (after >= before).all()
    assert (chosen != 0).any()


def test_chance_takes_over_only_later(problem: DesignProblem) -> None:
    task, _, start = world(problem, 400)
    moves, rng = Restless(still, random_share=0.5), np.random.default_rng(2)
    assert not moves(task, start, 1, rng).any()
    late = replace(start, step=np.full_like(start.step, 20))
    assert (restlessness(late) == 1.0).all()
    assert 0.4 < (moves(task, late, 1, rng) != 0).any(axis=1).mean() < 0.6


def test_only_the_move_that_is_looked_at_is_paid_for(problem: DesignProblem) -> None:
    task, counter, start = world(problem)
    net = CountingPredictor(small_world(problem)[1])
    led: Proposer = Restless(Picked(net))
    found = run_episodes(task, counter, start, LocalSearch(task, counter, led), np.random.default_rng(3), max_steps=16)
    chance = run_episodes(task, counter, start, LocalSearch(task, counter), np.random.default_rng(3), max_steps=16)
    assert found.predictions == found.n_steps
    assert net.n_predictions == 16 * found.n_steps
    assert found.goal.mean() > chance.goal.mean()
