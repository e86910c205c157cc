"""Networks of TD3 as an RLlib module: one actor, one or two critics, and their slowly following targets.

Actions are in [-1, 1] everywhere in here; the env runner maps them onto the action space.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor, nn

from aimat_ray.rl.effect import build_effect
from aimat_ray.rl.element_actor import ElementActor
from aimat_ray.rl.guide import Guide, ResidualActor
from aimat_ray.rl.turns import Turns


class Critic(nn.Module):
    """Q(obs, effect) -> one value per row, [B].

    Args:
        seen: 1 for the entries of an observation that the network sees, 0 for the others, [O].
        n_effect: A.
        hidden: Widths of the hidden layers.
        layer_norm: Whether they are normalised.
    """

    seen: Tensor

    def __init__(self, seen: Tensor, n_effect: int, hidden: Sequence[int], layer_norm: bool) -> None:
        super().__init__()
        self.register_buffer("seen", seen, persistent=False)
        self.net = mlp(len(seen) + n_effect, hidden, 1, layer_norm)

    def forward(self, obs: Tensor, effect: Tensor) -> Tensor:
        """Values of `effect` [B, A] in `obs` [B, O]."""
        value: Tensor = self.net(torch.cat([obs * self.seen, effect], -1)).squeeze(-1)
        return value


class Actor(nn.Module):
    """Deterministic policy: obs [B, O] -> action [B, A] in (-1, 1).

    Args:
        seen: As for the critic.
        n_actions: A.
        hidden: Widths of the hidden layers.
    """

    seen: Tensor

    def __init__(self, seen: Tensor, n_actions: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("seen", seen, persistent=False)
        self.net = mlp(len(seen), hidden, n_actions)

    def forward(self, obs: Tensor) -> Tensor:
        """Actions for `obs`."""
        return torch.tanh(self.net(obs * self.seen))


def mlp(n_in: int, hidden: Sequence[int], n_out: int, layer_norm: bool = False) -> nn.Sequential:
    """ReLU layers, optionally normalised (LayerNorm keeps critics from exploding on actions they never saw)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(n_in, width), *([nn.LayerNorm(width)] if layer_norm else []), nn.ReLU()]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))


class TD3Module(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI):
    """Actor and critics; TD3Config.MODULE_FIELDS arrive as `model_config`.

    On env runners only the actor exists. `critic: none` builds no critics at all.
    """

    exploration_rng: np.random.Generator | None = None

    def setup(self) -> None:
        """Build the networks (called by RLlib)."""
        options: dict[str, Any] = dict(self.model_config)
        n_obs, n_actions = int(np.prod(self.observation_space.shape)), int(np.prod(self.action_space.shape))
        hidden = tuple(options["hidden_sizes"])
        seen = torch.ones(n_obs)
        seen[slice(*options["hidden_columns"])] = 0.0
        self.actor: nn.Module = Actor(seen, n_actions, hidden)
        if options["network"]["kind"] == "elements":
            self.actor = ElementActor(options["network"])
        guide = Guide(options["guide"]) if options["guide"]["kind"] != "none" else None
        if guide is not None and options["guide"]["kind"] == "residual":
            self.actor = ResidualActor(self.actor, guide)
        self.exploration_noise = float(options["exploration_noise"])
        self.random_steps = int(options["random_steps"])
        self.has_critic = options["critic"] != "none"
        if self.inference_only:
            return
        self.earlier_actors = nn.ModuleList(copy.deepcopy(self.actor) for _ in range(int(options["turns"]) - 1))
        self.guide = guide if options["guide"]["kind"] == "gradient" else None
        self.effect = build_effect(options["effect"])
        self.critic_input = self.effect if options["critic"] == "effect" else build_effect({"kind": "identity"})
        n_critics = (2 if options["twin_q"] else 1) if self.has_critic else 0
        self.critics = nn.ModuleList(
            Critic(seen, n_actions, hidden, bool(options["layer_norm"])) for _ in range(n_critics)
        )

    # ------------------------------------------------------------------ what RLlib asks for
    def make_target_networks(self) -> None:
        """Copies that follow slowly (called by the learner)."""
        self.target_actor = make_target_network(self.actor)
        self.target_critics = make_target_network(self.critics)

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(network, target) pairs."""
        return [(self.actor, self.target_actor), (self.critics, self.target_critics)]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Actions of the target policy for the next observations."""
        return {Columns.ACTIONS: self.target_actor(batch[Columns.NEXT_OBS])}

    def get_non_inference_attributes(self) -> list[str]:
        """Parts that env runners don't need."""
        return ["earlier_actors", "critics", "target_actor", "target_critics", "effect", "critic_input", "guide"]

    def get_initial_state(self) -> dict[str, Any]:
        """No recurrent state."""
        return {}

    # ------------------------------------------------------------------ acting
    def policy(self) -> nn.Module:
        """The deterministic policy: the actor, or the actors that take turns."""
        return Turns([self.actor, *self.earlier_actors]) if len(self.earlier_actors) else self.actor

    def keep_actor(self) -> None:
        """The actor of today is from now on among the earlier ones, in the place of the oldest."""
        newer = self.actor
        for earlier in self.earlier_actors:
            was = copy.deepcopy(earlier)
            earlier.load_state_dict(newer.state_dict())
            newer = was

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        with torch.no_grad():
            return {Columns.ACTIONS: self.actor(batch[Columns.OBS])}

    def _forward_exploration(self, batch: dict[str, Any], t: int | None = None, **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTIONS: self.explore(batch[Columns.OBS], t or 0)}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTIONS: self.actor(batch[Columns.OBS])}

    def explore(self, obs: Tensor, t: int) -> Tensor:
        """Actions with exploration noise; uniform ones while fewer than `random_steps` env steps are taken.

        Args:
            obs: Observations, [B, O].
            t: Env steps taken so far, by all runners.
        """
        rng = self.exploration_rng
        if rng is None:  # a stock env runner: seeded from torch, which RLlib seeds per runner
            rng = self.exploration_rng = np.random.default_rng(torch.initial_seed())
        shape = (len(obs), int(np.prod(self.action_space.shape)))
        if t < self.random_steps:
            return torch.from_numpy(rng.uniform(-1.0, 1.0, shape).astype(np.float32))
        noise = self.exploration_noise * rng.standard_normal(shape, np.float32)
        with torch.no_grad():
            return (self.actor(obs) + torch.from_numpy(noise)).clamp_(-1.0, 1.0)
