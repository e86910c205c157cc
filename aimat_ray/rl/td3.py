"""TD3 on RLlib's new API stack: configuration and algorithm.

    config = apply_agent_config(TD3Config(), settings.agent).environment("design", env_config=...).debugging(seed=0)
    algorithm = config.build_algo()
    algorithm.set_trusted(pool_columns)
    while algorithm.env_steps < steps:
        result = algorithm.train()
    algorithm.save_to_path(folder)          # TD3.from_checkpoint(folder) continues exactly there

DDPG is TD3 with `twin_q=False, policy_delay=1, target_noise=0`. td3-design.md: metrics and deviations from the paper.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from torch import nn

from aimat_ray.errors import RunError
from aimat_ray.experience.buffer import FlatReplayBuffer, transition_schema
from aimat_ray.rl.effect import build_effect
from aimat_ray.rl.env_runner import FlatRollout, rollout_from_episodes
from aimat_ray.rl.run_state import RunState
from aimat_ray.rl.td3_config import TD3Config

Array = NDArray[Any]
RUN_STATE = "run_state"
LEARNER_COLUMNS = ("obs", "actions", "rewards", "next_obs", "terminateds", "effect", "label", "label_weight")
_EFFECT_CHUNK = 4096


class TransitionCallback(RLlibCallback):
    """An RLlib callback that also sees new transitions before they enter the buffer."""

    def on_transitions(self, *, algorithm: TD3, columns: dict[str, Array]) -> None:
        """Called once per sampling round; may add columns, such as labels.

        Args:
            algorithm: The algorithm.
            columns: Name -> rows of the round, all runners together. Add to it in place.
        """


TransitionListener = Callable[[dict[str, Array]], None]  # sees new transitions, and may change them in place


class TD3(Algorithm):
    """Twin Delayed DDPG: sample, store, K gradient steps per learner call, sync weights."""

    config: TD3Config

    @classmethod
    def get_default_config(cls) -> TD3Config:
        """RLlib's entry point to the configuration."""
        return TD3Config(algo_class=cls)

    def setup(self, config: TD3Config) -> None:
        """Build runners, learner and buffer (called by RLlib)."""
        self._run_state = RunState(self.set_run_state)
        self.env_steps = 0  # transitions stored, over the run's lifetime and its resumed parts
        self.n_updates = 0  # gradient steps
        self._learning_steps = 0  # env steps that count for the update ratio
        self.listeners: list[TransitionListener] = []  # in this process, beside the configuration's callbacks
        super().setup(config)
        self._built_config = self.config
        self._effect = build_effect(self.config.effect)
        self.buffer = self._build_buffer()

    def _build_buffer(self) -> FlatReplayBuffer:
        c = self.config
        obs_space, action_space = self.env_runner_group.get_spaces()[DEFAULT_MODULE_ID]
        n_actions = int(np.prod(action_space.shape))
        schema = transition_schema(int(np.prod(obs_space.shape)), n_actions, c.extra_schema(n_actions))
        seed = None if c.seed is None else [c.seed, 2]
        return c.buffer_class(schema, c.buffer_capacity, np.random.default_rng(seed), c.offline)

    def set_trusted(self, columns: Mapping[str, Array]) -> None:
        """Give the trusted rows that the offline mode mixes into the batches; actions in [-1, 1], like the buffer's."""
        self.buffer.set_trusted(self._with_effect(dict(columns)))

    def actor(self) -> nn.Module:
        """A copy of the deterministic policy: observations [B, O] -> actions [B, A] in [-1, 1]; see also `Turns`."""
        results = self.learner_group.foreach_learner(
            lambda learner: copy.deepcopy(learner.module[DEFAULT_MODULE_ID].unwrapped().policy())
        )
        actor: nn.Module = next(iter(results)).get()
        return actor

    def critic_values(self, columns: Mapping[str, Array]) -> Array:
        """What the critics say of stored steps: the smaller of both values, [N]; NaN without critics.

        Args:
            columns: `obs` and `actions` (and `effect`, where it is stored) of N steps.
        """
        given = {name: np.asarray(columns[name], np.float32) for name in ("obs", "actions")}
        given = self._with_effect(given)
        used = torch.from_numpy(np.ascontiguousarray(given.get("effect", given["actions"]), np.float32))
        obs = torch.from_numpy(np.ascontiguousarray(given["obs"]))

        def values(learner: Any) -> Array:
            module = learner.module[DEFAULT_MODULE_ID].unwrapped()
            if not module.has_critic:
                return np.full(len(obs), np.nan)
            with torch.no_grad():
                return torch.stack([critic(obs, used) for critic in module.critics]).amin(dim=0).numpy()

        result: Array = next(iter(self.learner_group.foreach_learner(values))).get()
        return result

    # ------------------------------------------------------------------ the loop
    def training_step(self) -> None:
        """One round (called by RLlib, as often as `min_sample_timesteps_per_iteration` asks)."""
        self._round()
        progress = {"env_steps": self.env_steps, "n_updates": self.n_updates, "replay_rows": len(self.buffer)}
        self.metrics.log_dict(progress, key="progress", reduce="max", window=1)

    def _round(self) -> None:
        columns = self._collect()
        n_new = len(columns["rewards"]) if columns else 0
        if n_new:
            for listener in self.listeners:
                listener(columns)
            for callback in self.callbacks:
                if isinstance(callback, TransitionCallback):
                    callback.on_transitions(algorithm=self, columns=columns)
            self.buffer.add(self._with_effect(columns))
        self.env_steps += n_new
        if self.env_steps <= self.config.learning_starts:
            return
        self._learning_steps += n_new
        if self._update():
            self._sync_weights()

    def _collect(self) -> dict[str, Array]:
        """New transitions of all runners, in the order of their indices."""
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            samples, stats = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                concat=True,
                sample_timeout_s=self.config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
        self.metrics.aggregate(stats, key=ENV_RUNNER_RESULTS)
        if samples and not isinstance(samples[0], FlatRollout):
            samples = [rollout_from_episodes(samples)]
        rollouts = [r.columns for r in sorted(samples, key=lambda r: r.worker_index) if r.columns]
        if len(rollouts) < 2:
            return rollouts[0] if rollouts else {}
        return {name: np.concatenate([r[name] for r in rollouts]) for name in rollouts[0]}

    def _with_effect(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Add the effect of the stored actions: computed once per row here instead of each time it is drawn."""
        if "effect" not in self.buffer.schema or "effect" in columns:
            return columns
        obs, actions = (torch.as_tensor(np.asarray(columns[name], np.float32)) for name in ("obs", "actions"))
        with torch.no_grad():
            chunks = [slice(start, start + _EFFECT_CHUNK) for start in range(0, len(obs), _EFFECT_CHUNK)]
            parts = [self._effect(obs[chunk], actions[chunk]) for chunk in chunks]
        return columns | {"effect": torch.cat(parts).numpy() if parts else actions.numpy()}

    def _update(self) -> int:
        """Take the gradient steps that are due, in learner calls of K minibatches; returns the number of calls."""
        c = self.config
        k, size = c.minibatches_per_update, c.train_batch_size_per_learner
        names = [name for name in LEARNER_COLUMNS if name in self.buffer.schema]
        due = int(self._learning_steps * c.updates_per_step + 1e-9) - self.n_updates
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            for _ in range(due // k):
                results = update_learner(self.learner_group, self.buffer, size, k, names, self.env_steps)
                self.metrics.aggregate(results, key=LEARNER_RESULTS)
                self.n_updates += k
        return due // k

    def _sync_weights(self) -> None:
        """Give the actor's new weights to the runners."""
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            if self.env_runner_group.num_remote_workers():
                self.env_runner_group.sync_weights(from_worker_or_learner_group=self.learner_group, inference_only=True)
                return
            # Without remote runners RLlib would still put the weights into the object store: 3 ms a round.
            weights = self.learner_group.get_state(components=f"learner/{COMPONENT_RL_MODULE}", inference_only=True)[
                "learner"
            ]
            self.env_runner.set_state(weights)

    # ------------------------------------------------------------------ checkpoints and Tune
    def get_run_state(self) -> dict[str, Any]:
        """Replay buffer, counters and env runners, as nested arrays."""
        runners = self.env_runner_group.foreach_env_runner(
            lambda r: (int(r.worker_index or 0), r.runner_state() if hasattr(r, "runner_state") else {})
        )
        counters = np.array([self.env_steps, self.n_updates, self._learning_steps], np.int64)
        return {
            "counters": counters,
            "buffer": self.buffer.get_state(),
            "runners": {str(index): state for index, state in runners},
        }

    def set_run_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state from `get_run_state`."""
        self.env_steps, self.n_updates, self._learning_steps = (int(v) for v in state["counters"])
        self.buffer.set_state(state["buffer"])
        runners = state.get("runners", {})

        def restore(runner: Any) -> None:
            own = runners.get(str(int(runner.worker_index or 0)))
            if own:
                runner.set_runner_state(own)

        self.env_runner_group.foreach_env_runner(restore)

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """RLlib's components plus ours."""
        return [*super().get_checkpointable_components(), (RUN_STATE, self._run_state)]

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state plus the run state."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(RUN_STATE, components, not_components):
            state[RUN_STATE] = self.get_run_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state from `get_state`."""
        super().set_state(state)
        if RUN_STATE in state:
            self.set_run_state(state[RUN_STATE])

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Start over with another configuration in this process (Tune's `reuse_actors`, 5 times faster)."""
        self.cleanup()
        config = self.get_default_config()
        config.update_from_dict({k: v for k, v in new_config.items() if not k.startswith("__")})
        config.env = self._env_id
        self.metrics = MetricsLogger(root=True)
        self.config = config
        self.setup(config)
        return True

    def reset(self, new_config: Mapping[str, Any], *args: Any, **kwargs: Any) -> bool:
        """Tune's reset; it would leave a plain dict behind as the configuration."""
        done = bool(super().reset(new_config, *args, **kwargs))
        self.config = self._built_config
        return done


def load_actor(checkpoint: Path) -> nn.Module:
    """The deterministic policy of a stored run, without starting Ray."""
    folder = checkpoint / "learner_group" / "learner" / "rl_module" / DEFAULT_MODULE_ID
    if not folder.is_dir():
        raise RunError(f"{checkpoint} is not a TD3 checkpoint: {folder} does not exist")
    actor: nn.Module = RLModule.from_checkpoint(str(folder)).policy()
    return actor


def update_learner(
    group: LearnerGroup, buffer: FlatReplayBuffer, size: int, batches: int, names: Sequence[str], env_steps: int
) -> list[Any]:
    """One learner call: `batches` gradient steps on batches of `size` rows, split there; returns RLlib's results."""
    rows = buffer.sample(size, batches=batches, names=names)
    tensors = {name: torch.from_numpy(values) for name, values in rows.items()}
    batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(tensors)}, env_steps=size * batches)
    results: list[Any] = group.update(batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps})
    return results
