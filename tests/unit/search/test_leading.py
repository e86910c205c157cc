"""Led moves: half are the leader's, and chance takes over later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from env_worlds import small_walks, still

from aimat_ray.problem import DesignProblem
from aimat_ray.search.leading import Halved, Restless, restlessness


def test_half_of_the_moves_are_the_leaders(problem: DesignProblem) -> None:
    task, _, start = small_walks(problem)
    moves = Halved(still)(task, start, 6, np.random.default_rng(1)).reshape(len(start), 6, -1)
    assert not moves[:, :3].any()
    assert moves[:, 3:].any(axis=2).all()


def test_chance_takes_over_only_later(problem: DesignProblem) -> None:
    task, _, start = small_walks(problem, 400)
    moves, rng = Restless(still, random_share=0.5), np.random.default_rng(2)
    assert not moves(task, start, 1, rng).any()
    late = replace(start, step=np.full_like(start.step, 20))
    assert (restlessness(late) == 1.0).all()
    assert 0.4 < (moves(task, late, 1, rng) != 0).any(axis=1).mean() < 0.6
