"""The guide reads observations, and predicts what the environment will do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from env_worlds import small_world

from aimat_ray.config import DistilSettings, EnvSettings
from aimat_ray.env.goals import closeness
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import exchanged
from aimat_ray.env.walk import WalkState, advance, fresh_walks, observe
from aimat_ray.errors import ConfigError
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.algorithm import effect_spec
from aimat_ray.rl.distil import distil
from aimat_ray.rl.effect import build_effect
from aimat_ray.rl.guide import Guide, ResidualActor, guide_spec
from aimat_ray.rl.td3_config import TD3Config
from aimat_ray.search.distilled import DistilledSurrogate

SMALL = DistilSettings(answers=3_000, led_answers=0, held_out_answers=300, width=48, epochs=40, batch_size=128, lr=5e-3)


@pytest.fixture(scope="module")
def world(problem: DesignProblem) -> tuple[DesignTask, Any, DistilledSurrogate]:
    task, predictor = small_world(problem)
    return task, predictor, distil(task, predictor, SMALL)


def walks(world: tuple[DesignTask, Any, DistilledSurrogate], n: int = 60) -> WalkState:
    task, predictor, _ = world
    return fresh_walks(task, predictor, np.arange(n) % 2, np.random.default_rng(4))


def guide_of(world: tuple[DesignTask, Any, DistilledSurrogate], kind: str = "gradient") -> Guide:
    task, _, net = world
    return Guide(guide_spec(kind, task, net, 0.9))


def test_merit_is_closeness(world: tuple[DesignTask, Any, DistilledSurrogate]) -> None:
    task, _, _ = world
    state = walks(world)
    obs = torch.from_numpy(observe(task, state))
    found = guide_of(world).merit(obs, obs[:, : len(task.problem.elements)]).numpy()
    near = closeness(task.judged(state.prediction), exchanged(state.at_frac, state.start), state.goals)
    short = np.maximum(0.8 - state.prediction.p_feasible, 0.0)
    np.testing.assert_allclose(found, near - 0.1 * short, atol=0.08)
    assert np.corrcoef(found, near - 0.1 * short)[0, 1] > 0.98


def test_a_step_is_what_the_environment_does(world: tuple[DesignTask, Any, DistilledSurrogate]) -> None:
    task, predictor, _ = world
    state, rng = walks(world), np.random.default_rng(1)
    action = rng.uniform(-1, 1, state.at_frac.shape)
    after, verdict, reward, _ = advance(task, predictor, state, action)
    obs = torch.from_numpy(observe(task, state))
    effect = build_effect(effect_spec(task))(obs, torch.from_numpy(action.astype(np.float32)))
    said, next_obs, goes_on = guide_of(world).step(obs, effect)
    usual = verdict.feasible & ~verdict.goal  # the two thresholds are soft in the guide, so ends differ
    p, dmax = after.prediction.p_feasible, after.prediction.mean[:, task.problem.property_keys.index("dmax_mm")]
    clear = usual & (np.abs(p - 0.5) > 0.25) & (dmax < 7.5)
    assert clear.sum() > 10
    np.testing.assert_allclose(said.numpy()[clear], reward.total[clear], atol=0.45)
    assert np.corrcoef(said.numpy()[clear], reward.total[clear])[0, 1] > 0.9
    true_obs = observe(task, after)
    blocks = task.layout.blocks
    for name, tolerance in {"at_frac": 1e-5, "at_least": 0, "base": 0, "p_feasible": 0.4, "distance": 0.05}.items():
        block = blocks[name]
        np.testing.assert_allclose(next_obs.numpy()[:, block], true_obs[:, block], atol=tolerance + 1e-6, err_msg=name)
    own, true = next_obs.numpy()[:, blocks["satisfaction"]], true_obs[:, blocks["satisfaction"]]
    assert np.abs(own - true).mean() < 0.05
    assert goes_on.numpy()[clear].min() > 0.8
    assert goes_on.numpy()[verdict.goal & (dmax > 8.5)].max(initial=0.0) < 0.3


def test_slopes_flow_into_the_effect(world: tuple[DesignTask, Any, DistilledSurrogate]) -> None:
    task, _, _ = world
    obs = torch.from_numpy(observe(task, walks(world)))
    effect = torch.zeros(len(obs), len(task.problem.elements), requires_grad=True)
    reward, next_obs, _ = guide_of(world).step(obs, effect)
    (reward.sum() + next_obs.sum()).backward()
    assert torch.isfinite(effect.grad).all()
    assert (effect.grad.abs().sum(1) > 0).all()


def test_uphill_leads_uphill(world: tuple[DesignTask, Any, DistilledSurrogate]) -> None:
    task, predictor, _ = world
    state = walks(world)
    move = guide_of(world, "residual").uphill(torch.from_numpy(observe(task, state))).numpy().astype(float)
    assert np.abs(move).max() <= 1
    absent = state.at_frac <= 0
    assert ((move > 0.5) & absent).sum(axis=1).max() <= 1
    after, _, _, _ = advance(task, predictor, state, move)
    before = closeness(task.judged(state.prediction), exchanged(state.at_frac, state.start), state.goals)
    now = closeness(task.judged(after.prediction), exchanged(after.at_frac, after.start), after.goals)
    assert (now > before).mean() > 0.8


def test_a_residual_actor_corrects_the_move(world: tuple[DesignTask, Any, DistilledSurrogate]) -> None:
    task, _, _ = world
    obs = torch.from_numpy(observe(task, walks(world)))
    guide = guide_of(world, "residual")
    inner = torch.nn.Linear(obs.shape[1], len(task.problem.elements))
    torch.nn.init.zeros_(inner.weight)
    torch.nn.init.constant_(inner.bias, 0.1)
    actor = ResidualActor(inner, guide)
    np.testing.assert_allclose(actor(obs).detach().numpy(), (guide.uphill(obs) + 0.1).clamp(-1, 1).numpy(), atol=1e-6)
    actor(obs).sum().backward()
    assert inner.bias.grad is not None and inner.bias.grad.abs().sum() > 0
    assert all(not p.requires_grad for p in guide.parameters())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "paper"}, "mode 'simplex'"),
        ({"observation": "fractions"}, "full observation"),
        ({"reward": {"robust": True}}, "progress reward on means"),
        ({"reward": {"kind": "paper"}}, "progress reward on means"),
    ],
)
def test_what_a_guide_can_not_do_is_refused(
    world: tuple[DesignTask, Any, DistilledSurrogate], problem: DesignProblem, settings: dict[str, Any], words: str
) -> None:
    task, _ = small_world(problem, **EnvSettings.model_validate(settings).model_dump())
    with pytest.raises(ConfigError, match=words):
        guide_spec("gradient", task, world[2], 0.9)


def test_a_guide_needs_a_net_and_the_effect_critic(world: tuple[DesignTask, Any, DistilledSurrogate]) -> None:
    with pytest.raises(ConfigError, match="aimat surrogate distil"):
        guide_spec("residual", world[0], None, 0.9)
    config = TD3Config().training(critic="raw", guide=guide_spec("gradient", world[0], world[2], 0.9))
    with pytest.raises(ConfigError, match="needs critic 'effect'"):
        config.validate()
