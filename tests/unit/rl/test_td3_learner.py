"""TD3's update against a plain transcription of the paper, and its parts against hand-worked numbers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from td3_parts import ACT, OBS, build_learner, make_batch
from torch import nn

from aimat_ray.errors import TrainingError
from aimat_ray.rl.td3_config import TD3Config
from aimat_ray.rl.td3_learner import TD3Learner
from aimat_ray.rl.td3_loss import LossSettings, actor_losses, critic_losses, target_values


def small(**fields: Any) -> TD3Config:
    config = TD3Config().training(hidden_sizes=(16, 16), gamma=0.9, **fields)
    return config.debugging(seed=1)


def parameters(net: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


class PaperTD3:
    """Algorithm 1 of the TD3 paper, written out; starts from a learner's networks."""

    def __init__(self, learner: TD3Learner, config: TD3Config) -> None:
        self.actor, self.critics = copy.deepcopy(learner._net.actor), copy.deepcopy(learner._net.critics)
        self.target_actor, self.target_critics = copy.deepcopy(self.actor), copy.deepcopy(self.critics)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), lr=config.critic_lr)
        self.config = config

    def update(self, batch: dict[str, torch.Tensor], n: int, noise: torch.Tensor) -> None:
        c = self.config
        with torch.no_grad():
            next_action = (self.target_actor(batch["next_obs"]) + noise).clamp(-1, 1)
            values = [critic(batch["next_obs"], next_action) for critic in self.target_critics]
            y = batch["rewards"] + c.gamma * (1 - batch["terminateds"]) * torch.stack(values).amin(0)
        loss = sum(((critic(batch["obs"], batch["actions"]) - y) ** 2).mean() for critic in self.critics)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        if n % c.policy_delay == 0:
            loss = -self.critics[0](batch["obs"], self.actor(batch["obs"])).mean()
            self.actor_optimizer.zero_grad()
            loss.backward()
            self.actor_optimizer.step()
            for target, net in ((self.target_actor, self.actor), (self.target_critics, self.critics)):
                for p, q in zip(target.parameters(), net.parameters(), strict=True):
                    p.data = c.tau * q.data + (1 - c.tau) * p.data


@pytest.mark.parametrize("twin_q", [True, False])
@pytest.mark.parametrize("policy_delay", [1, 2, 3])
def test_update_equals_the_papers_algorithm(twin_q: bool, policy_delay: int) -> None:
    config = small(twin_q=twin_q, policy_delay=policy_delay, tau=0.1, target_noise=0.2, target_noise_clip=0.3)
    learner = build_learner(config)
    paper, generator = PaperTD3(learner, config), torch.Generator().manual_seed(1)
    for n in range(1, 8):
        batch = make_batch(32, n)
        noise = torch.empty(32, ACT).normal_(0, 0.2, generator=generator).clamp(-0.3, 0.3)
        learner.gradient_step(batch)
        paper.update(batch, n, noise)
    for name in ("actor", "critics", "target_actor", "target_critics"):
        ours, theirs = getattr(learner._net, name), getattr(paper, name)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-4)


class Fixed(nn.Module):
    """A critic that adds up the action and a constant."""

    def __init__(self, constant: float) -> None:
        super().__init__()
        self.constant = constant

    def forward(self, obs: torch.Tensor, effect: torch.Tensor) -> torch.Tensor:
        return effect.sum(-1) + self.constant


def hand_net(**fields: Any) -> Any:
    """A learner's networks with hand-made pieces: actors answer 0.4, critics sum the action and add 0 (and 1)."""
    net = build_learner(small(**fields))._net
    for name in ("actor", "target_actor"):
        setattr(net, name, Answer(0.4))
    net.critics = net.target_critics = nn.ModuleList([Fixed(1.0), Fixed(0.0)])
    return net


