"""Env runner that returns flat arrays of transitions instead of episode objects.

RLlib's stock runner spends about 45 us per env step on episode objects and connectors, this one 5 to 15. It needs a
vector env with NEXT_STEP autoreset (ours, and every gymnasium SyncVectorEnv) and flat Box spaces.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from aimat_ray.errors import ConfigError
from aimat_ray.experience.buffer import array_to_generator, generator_to_array

logger = logging.getLogger(__name__)
Array = NDArray[Any]
CORE = ("obs", "actions", "rewards", "next_obs", "terminateds")
RUNNER_STATE = "flat_runner"
WALK, ENDED = "walk", "ended"  # extra columns that the runner itself fills where they are asked for


@dataclass(slots=True, eq=False)
class FlatRollout:
    """Transitions of one `sample` call. RLlib treats it as a leaf where it flattens lists of episodes.

    Attributes:
        columns: Name -> rows, in time order and, within a step, in env order; actions in [-1, 1].
        worker_index: Which runner made it.
        episode_returns: Returns of the episodes that ended.
        episode_lengths: Their lengths.
    """

    columns: dict[str, Array]
    worker_index: int = 0
    episode_returns: list[float] = field(default_factory=list)
    episode_lengths: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.columns["rewards"])

    def env_steps(self) -> int:
        """Number of transitions (RLlib's episode interface)."""
        return len(self)


class FlatEnvRunner(SingleAgentEnvRunner):
    """Steps a vector env and collects columns.

    Extra columns (`TD3Config.extra_schema`: effect, label, label_weight, own ones): an env may put arrays [n_envs, ...]
    under their names into the infos of `step`; they belong to that step's transition. Absent ones are stored as zeros.
    The columns `walk` and `ended` the runner fills itself.
    The env may offer get_state() and set_state(state) with a dict of arrays; a resumed run then continues its episodes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        torch.set_num_threads(1)
        self._n_own = 0  # env steps of this runner, over its lifetime and its resumed runs
        self._obs: Array | None = None
        super().__init__(*args, **kwargs)

    def make_env(self) -> None:
        """Build the env (called by RLlib); gymnasium's note about a second registration is of no use to anybody."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().make_env()
        self._obs = None
        self._vector_env: gym.vector.VectorEnv[Any, Any, Any] = (
            self.env.env
        )  # without RLlib's wrapper that splits infos into dicts
        _check_spaces(self._vector_env)
        space = self._vector_env.single_action_space
        self._low, self._half_range = space.low, (space.high - space.low) / 2
        self._extras = tuple(self.config.extra_schema(int(space.shape[0])))

    def make_module(self) -> None:
        """Build the actor (called by RLlib) with an exploration generator of its own."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().make_module()
        seed = None if self._seed is None else [self._seed, 1]
        self.module.exploration_rng = np.random.default_rng(seed)

    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[Any]:
        if num_timesteps is None:  # RLlib's evaluation by episodes: rare, and it wants episode objects
            self._obs = None
            return super()._sample(num_episodes=num_episodes, explore=explore, random_actions=random_actions)
        if self._obs is None or force_reset:
            self._start()
        rollout = FlatRollout({}, self.worker_index or 0)
        steps: list[dict[str, Array]] = []
        n, n_taken, n_wanted = 0, 0, -(-num_timesteps // self.num_envs)
        # As many vector steps in every call, not rows: a runner whose sub-envs reset would make the others wait.
        while n_taken < n_wanted or not n:
            step = self._vector_step(explore, n, rollout)
            n_taken += 1
            if step and len(step["rewards"]):
                n += len(step["rewards"])
                steps.append(step)
        rollout.columns = {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
        self._n_own += n
        self._log(rollout)
        return [rollout]

    def _start(self) -> None:
        """Reset all sub-envs. Later resets draw other starts than the first, and a replaced runner other noise."""
        seed, steps = self._seed, max(self._n_own, int(self.num_env_steps_sampled_lifetime))
        if seed is not None and steps:
            if not self._n_own:
                self.module.exploration_rng = np.random.default_rng([seed, 1, steps])
            seed = int(np.random.SeedSequence([seed, steps]).generate_state(1)[0])
        self._obs, _ = self._vector_env.reset(seed=seed)
        self._needs_initial_reset = False
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._resetting = np.zeros(self.num_envs, np.bool_)

    def _vector_step(self, explore: bool, n_before: int, rollout: FlatRollout) -> dict[str, Array]:
        """One step of all sub-envs without the rows in which one merely resets; empty after a failure of the env."""
        assert self._obs is not None
        obs = np.asarray(self._obs, np.float32)
        action = self._act(obs, explore, n_before)
        result = self._try_step(self._low + (action + 1.0) * self._half_range)
        if result is None:
            return {}
        next_obs, reward, terminated, truncated, infos = result
        keep = ~self._resetting
        step = dict(zip(CORE, (obs, action, reward, next_obs, terminated), strict=True))
        step |= {name: infos[name] for name in self._extras if name in infos}
        if WALK in self._extras:
            step |= {WALK: self._walk_ids(), ENDED: terminated | truncated}
        step = {name: np.asarray(values)[keep] for name, values in step.items()}
        self._returns += np.where(keep, reward, 0.0)
        self._lengths += keep
        ended = (terminated | truncated) & keep
        rollout.episode_returns += self._returns[ended].tolist()
        rollout.episode_lengths += self._lengths[ended].tolist()
        self._returns[ended], self._lengths[ended] = 0.0, 0
        self._resetting, self._obs = ended, next_obs
        return step

    def _walk_ids(self) -> Array:
        """Number of each sub-env among those of all runners, so that episodes can be put together again."""
        return (self.worker_index or 0) * self.num_envs + np.arange(self.num_envs)

    def adopt(self) -> str:
        """Take the surrogate's current version between two steps; open episodes go on with it.

        Returns:
            The version in use now.
        """
        env: Any = self._vector_env.unwrapped
        if env.predictor.refresh() and self._obs is not None:
            env.refresh()
            self._obs = env.observations()
        return str(env.predictor.version)

    def _try_step(self, action: Array) -> Any:
        """Step the env; where the configuration allows it, replace a failing env and go on from a reset."""
        try:
            return self._vector_env.step(action)
        except Exception:
            if not self.config.restart_failed_sub_environments:
                raise
            logger.exception("the environment failed; it is built anew and its open episodes are dropped")
            self.make_env()
            self._start()
            return None

    def _act(self, obs: Array, explore: bool, n_before: int) -> Array:
        tensor = torch.from_numpy(obs)
        if explore:
            action: Array = self.module.explore(tensor, self._global_steps() + n_before).numpy()
        else:
            with torch.no_grad():
                action = self.module.actor(tensor).numpy()
        return action

    def _global_steps(self) -> int:
        """Env steps of all runners. RLlib refreshes its count only once per iteration, so the own one leads."""
        n_runners = self.config.num_env_runners or 1
        return max(self._n_own * n_runners, int(self.num_env_steps_sampled_lifetime))

    def _log(self, rollout: FlatRollout) -> None:
        for length, value in zip(rollout.episode_lengths, rollout.episode_returns, strict=True):
            self._log_episode_metrics(length, value, 0.0)
        self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=len(rollout))
        self._increase_sampled_metrics(len(rollout), len(rollout.episode_returns))

    # ------------------------------------------------------------------ state
    def runner_state(self) -> dict[str, Any]:
        """What this runner needs to continue here: counters, generator, open episodes, the env's own state."""
        state: dict[str, Any] = {"n_own": np.array(self._n_own)}
        if self.module is not None and self.module.exploration_rng is not None:
            state["exploration_rng"] = generator_to_array(self.module.exploration_rng)
        env: Any = None if self.env is None else self._vector_env.unwrapped
        if self._obs is not None and hasattr(env, "get_state"):
            state |= {"obs": np.array(self._obs), "returns": self._returns.copy(), "lengths": self._lengths.copy()}
            state |= {"resetting": self._resetting.copy(), "env": env.get_state()}
        return state

    def set_runner_state(self, state: dict[str, Any]) -> None:
        """Continue from `runner_state` of the runner with the same index."""
        self._n_own = int(state["n_own"])
        if "exploration_rng" in state:
            array_to_generator(state["exploration_rng"], self.module.exploration_rng)
        if "env" in state and self.env is not None:
            self._vector_env.unwrapped.set_state(state["env"])
            self._obs, self._returns = np.array(state["obs"]), np.array(state["returns"])
            self._lengths, self._resetting = np.array(state["lengths"]), np.array(state["resetting"])


def _check_spaces(env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
    """TD3 and the flat path need flat, bounded Box actions, flat Box observations and NEXT_STEP autoreset."""
    obs: Any = env.single_observation_space
    action: Any = env.single_action_space
    flat = all(isinstance(space, gym.spaces.Box) and len(space.shape) == 1 for space in (obs, action))
    if not flat or not np.isfinite([action.low, action.high]).all():
        raise ConfigError(f"TD3 needs a flat Box observation and a bounded flat Box action, got {obs} and {action}")
    mode = env.metadata.get("autoreset_mode")
    if mode != AutoresetMode.NEXT_STEP:
        raise ConfigError(
            f"the vector env must use NEXT_STEP autoreset, got {mode}; the last observation would be lost"
        )


def rollout_from_episodes(episodes: Sequence[Any]) -> FlatRollout:
    """The same columns from episode objects, for configurations that use RLlib's stock runner."""
    parts: list[dict[str, Array]] = []
    rollout = FlatRollout({})
    for episode in episodes:
        n = len(episode)
        if n == 0:
            continue
        obs = np.asarray(episode.get_observations(), np.float32)
        terminated = np.zeros(n, np.float32)
        terminated[-1] = episode.is_terminated
        values = (obs[:-1], np.asarray(episode.get_actions()), np.asarray(episode.get_rewards()), obs[1:], terminated)
        parts.append(dict(zip(CORE, values, strict=True)))
        if episode.is_done:
            rollout.episode_returns.append(float(episode.get_return()))
            rollout.episode_lengths.append(n)
    rollout.columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    return rollout
