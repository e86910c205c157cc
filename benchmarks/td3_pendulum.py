"""TD3 on Pendulum-v1: mean return of deterministic episodes of -200 within 10,000 env steps, in 3 of 3 seeds.

Every 500 steps the actor plays 20 fresh episodes without noise; when their mean is above -200, 20 further fresh
episodes must confirm it (so that the best of many noisy looks does not count as success).

    python benchmarks/td3_pendulum.py [--seeds 3] [--ddpg]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from aimat_ray.registry.runtime import ray_running
from aimat_ray.rl.td3_config import TD3Config, ddpg
from aimat_ray.rl.td3_module import Actor

MAX_STEPS, BAR, EPISODES = 10_000, -200.0, 20


def pendulum_config(seed: int) -> TD3Config:
    config = TD3Config().environment("Pendulum-v1").debugging(seed=seed)
    config.env_runners(num_envs_per_env_runner=1, rollout_fragment_length=10)
    config.reporting(min_sample_timesteps_per_iteration=500)
    return config.training(
        gamma=0.98,
        hidden_sizes=(128, 128),
        random_steps=500,
        learning_starts=500,
        exploration_noise=0.1,
        updates_per_step=1.0,
        minibatches_per_update=10,
        train_batch_size_per_learner=256,
    )


def mean_return(actor: Actor, seed: int) -> float:
    """Mean return of EPISODES deterministic episodes on fresh starts."""
    env = gym.make_vec("Pendulum-v1", num_envs=EPISODES, vectorization_mode="sync")
    obs, _ = env.reset(seed=seed)
    total = np.zeros(EPISODES)
    for _ in range(200):
        with torch.no_grad():
            action = actor(torch.from_numpy(obs)).numpy()
        obs, reward, *_ = env.step(2.0 * action)
        total += reward
    env.close()
    return float(total.mean())


def train_one(seed: int, use_ddpg: bool) -> dict[str, Any]:
    config = pendulum_config(seed)
    algorithm = (ddpg(config) if use_ddpg else config).build_algo()
    started, value, confirmed = time.perf_counter(), float("-inf"), float("-inf")
    while algorithm.env_steps < MAX_STEPS:
        algorithm.train()
        actor = algorithm.actor()
        look = 1_000_000 * (seed + 1) + algorithm.env_steps
        value = mean_return(actor, look)
        if value >= BAR:
            confirmed = mean_return(actor, look + 500_000)
            if confirmed >= BAR:
                break
    result = {"seed": seed, "env_steps": algorithm.env_steps, "updates": algorithm.n_updates, "return": round(value, 1)}
    algorithm.stop()
    seconds = round(time.perf_counter() - started, 1)
    return result | {"confirmed_return": round(confirmed, 1), "seconds": seconds, "reached": confirmed >= BAR}


def main() -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ddpg", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with ray_running(num_cpus=1):
        runs = [train_one(seed, options.ddpg) for seed in range(options.seeds)]
    reached = sum(run["reached"] for run in runs)
    return [
        {
            "name": "ddpg_pendulum" if options.ddpg else "td3_pendulum",
            "value": reached,
            "unit": f"of {len(runs)} seeds at {BAR:.0f} within {MAX_STEPS} steps",
            "bar": len(runs),
            "ok": reached == len(runs),
            "detail": runs,
        }
    ]


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