class Answer(nn.Module):
    """An actor that always gives the same action."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.value.expand(len(obs), ACT)


def test_target_takes_the_minimum_and_stops_at_terminal_states() -> None:
    batch = make_batch(2)
    batch["rewards"], batch["terminateds"] = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])
    settings = LossSettings(gamma=0.9, target_noise=0.0, target_noise_clip=0.5, bc_weight=0.0)
    # min(3 * 0.4 + 1, 3 * 0.4 + 0) = 1.2; 1 + 0.9 * 1.2 = 2.08; the second row is terminal: its reward
    values = target_values(hand_net(), batch, settings, torch.Generator())
    torch.testing.assert_close(values, torch.tensor([2.08, 2.0]))


def test_target_noise_is_clipped_and_drawn_from_the_generator() -> None:
    batch = make_batch(500)
    batch["rewards"] *= 0
    batch["terminateds"] *= 0
    settings = LossSettings(gamma=1.0, target_noise=5.0, target_noise_clip=0.1, bc_weight=0.0)
    values = target_values(hand_net(), batch, settings, torch.Generator().manual_seed(3))
    # every action lies in 0.4 +- 0.1, so the sums lie in 1.2 +- 0.3
    assert values.min() >= 0.9 - 1e-5
    assert values.max() <= 1.5 + 1e-5
    assert values.std() > 0.05
    again = target_values(hand_net(), batch, settings, torch.Generator().manual_seed(3))
    assert torch.equal(values, again)


def test_label_term_is_weighted_per_row() -> None:
    net = hand_net(critic="none", bc_weight=2.0)
    batch = make_batch(2, labels=True)
    batch["label"], batch["label_weight"] = torch.zeros(2, ACT), torch.tensor([1.0, 0.0])
    # row 0: 3 * 0.4^2 = 0.48; row 1 has no weight; mean 0.24; times 2
    losses = actor_losses(net, batch, LossSettings.of(small(bc_weight=2.0)))
    assert losses["bc_loss"].item() == pytest.approx(0.48)
    assert "actor_loss" not in losses


def test_stored_effect_is_used_instead_of_the_action() -> None:
    net, batch = hand_net(), make_batch(4)
    batch["effect"] = torch.zeros(4, ACT)
    settings = LossSettings(0.9, 0.0, 0.5, 0.0)
    assert critic_losses(net, batch, settings, torch.Generator())["q_mean"].item() == pytest.approx(1.0)


# ---------------------------------------------------------------- whole updates
def test_actor_and_targets_move_only_when_due() -> None:
    learner = build_learner(small(policy_delay=3))
    net = learner._net
    before = parameters(net.actor), parameters(net.target_critics)
    learner.gradient_step(make_batch(16))
    learner.gradient_step(make_batch(16))
    assert same(before[0], parameters(net.actor))
    assert same(before[1], parameters(net.target_critics))
    learner.gradient_step(make_batch(16))
    assert not same(before[0], parameters(net.actor))
    assert not same(before[1], parameters(net.target_critics))


def test_a_call_splits_its_batch_into_minibatches() -> None:
    config = small(train_batch_size_per_learner=16)
    by_call, by_step = build_learner(config), build_learner(config)
    batch = make_batch(48)
    by_call._uncompiled_update({"default_policy": batch})
    for i in range(3):
        by_step.gradient_step({name: values[16 * i : 16 * i + 16] for name, values in batch.items()})
    assert by_call.n_updates == 3
    assert same(parameters(by_call._net.critics), parameters(by_step._net.critics))


def test_losses_that_are_no_numbers_stop_the_run() -> None:
    learner, batch = build_learner(small()), make_batch(8)
    batch["rewards"][0] = float("nan")
    learner.gradient_step(batch)
    with pytest.raises(TrainingError, match="critic_loss"):
        learner.after_gradient_based_update(timesteps={})


def test_labels_alone_train_the_actor() -> None:
    learner = build_learner(small(critic="none", bc_weight=1.0, actor_lr=1e-2))
    batch = make_batch(64, labels=True)
    batch["label"] = 0.5 * torch.tanh(batch["obs"][:, :ACT])
    losses = [learner.gradient_step(batch)["bc_loss"].item() for _ in range(150)]
    assert losses[-1] < 0.1 * losses[0]
    assert "critic" not in {name.split("_")[-1] for name in learner._named_optimizers}


def test_gradient_clip_bounds_the_step_of_both_networks() -> None:
    learner = build_learner(small(policy_delay=1, grad_clip=1e-3))
    learner.gradient_step(make_batch(16))
    for name in ("actor", "critic"):
        grads = [p.grad for p in learner.get_optimizer("default_policy", name).param_groups[0]["params"]]
        assert torch.stack([g.square().sum() for g in grads]).sum().sqrt() <= 1e-3 * 1.01


def test_state_carries_updates_noise_and_optimisers() -> None:
    one, other = build_learner(small()), build_learner(small().debugging(seed=5))
    for n in range(3):
        one.gradient_step(make_batch(16, n))
    other.set_state(one.get_state())
    assert other.n_updates == 3
    for learner in (one, other):
        for n in range(3, 7):
            learner.gradient_step(make_batch(16, n))
    for name in ("actor", "critics", "target_actor", "target_critics"):
        assert same(parameters(getattr(one._net, name)), parameters(getattr(other._net, name)))


def test_exploration_is_uniform_first_and_noisy_then() -> None:
    net = build_learner(small(exploration_noise=0.1, random_steps=50))._net
    net.exploration_rng = np.random.default_rng(0)
    obs = torch.zeros(4000, 5)
    greedy = net.actor(obs[:1]).detach()
    uniform = net.explore(obs, 49)
    assert uniform.abs().max() <= 1
    assert uniform.std().item() == pytest.approx(1 / 3**0.5, abs=0.02)  # of U(-1, 1)
    noisy = net.explore(obs, 50) - greedy
    assert noisy.std().item() == pytest.approx(0.1, abs=0.01)
    net.exploration_rng = np.random.default_rng(0)
    assert torch.equal(uniform, net.explore(obs, 0))


def test_a_policy_of_turns_has_the_actor_and_earlier_ones_of_it() -> None:
    learner, obs = build_learner(small(turns=3, policy_delay=1)), torch.randn(4, OBS)
    was = []
    for seed in range(40):
        learner.gradient_step(make_batch(16, seed))
        was.append(learner._net.actor(obs).detach())
    # kept after updates 1, 2, 3, 4, 5, 7, 9, 12, 15, 19, 24, 30, 38: each time at least 1.25 times as many
    policy = learner._net.policy()
    for step, actions in enumerate((was[39], was[37], was[29], was[39])):
        with torch.no_grad():
            assert torch.equal(policy(obs, torch.full((4,), step)), actions)
    with torch.no_grad():
        mixed = policy(obs, torch.tensor([0, 1, 2, 3]))
    assert torch.equal(mixed[:3], torch.stack([was[39][0], was[37][1], was[29][2]]))
    again = build_learner(small(turns=3, policy_delay=1))
    again.set_state(learner.get_state())
    for one in (learner, again):
        for seed in range(40, 50):  # the next is kept after update 48
            one.gradient_step(make_batch(16, seed))
    assert torch.equal(again._net.policy()(obs, torch.ones(4, dtype=int)), policy(obs, torch.ones(4, dtype=int)))
    assert not torch.equal(policy(obs, torch.ones(4, dtype=int)), was[37])


def test_a_policy_of_one_turn_is_the_actor() -> None:
    learner = build_learner(small())
    assert learner._net.policy() is learner._net.actor
