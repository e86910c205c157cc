"""TD3's update on RLlib's new API stack."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from aimat_ray.errors import TrainingError
from aimat_ray.rl.td3_loss import Losses, LossSettings, actor_losses, critic_losses, minimised
from aimat_ray.rl.td3_module import TD3Module

_KEPT_EVERY = 1.25  # an actor is kept when there were so many times more updates: ages of some 10 to 40 % of a run


class TD3Learner(TorchLearner):
    """A gradient step per minibatch of a call, the actor every `policy_delay` steps, the targets behind it.

    RLlib's own step (forward_train, compute_losses, compute_gradients, apply_gradients with a finite check per
    parameter) costs 15 % more and knows no delayed actor, and its minibatch iterator another 10 %; so
    `_uncompiled_update` splits the batch of a call and takes TD3's steps itself.
    """

    def build(self) -> None:
        """Networks, targets, optimisers (called by RLlib)."""
        torch.set_num_threads(1)  # more threads than free cores make each small product many times slower
        super().build()
        seed = self.config.seed if self.config.seed is not None else torch.initial_seed() % 2**31
        self._generator = torch.Generator().manual_seed(int(seed))
        self._settings = LossSettings.of(self.config)
        self._net: TD3Module = self.module[DEFAULT_MODULE_ID].unwrapped()
        self._net.make_target_networks()
        pairs = self._net.get_target_network_pairs()
        self._sources = [parameter for net, _ in pairs for parameter in net.parameters()]
        self._targets = [parameter for _, target in pairs for parameter in target.parameters()]
        self._follow = get_ema_multi_avg_fn(1.0 - self.config.tau)  # type: ignore[no-untyped-call]
        self._logged: dict[str, list[Tensor]] = defaultdict(list)
        self._batch_size = int(self.config.train_batch_size_per_learner)
        self.n_updates = self._kept_at = 0

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """One Adam for the actor, one for the critics."""
        net = self.module[module_id].unwrapped()
        self._add_optimizer(module_id, "actor", net.actor, config.actor_lr, 0.0)
        if net.has_critic:
            self._add_optimizer(module_id, "critic", net.critics, config.critic_lr, config.critic_weight_decay)

    def _add_optimizer(self, module_id: str, name: str, net: torch.nn.Module, lr: float, decay: float) -> None:
        params = list(net.parameters())
        optimizer = torch.optim.Adam(params, lr=lr, weight_decay=decay, fused=True)
        self.register_optimizer(
            module_id=module_id, optimizer_name=name, optimizer=optimizer, params=params, lr_or_lr_schedule=lr
        )

    def compute_loss_for_module(self, *, module_id: str, config: Any, batch: Any, fwd_out: Any) -> Tensor:
        """RLlib's hook, unused: actor and critic take turns in `gradient_step`."""
        raise NotImplementedError("TD3Learner steps actor and critic in turn; see gradient_step")

    def _uncompiled_update(self, batch: Mapping[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        columns = dict(batch[DEFAULT_MODULE_ID])
        parts = {name: values.split(self._batch_size) for name, values in columns.items()}
        for i in range(len(parts["rewards"])):
            losses = self.gradient_step({name: values[i] for name, values in parts.items()})
        return {}, {DEFAULT_MODULE_ID: minimised(losses).detach()}, {}

    def gradient_step(self, batch: dict[str, Tensor]) -> Losses:
        """One TD3 update: critics, and when it is due the actor and the targets.

        Args:
            batch: Column -> tensor, [B, ...].

        Returns:
            The losses.
        """
        self.n_updates += 1
        losses: Losses = {}
        if self._net.has_critic:
            losses |= critic_losses(self._net, batch, self._settings, self._generator)
            self._descend("critic", losses["critic_loss"])
        if self.n_updates % self.config.policy_delay == 0 or not self._net.has_critic:
            actor = actor_losses(self._net, batch, self._settings)
            self._descend("actor", minimised(actor))
            self._follow(self._targets, self._sources, self.n_updates)
            losses |= actor
        if self.n_updates >= _KEPT_EVERY * self._kept_at:
            self._net.keep_actor()
            self._kept_at = self.n_updates
        for name, value in losses.items():
            self._logged[name].append(value.detach())
        return losses

    def _descend(self, name: str, loss: Tensor) -> None:
        """One step of the named optimiser down `loss`."""
        optimizer = self.get_optimizer(DEFAULT_MODULE_ID, name)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], self.config.grad_clip)
        optimizer.step()

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Log the means over the minibatches of this call; stop a run whose losses are no numbers any more."""
        super().after_gradient_based_update(timesteps=timesteps)
        means = {name: torch.stack(values).mean().item() for name, values in self._logged.items()}
        self._logged.clear()
        broken = [name for name, value in means.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"{', '.join(broken)} not finite after {self.n_updates} updates: check rewards and observations, "
                "or lower the learning rates"
            )
        self.metrics.log_dict(means, key=DEFAULT_MODULE_ID, window=1)

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state (networks, targets, optimisers) plus the update count and the noise generator."""
        own = {"n_updates": self.n_updates, "kept_at": self._kept_at, "generator": self._generator.get_state().numpy()}
        return {**super().get_state(*args, **kwargs), **own}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state from `get_state`."""
        super().set_state(state)
        if "n_updates" in state:
            self.n_updates, self._kept_at = int(state["n_updates"]), int(state["kept_at"])
            self._generator.set_state(torch.from_numpy(state["generator"].copy()))
