"""What a trained actor does as a policy."""

from __future__ import annotations

import numpy as np
import torch
from analytic_world import walks_at
from env_worlds import small_world
from torch import Tensor

from aimat_ray.data.composition import parse_formulas
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, move
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.turns import Turns
from aimat_ray.search.steering import steer


def moved(task: DesignTask, state: WalkState, action: FloatArray) -> FloatArray:
    return (move(task, state, action) - state.at_frac) / task.max_step


def test_a_policy_that_all_but_stands_goes_on_in_its_direction(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = walks_at(task, predictor, ["Zr60Cu30Al10"] * 4)
    ahead = parse_formulas(["Zr60Cu29.9Al10.1", "Zr60Cu29Al11", "Zr60Cu28Al12", "Zr60Cu30Al10"], problem.elements)
    own = steer(task, state, ahead)

    def actor(seen: Tensor) -> Tensor:
        return torch.from_numpy(own.astype(np.float32))

    ours = moved(task, state, Policy(task, actor)(state, np.random.default_rng(0)))
    meant = moved(task, state, own)
    np.testing.assert_allclose(np.abs(meant).max(axis=1), [0.02, 0.2, 0.4, 0.0], atol=1e-6)
    np.testing.assert_allclose(ours[0], meant[0] * 20, atol=1e-5)  # 0.1 at% of 5 become 2
    np.testing.assert_allclose(ours[2:], meant[2:], atol=1e-5)  # long enough; and who has no direction stays


def test_slots_of_the_published_mode_are_left_as_they_are(problem: DesignProblem) -> None:
    task, predictor = small_world(problem, mode="paper")
    state = walks_at(task, predictor, ["Zr60Cu30Al10"])
    action = np.full((1, 7), 0.001, np.float32)
    policy = Policy(task, lambda seen: torch.from_numpy(action))
    np.testing.assert_array_equal(policy(state, np.random.default_rng(0)), action)


def test_actors_take_turns_by_the_steps_of_each_walk(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    state = walks_at(task, predictor, ["Zr60Cu30Al10"] * 3)
    copper = problem.element_index["Cu"]

    class Pushes(torch.nn.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def forward(self, seen: Tensor) -> Tensor:
            action = torch.zeros(len(seen), len(problem.elements))
            action[:, copper] = self.by
            return action

    state.step[:] = (0, 1, 2)
    actions = Policy(task, Turns([Pushes(1.0), Pushes(-1.0)]))(state, np.random.default_rng(0))
    np.testing.assert_array_equal(actions[:, copper], [1.0, -1.0, 1.0])
