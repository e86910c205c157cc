"""RLlib's own SAC, PPO and DQN as contestants, on the same environment, reward and observation as our TD3.

Library defaults but for what the environment dictates: many environments in one process, gamma 0.9 as for TD3 (walks
are short), and the update ratio that fits the budget. DQN needs finitely many actions: each pushes one element up or
down by a full step. One thread each; the environments reset in the step after an end, as RLlib expects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from ray import tune

from aimat_ray.config import DesignSettings
from aimat_ray.contest.arenas import method_bench
from aimat_ray.contest.curves import Curve
from aimat_ray.contest.game import Game
from aimat_ray.contest.policy_walks import hand_in_walks
from aimat_ray.contest.td3 import sized
from aimat_ray.env.alloy_env import AlloyVectorEnv
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, observe
from aimat_ray.rl.prepare import Workbench

STOCK_ENV, DISCRETE_ENV = "aimat-contest", "aimat-contest-discrete"
_BATCH, _REPLAY_RATIO = 256, 4.0  # rows replayed per env step: one update of 256 per 64 steps
_PPO_BATCH, _PPO_MINIBATCH, _PPO_EPOCHS = 2_048, 256, 10


class DiscreteMoves(AlloyVectorEnv):
    """The design environment with two moves per element that a window admits: up or down by a full step."""

    def __init__(self, num_envs: int, task: DesignTask, predictor: Any, **options: Any) -> None:
        super().__init__(num_envs, task, predictor, **options)
        self.moves = moves_of(task)
        self.single_action_space = gym.spaces.Discrete(len(self.moves))
        self.action_space = batch_space(self.single_action_space, num_envs)

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step with the moves that the numbers stand for."""
        return super().step(self.moves[np.asarray(actions, dtype=np.intp)])


def moves_of(task: DesignTask) -> FloatArray:
    """Actions that numbers stand for, [2 K, A]; K elements that some window of the task admits."""
    columns = np.flatnonzero((task.windows.upper > 0).any(axis=0))
    moves = np.zeros((2 * len(columns), len(task.problem.elements)))
    moves[np.arange(len(columns)), columns] = 1.0
    moves[len(columns) + np.arange(len(columns)), columns] = -1.0
    return moves


def _make_env(context: dict[str, Any]) -> AlloyVectorEnv:
    kind: Callable[..., AlloyVectorEnv] = DiscreteMoves if context["discrete"] else AlloyVectorEnv
    torch.set_num_threads(1)
    return kind(context.get("num_envs") or 1, context["task"], context["predictor"], max_steps=context["max_steps"])


def stock_config(kind: str, bench: Workbench) -> Any:
    """RLlib's configuration of a stock algorithm."""
    from ray.rllib.algorithms.dqn import DQNConfig
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.algorithms.sac import SACConfig

    settings, discrete = bench.settings, kind == "dqn"
    name = DISCRETE_ENV if discrete else STOCK_ENV
    tune.register_env(name, _make_env)
    config = {"sac": SACConfig, "ppo": PPOConfig, "dqn": DQNConfig}[kind]()
    context = {
        "task": bench.task, "predictor": bench.predictor, "max_steps": settings.env.train_max_steps,
        "discrete": discrete,
    }  # fmt: skip
    envs, agent = settings.agent.n_envs_per_runner, settings.agent
    config.environment(name, env_config=context)
    config.env_runners(
        num_env_runners=0, num_envs_per_env_runner=envs, gym_env_vectorize_mode="vector_entry_point",
        rollout_fragment_length="auto" if kind == "ppo" else 4,
    )  # fmt: skip
    config.learners(num_learners=0)
    config.debugging(seed=settings.seed, log_level="ERROR")
    config.reporting(min_sample_timesteps_per_iteration=max(1, settings.steps // 60), min_time_s_per_iteration=0)
    if kind == "ppo":
        batch = envs * max(min(_PPO_BATCH, settings.steps // 4) // envs, 1)
        config.training(
            gamma=agent.gamma, train_batch_size_per_learner=batch, minibatch_size=min(_PPO_MINIBATCH, batch),
            num_epochs=_PPO_EPOCHS,
        )  # fmt: skip
        return config
    config.training(
        gamma=agent.gamma,
        train_batch_size_per_learner=_BATCH,
        num_steps_sampled_before_learning_starts=agent.learning_starts,
        training_intensity=_REPLAY_RATIO,
    )
    if kind == "dqn":
        config.training(epsilon=[[0, 1.0], [max(settings.steps // 5, 1), 0.05]], target_network_update_freq=2_000)
    return config


@dataclass(frozen=True)
class StockPolicy:
    """The deterministic policy of a stock module: the mean of its distribution, or the best-valued move.

    Attributes:
        task: Gives the observation.
        module: RLlib's module.
        moves: What the numbers of DQN stand for; None for continuous actions.
    """

    task: DesignTask
    module: Any
    moves: FloatArray | None

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """Actions of the walks, [B, A]."""
        with torch.no_grad():
            answer = self.module.forward_inference({"obs": torch.from_numpy(observe(self.task, state))})
            if "actions" in answer:
                chosen = answer["actions"]
            else:
                kind = self.module.get_inference_action_dist_cls()
                chosen = kind.from_logits(answer["action_dist_inputs"]).to_deterministic().sample()
        action = chosen.numpy()
        return self.moves[action] if self.moves is not None else np.clip(action.astype(np.float64), -1.0, 1.0)


def train_stock(kind: str, game: Game, reference: Workbench, settings: DesignSettings, walk_share: float) -> Curve:
    """Train a stock algorithm, and hand in walks at every point of the budget; see `td3.train_td3`."""
    steps = max(int((1 - walk_share) * game.budget), 1)
    settings = sized(settings, steps, 0)
    bench = method_bench(reference, settings, game.learner_meter(reference.predictor))
    algorithm = stock_config(kind, bench).build_algo()
    curve = Curve(algorithm.env_runner.env.unwrapped)
    moves = moves_of(bench.task) if kind == "dqn" else None
    try:
        env_steps = 0
        for point in game.points:
            while game.meter.n_predictions < (1 - walk_share) * point:
                result = algorithm.train()
                env_steps = int(result.get("num_env_steps_sampled_lifetime", env_steps))
                curve.add(game.meter.n_predictions, env_steps, result)
            policy = StockPolicy(bench.task, algorithm.get_module(), moves)
            hand_in_walks(game, reference.task, bench.task, policy, point)
        return curve
    finally:
        algorithm.stop()
