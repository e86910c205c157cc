"""The losses of TD3 (Fujimoto et al. 2018), in the order of the paper's algorithm 1. See td3-design.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from aimat_ray.rl.td3_module import TD3Module

Batch = dict[str, Tensor]
Losses = dict[str, Tensor]
MINIMISED = ("critic_loss", "actor_loss", "bc_loss")


@dataclass(frozen=True, slots=True)
class LossSettings:
    """What the losses need of the configuration; the fields are documented in TD3Config."""

    gamma: float
    target_noise: float
    target_noise_clip: float
    bc_weight: float

    @classmethod
    def of(cls, config: Any) -> LossSettings:
        """Read them from a TD3Config."""
        return cls(config.gamma, config.target_noise, config.target_noise_clip, config.bc_weight)


def critic_losses(net: TD3Module, batch: Batch, settings: LossSettings, generator: torch.Generator) -> Losses:
    """sum_i mean_b (Q_i(s, a) - y)^2, with the values it rests on.

    Args:
        net: Networks and targets.
        batch: obs, actions, rewards, next_obs, terminateds; `effect` where the buffer stores it.
        settings: Loss settings.
        generator: Draws the target noise.

    Returns:
        `critic_loss`; and for the log `q_mean`, `target_mean`.
    """
    target = target_values(net, batch, settings, generator)
    seen = batch["effect"] if "effect" in batch else net.critic_input(batch["obs"], batch["actions"])
    values = [critic(batch["obs"], seen) for critic in net.critics]
    loss = torch.stack([mse_loss(value, target) for value in values]).sum()
    return {"critic_loss": loss, "q_mean": values[0].detach().mean(), "target_mean": target.mean()}


def target_values(net: TD3Module, batch: Batch, settings: LossSettings, generator: torch.Generator) -> Tensor:
    """y = r + gamma (1 - terminated) min_i Q'_i(s', pi'(s') + clipped noise), [B]."""
    with torch.no_grad():
        next_action = net.target_actor(batch["next_obs"])
        if settings.target_noise > 0:
            noise = torch.empty_like(next_action).normal_(0.0, settings.target_noise, generator=generator)
            noise.clamp_(-settings.target_noise_clip, settings.target_noise_clip)
            next_action = (next_action + noise).clamp_(-1.0, 1.0)
        next_seen = net.critic_input(batch["next_obs"], next_action)
        values = [critic(batch["next_obs"], next_seen) for critic in net.target_critics]
        next_value = torch.minimum(*values) if len(values) == 2 else values[0]
        return batch["rewards"] + settings.gamma * (1.0 - batch["terminateds"]) * next_value


def actor_losses(net: TD3Module, batch: Batch, settings: LossSettings) -> Losses:
    """`actor_loss`: -mean_b Q_1(s, pi(s)); `bc_loss`: bc_weight mean_b label_weight_b |effect - label_b|^2."""
    losses: Losses = {}
    obs = batch["obs"]
    action = net.actor(obs)
    seen = net.critic_input(obs, action)
    if net.has_critic:
        critic = net.critics[0].requires_grad_(False)  # its own gradient is not wanted here
        worth = critic(obs, seen) if net.guide is None else worth_by_model(net, obs, seen)
        losses["actor_loss"] = -worth.mean()
        critic.requires_grad_(True)
    if settings.bc_weight > 0:
        effect = seen if net.critic_input is net.effect else net.effect(obs, action)
        error = net.effect.label_error(obs, action, effect, batch["label"]).square().sum(-1)
        losses["bc_loss"] = settings.bc_weight * (batch["label_weight"] * error).mean()
    return losses


def worth_by_model(net: TD3Module, obs: Tensor, effect: Tensor) -> Tensor:
    """r + gamma Q_1(s', pi'(s')) of the composition that an effect leads to, by the distilled surrogate, [B]."""
    assert net.guide is not None
    reward, next_obs, goes_on = net.guide.step(obs, effect)
    net.target_actor.requires_grad_(False)
    next_value = net.critics[0](next_obs, net.critic_input(next_obs, net.target_actor(next_obs)))
    return reward + net.guide.gamma * goes_on * next_value


def minimised(losses: Losses) -> Tensor:
    """Sum of the terms that are minimised."""
    return torch.stack([losses[name] for name in MINIMISED if name in losses]).sum()
