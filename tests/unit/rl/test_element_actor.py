"""The actor that looks at one element at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from env_worlds import WINDOWS, small_world

from aimat_ray.config import DistilSettings
from aimat_ray.data.windows import BaseWindow
from aimat_ray.env.goals import goal_margin
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks, observe
from aimat_ray.errors import ConfigError
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.distil import distil
from aimat_ray.rl.element_actor import ElementActor, element_spec
from aimat_ray.search.distilled import DistilledSurrogate

World = tuple[DesignTask, Any, DistilledSurrogate]
SMALL = DistilSettings(answers=2_000, led_answers=0, held_out_answers=300, width=32, epochs=10, batch_size=128, lr=5e-3)


@pytest.fixture(scope="module")
def world(problem: DesignProblem) -> World:
    task, predictor = small_world(problem)
    return task, predictor, distil(task, predictor, SMALL)


def windows_of(task: DesignTask) -> dict[str, BaseWindow]:
    found = {}
    for row, base in enumerate(WINDOWS):
        lower, upper = task.windows.lower[row], task.windows.upper[row]
        found[base] = BaseWindow(base, lower, upper, lower > 0, upper > 0, int(task.windows.max_elements[row]), 9)
    return found


def observed(world: World, n: int = 12) -> tuple[WalkState, torch.Tensor]:
    task, predictor, _ = world
    state = fresh_walks(task, predictor, np.arange(n) % 2, np.random.default_rng(4))
    return state, torch.from_numpy(observe(task, state))


def actor_of(world: World, with_net: bool = True) -> ElementActor:
    task, _, net = world
    torch.manual_seed(0)
    return ElementActor(element_spec(task, windows_of(task), net if with_net else None))


def test_actions_are_bounded_and_follow_the_observation(world: World) -> None:
    _, obs = observed(world)
    action = actor_of(world)(obs)
    assert action.shape == (12, 52)
    assert action.abs().max() < 1
    assert action.std(0).max() > 1e-4


def test_renumbering_the_elements_renumbers_the_actions(world: World) -> None:
    task, _, _ = world
    _, obs = observed(world)
    actor, renumbered = actor_of(world, with_net=False), actor_of(world, with_net=False)
    order = torch.from_numpy(np.random.default_rng(1).permutation(52))
    renumbered.properties = actor.properties[order]
    renumbered.lower, renumbered.upper = actor.lower[:, order], actor.upper[:, order]
    moved = obs.clone()
    for name in ("at_frac", "displacement"):
        block = task.layout.blocks[name]
        moved[:, block] = obs[:, block][:, order]
    torch.testing.assert_close(renumbered(moved), actor(obs)[:, order], atol=1e-5, rtol=1e-4)


def test_the_tightest_margin_is_that_of_the_goal(world: World) -> None:
    task, _, _ = world
    state, obs = observed(world)
    actor = actor_of(world)
    found = actor.tightest(actor.margins(obs, actor.quantities_of(obs)))[:, 0].numpy()
    wanted = goal_margin(task.judged(state.prediction), state.goals)
    np.testing.assert_allclose(found, np.clip(wanted, -1, 1), atol=1e-4)


def test_slopes_are_those_of_the_net(world: World) -> None:
    _, obs = observed(world, 4)
    actor = actor_of(world)
    assert actor.net is not None
    x = obs[:, :52]
    slope, level = actor.slopes(obs, x)
    present = (x[0] > 0).nonzero().squeeze(1)
    give, take = int(present[0]), int(present[1])
    step = 1e-3
    moved = x.clone()
    moved[0, give] -= step
    moved[0, take] += step
    _, after = actor.slopes(obs, moved)
    raw = torch.sinh(slope) / (10.0 * actor.max_step)
    expected = step * (raw[0, take] - raw[0, give])
    torch.testing.assert_close(after[0, 3] - level[0, 3], expected[3], atol=2e-4, rtol=0.2)


def test_gradients_reach_every_weight_but_not_the_net(world: World) -> None:
    _, obs = observed(world)
    actor = actor_of(world)
    actor(obs).square().sum().backward()
    trained = {name for name, p in actor.named_parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)}
    assert {name.split(".")[0] for name in trained} == {"embed", "look", "gather", "mix", "decide"}


def test_it_needs_the_full_observation(problem: DesignProblem) -> None:
    task, _ = small_world(problem, observation="fractions")
    with pytest.raises(ConfigError, match="full observation"):
        element_spec(task, {}, None)
