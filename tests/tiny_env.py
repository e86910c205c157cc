"""A vector env with a known optimum: the reward is -|position + action - goal|^2, all numbers in a few dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class TinyVectorEnv(VectorEnv):
    """Positions move by 0.2 x action towards 0; episodes of 10 steps, terminated when close."""

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs: int, size: int = 3) -> None:
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(-2, 2, (size,), np.float32)
        self.single_action_space = gym.spaces.Box(-1, 1, (size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rng = np.random.default_rng()
        self.x = np.zeros((num_envs, size), np.float32)
        self.t = np.zeros(num_envs, np.int64)
        self.done = np.zeros(num_envs, bool)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self._start(np.ones(self.num_envs, bool))
        self.done[:] = False
        return self.x.copy(), {}

    def _start(self, which: np.ndarray) -> None:
        self.x[which] = self.rng.uniform(-1, 1, (int(which.sum()), self.x.shape[1]))
        self.t[which] = 0

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        before = self.x.copy()
        self.x = np.clip(self.x + 0.2 * np.asarray(actions, np.float32), -2, 2).astype(np.float32)
        self.t += 1
        reward = -np.square(self.x).sum(1).astype(np.float64)
        terminated = np.abs(self.x).max(1) < 0.05
        truncated = ~terminated & (self.t >= 10)
        reset = self.done.copy()
        if reset.any():
            self._start(reset)
        reward[reset], terminated[reset], truncated[reset] = 0.0, False, False
        self.done = terminated | truncated
        return self.x.copy(), reward, terminated, truncated, {"before": before}

    def get_state(self) -> dict[str, Any]:
        state = {"x": self.x.copy(), "t": self.t.copy(), "done": self.done.copy()}
        return state | {"rng": np.frombuffer(repr(self.rng.bit_generator.state).encode(), np.uint8)}

    def set_state(self, state: dict[str, Any]) -> None:
        import ast

        self.x, self.t, self.done = (np.array(state[name]) for name in ("x", "t", "done"))
        self.rng.bit_generator.state = ast.literal_eval(bytes(state["rng"]).decode())


def make_tiny(config: dict[str, Any]) -> TinyVectorEnv:
    return TinyVectorEnv(config["num_envs"], config.get("size", 3))
