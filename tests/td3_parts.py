"""Small pieces of TD3 for tests: a learner without Ray, batches, spaces."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from aimat_ray.rl.td3_config import TD3Config
from aimat_ray.rl.td3_learner import TD3Learner

OBS, ACT = 5, 3
SPACES = (gym.spaces.Box(-10, 10, (OBS,), np.float32), gym.spaces.Box(-1, 1, (ACT,), np.float32))


def build_learner(config: TD3Config) -> TD3Learner:
    """The learner as RLlib builds it, in this process."""
    spec = config.get_multi_rl_module_spec(spaces={"default_policy": SPACES}, inference_only=False)
    learner: TD3Learner = config.get_default_learner_class()(config=config, module_spec=spec)
    learner.build()
    return learner


def make_batch(n: int, seed: int = 0, labels: bool = False) -> dict[str, torch.Tensor]:
    """Random transitions, one in five terminated."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "obs": rng.normal(size=(n, OBS)),
        "actions": rng.uniform(-1, 1, (n, ACT)),
        "rewards": rng.normal(size=n),
        "next_obs": rng.normal(size=(n, OBS)),
        "terminateds": (rng.random(n) < 0.2),
    }
    if labels:
        columns |= {"label": rng.uniform(-1, 1, (n, ACT)), "label_weight": rng.random(n)}
    return {name: torch.from_numpy(np.asarray(values, np.float32)) for name, values in columns.items()}
