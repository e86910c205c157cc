"""Gradient steps per second of our RLlib learner against plain PyTorch TD3 with the same networks and data.

Both sides run in this process, one thread, interleaved in short rounds, so that the machine's load hits both alike. The
ratio is taken between thread CPU times (median over rounds); wall-clock rates are given in the detail. Two plain loops:
`cleanrl` as that project writes it, and `tuned` with fused Adam and one foreach call for the targets, the strictest
yardstick.

    python benchmarks/td3_learner.py [--rounds 9] [--updates 64]
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import get_ema_multi_avg_fn

from aimat_ray.experience.buffer import FlatReplayBuffer, transition_schema
from aimat_ray.registry.runtime import quiet_ray
from aimat_ray.rl.td3_config import TD3Config
from aimat_ray.rl.td3_module import Actor, Critic

OBS, ACT, MINIBATCHES, BAR = 40, 35, 16, 0.9
GAMMA, TAU, LR, NOISE, CLIP, DELAY = 0.99, 0.005, 1e-3, 0.2, 0.5, 2


class PlainTD3:
    """TD3's update without any framework."""

    def __init__(self, hidden: tuple[int, ...], tuned: bool) -> None:
        self.actor = Actor(torch.ones(OBS), ACT, hidden)
        self.critics = [Critic(torch.ones(OBS), ACT, hidden, False) for _ in range(2)]
        self.target_actor, self.target_critics = copy.deepcopy(self.actor), copy.deepcopy(self.critics)
        self.critic_params = [p for critic in self.critics for p in critic.parameters()]
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=LR, fused=tuned)
        self.critic_optimizer = torch.optim.Adam(self.critic_params, lr=LR, fused=tuned)
        self.sources = [*self.actor.parameters(), *self.critic_params]
        self.targets = [*self.target_actor.parameters(), *(p for c in self.target_critics for p in c.parameters())]
        self.follow = get_ema_multi_avg_fn(1 - TAU)
        self.tuned, self.n = tuned, 0

    def update(self, batch: dict[str, torch.Tensor]) -> None:
        """One gradient step on a batch."""
        self.n += 1
        obs, action, next_obs = batch["obs"], batch["actions"], batch["next_obs"]
        with torch.no_grad():
            noise = (torch.randn_like(action) * NOISE).clamp(-CLIP, CLIP)
            next_action = (self.target_actor(next_obs) + noise).clamp(-1, 1)
            q1, q2 = (critic(next_obs, next_action) for critic in self.target_critics)
            target = batch["rewards"] + GAMMA * (1 - batch["terminateds"]) * torch.min(q1, q2)
        loss = sum(mse_loss(critic(obs, action), target) for critic in self.critics)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        if self.n % DELAY:
            return
        actor_loss = -self.critics[0](obs, self.actor(obs)).mean()
        self.actor_optimizer.zero_grad()
        actor_loss.backward()
        self.actor_optimizer.step()
        with torch.no_grad():
            if self.tuned:
                self.follow(self.targets, self.sources, self.n)
            else:
                for source, target_parameter in zip(self.sources, self.targets, strict=True):
                    target_parameter.data.copy_(TAU * source.data + (1 - TAU) * target_parameter.data)


def filled_buffer() -> FlatReplayBuffer:
    rng = np.random.default_rng(0)
    schema = transition_schema(OBS, ACT)
    buffer = FlatReplayBuffer(schema, 50_000, rng)
    rows = {name: rng.normal(size=(50_000, *shape)).astype(dtype) for name, (shape, dtype) in schema.items()}
    rows["actions"] = np.tanh(rows["actions"])
    rows["terminateds"] = (rows["terminateds"] > 1.5).astype(np.float32)
    buffer.add(rows)
    return buffer


def plain_runner(agent: PlainTD3, buffer: FlatReplayBuffer, batch_size: int) -> Callable[[int], None]:
    def run(n_updates: int) -> None:
        for _ in range(n_updates):
            rows = buffer.sample(batch_size)
            agent.update({name: torch.from_numpy(values) for name, values in rows.items()})

    return run


def rllib_runner(hidden: tuple[int, ...], buffer: FlatReplayBuffer, batch_size: int) -> Callable[[int], None]:
    from aimat_ray.rl.td3 import update_learner

    config = TD3Config().training(
        hidden_sizes=hidden, train_batch_size_per_learner=batch_size, minibatches_per_update=MINIBATCHES
    )
    config.debugging(seed=0)
    observation, action = gym.spaces.Box(-10, 10, (OBS,)), gym.spaces.Box(-1, 1, (ACT,))
    spec = config.get_multi_rl_module_spec(spaces={"default_policy": (observation, action)}, inference_only=False)
    group = config.build_learner_group(rl_module_spec=spec)
    names = list(buffer.schema)

    def run(n_updates: int) -> None:
        for _ in range(n_updates // MINIBATCHES):
            update_learner(group, buffer, batch_size, MINIBATCHES, names, env_steps=0)

    return run


def measure(batch_size: int, hidden: tuple[int, ...], rounds: int, n_updates: int) -> list[dict[str, Any]]:
    buffer = filled_buffer()
    sides = {
        "cleanrl": plain_runner(PlainTD3(hidden, tuned=False), buffer, batch_size),
        "tuned": plain_runner(PlainTD3(hidden, tuned=True), buffer, batch_size),
        "rllib": rllib_runner(hidden, buffer, batch_size),
    }
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    wall: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(rounds + 1):
        for name, run in sides.items():
            started, started_cpu = time.perf_counter(), time.thread_time()
            run(n_updates)
            if round_:  # the first round warms up
                cpu[name].append((time.thread_time() - started_cpu) / n_updates)
                wall[name].append((time.perf_counter() - started) / n_updates)
    return [entry(plain, batch_size, hidden, cpu, wall) for plain in ("cleanrl", "tuned")]


def entry(
    plain: str, batch_size: int, hidden: tuple[int, ...], cpu: dict[str, list[float]], wall: dict[str, list[float]]
) -> dict[str, Any]:
    ratio = statistics.median(p / r for p, r in zip(cpu[plain], cpu["rllib"], strict=True))
    rates = {
        f"{side}_updates_per_{unit}_s": round(1 / statistics.median(times[side]), 1)
        for side in (plain, "rllib")
        for unit, times in (("cpu", cpu), ("wall", wall))
    }
    return {
        "name": f"td3_learner_vs_{plain}_b{batch_size}_h{hidden[0]}",
        "value": round(ratio, 3),
        "unit": "x",
        "bar": BAR,
        "ok": ratio >= BAR,
        "detail": rates | {"obs": OBS, "actions": ACT, "hidden": list(hidden), "rounds": len(cpu[plain])},
    }


def main() -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--updates", type=int, default=64)
    parser.add_argument("--hidden", type=int, nargs="*", default=[256, 128])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    quiet_ray()
    results = []
    for width in options.hidden:
        for batch_size in (256, 512):
            results += measure(batch_size, (width, width), options.rounds, options.updates)
    return results


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
