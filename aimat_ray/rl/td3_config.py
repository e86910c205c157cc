"""Configuration of TD3 in RLlib's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.util.debug import log_once

from aimat_ray.config import AgentSettings
from aimat_ray.errors import ConfigError
from aimat_ray.experience.buffer import FlatReplayBuffer, OfflineMode, OfflineShare, Schema
from aimat_ray.rl.env_runner import FlatEnvRunner

CriticKind = Literal["effect", "raw", "none"]


class TD3Config(AlgorithmConfig):
    """RLlib's configuration plus TD3's. Fields are set with `.training(...)`.

    Attributes:
        actor_lr: Learning rate of the actor.
        critic_lr: Learning rate of the critics.
        critic_weight_decay: L2 weight decay of the critics.
        tau: Share by which the targets move towards the networks at each actor update.
        policy_delay: Critic updates per actor update.
        target_noise: Standard deviation of the noise on target actions.
        target_noise_clip: Bound of that noise.
        exploration_noise: Standard deviation of the Gaussian noise on actions while sampling.
        random_steps: Env steps (all runners together) with uniform actions at the start.
        learning_starts: Env steps before the first update.
        twin_q: Two critics and the minimum of them, or one.
        critic: What the critic sees of an action: its `effect`, the `raw` numbers, or no critic at all (labels only).
        effect: What an action does: {'kind': 'identity'} or {'kind': 'projected', 'lower', 'upper', 'base',
            'max_elements', 'max_step'}, see effect.ProjectedEffect.
        guide: What a distilled surrogate tells the actor: {'kind': 'none'}, or from guide.guide_spec.
        network: The actor's kind: {'kind': 'flat'}, or from element_actor.element_spec.
        turns: Actors of the deterministic policy: today's, and earlier ones of its training, see turns.Turns.
        bc_weight: Weight of the distance to the labelled effects in the actor's loss (columns `label`, `label_weight`).
        hidden_sizes: Widths of the hidden layers of actor and critics.
        hidden_columns: First and last + 1 of the entries of an observation that actor and critics do not see.
        layer_norm: Normalised layers in the critics.
        updates_per_step: Gradient steps per env step.
        minibatches_per_update: Gradient steps per learner call.
        buffer_class: Replay buffer class.
        buffer_capacity: Transitions that the buffer keeps.
        extra_columns: Further stored columns, name -> (shape, dtype); the env delivers them in `infos`, or a callback
            adds them.
        offline_mode: How trusted rows enter batches, see buffer.OfflineShare.
        offline_share: Their share of a batch (fixed, annealed).
        offline_share_end: Their share at the end of the annealing.
        offline_anneal_steps: Env steps until then.
    """

    actor_lr: float
    critic_lr: float
    critic_weight_decay: float
    tau: float
    policy_delay: int
    target_noise: float
    target_noise_clip: float
    exploration_noise: float
    random_steps: int
    learning_starts: int
    twin_q: bool
    critic: CriticKind
    effect: Mapping[str, Any]
    guide: Mapping[str, Any]
    network: Mapping[str, Any]
    turns: int
    bc_weight: float
    hidden_sizes: tuple[int, ...]
    hidden_columns: tuple[int, int]
    layer_norm: bool
    updates_per_step: float
    minibatches_per_update: int
    buffer_class: type[FlatReplayBuffer]
    buffer_capacity: int
    extra_columns: Schema
    offline_mode: OfflineMode
    offline_share: float
    offline_share_end: float
    offline_anneal_steps: int

    def __init__(self, algo_class: type | None = None) -> None:
        if algo_class is None:
            from aimat_ray.rl.td3 import TD3  # the algorithm's module imports this one

            algo_class = TD3
        super().__init__(algo_class=algo_class)
        self.actor_lr = 1e-3
        self.critic_lr = 1e-3
        self.critic_weight_decay = 0.0
        self.tau = 0.005
        self.policy_delay = 2
        self.target_noise = 0.2
        self.target_noise_clip = 0.5
        self.exploration_noise = 0.1
        self.random_steps = 1_000
        self.learning_starts = 1_000
        self.twin_q = True
        self.critic = "effect"
        self.effect = {"kind": "identity"}
        self.guide = {"kind": "none"}
        self.network = {"kind": "flat"}
        self.turns = 1
        self.bc_weight = 0.0
        self.hidden_sizes = (256, 256)
        self.hidden_columns = (0, 0)
        self.layer_norm = False
        self.updates_per_step = 1.0
        self.minibatches_per_update = 1
        self.buffer_class = FlatReplayBuffer
        self.buffer_capacity = 200_000
        self.extra_columns = {}
        self.offline_mode = "none"
        self.offline_share = 0.0
        self.offline_share_end = 0.0
        self.offline_anneal_steps = 100_000
        # RLlib's own, where its default does not fit.
        self.train_batch_size_per_learner = 256
        self.env_runner_cls = FlatEnvRunner
        self.rollout_fragment_length = 1
        self.min_sample_timesteps_per_iteration = 1_000
        self.min_time_s_per_iteration = None  # iterations end by steps, never by the clock: reproducible
        self.log_level = "ERROR"  # RLlib warns about its own API changes; what concerns a user are our errors
        self.delay_between_env_runner_restarts_s = 0.0  # the default sleeps a minute before a failed runner returns

    def training(self, **fields: Any) -> Self:
        """Set TD3's fields (see the class) and RLlib's (`gamma`, `grad_clip`, `train_batch_size_per_learner` ...)."""
        own = {name: fields.pop(name) for name in list(fields) if name in OWN_FIELDS}
        super().training(**fields)
        for name, value in own.items():
            setattr(self, name, value)
        return self

    @property
    def stores_effect(self) -> bool:
        """Whether the buffer keeps the effect of each action beside the action."""
        return self.critic == "effect" and self.effect["kind"] != "identity"

    @property
    def offline(self) -> OfflineShare:
        """How trusted rows enter the batches."""
        return OfflineShare(self.offline_mode, self.offline_share, self.offline_share_end, self.offline_anneal_steps)

    def extra_schema(self, n_actions: int) -> dict[str, Any]:
        """Columns beside the core ones: those asked for, the effect, and labels where they are learned from."""
        per_action, per_row = ((n_actions,), "float32"), ((), "float32")
        own: dict[str, Any] = {"effect": per_action} if self.stores_effect else {}
        if self.bc_weight > 0:
            own |= {"label": per_action, "label_weight": per_row}
        return own | dict(self.extra_columns)

    def validate(self) -> None:
        """Reject values that can't work, before anything is started (called by RLlib)."""
        log_once(f"{self.algo_class.__name__}_on_new_api_stack")  # RLlib would warn every user about its default
        super().validate()
        if self.critic not in ("effect", "raw", "none"):
            raise ConfigError(f"critic: expected effect, raw or none, got {self.critic!r}")
        if self.guide["kind"] == "gradient" and self.critic != "effect":
            raise ConfigError("guidance 'gradient' needs critic 'effect': it follows the effect through the model")
        if self.critic == "none" and self.bc_weight <= 0:
            raise ConfigError("critic 'none' learns from labels alone: set bc_weight above 0")
        for name in ("policy_delay", "turns", "minibatches_per_update", "buffer_capacity"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.updates_per_step <= 0:
            raise ConfigError(f"updates_per_step: expected a positive number, got {self.updates_per_step}")
        _ = self.offline  # its own checks

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """RLlib's hook: which networks."""
        from aimat_ray.rl.td3_module import TD3Module

        return RLModuleSpec(module_class=TD3Module)

    def get_default_learner_class(self) -> type:
        """RLlib's hook: which update."""
        from aimat_ray.rl.td3_learner import TD3Learner

        return TD3Learner

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in MODULE_FIELDS}
        return {**super()._model_config_auto_includes, **own}


OWN_FIELDS = tuple(TD3Config.__annotations__)
MODULE_FIELDS = (
    "hidden_sizes",
    "hidden_columns",
    "layer_norm",
    "twin_q",
    "critic",
    "effect",
    "guide",
    "network",
    "turns",
    "exploration_noise",
    "random_steps",
)


# Who makes the labels is not the algorithm's business; `guide` and `hidden_columns` come from the task.
_ELSEWHERE = {"labels", "label_ranking", "label_ways", "guidance", "network", "sees_base"}
AGENT_FIELDS = tuple(name for name in AgentSettings.model_fields if name not in _ELSEWHERE)
_RENAMED = {"batch_size": "train_batch_size_per_learner"}
_OF_RUNNERS = {
    "n_envs_per_runner": "num_envs_per_env_runner",
    "rollout_fragment_length": "rollout_fragment_length",
}


def apply_agent_config(config: TD3Config, agent: AgentSettings) -> TD3Config:
    """Write a run's agent settings into an RLlib configuration; every field that concerns TD3 is used.

    Args:
        config: Configuration to change (and return).
        agent: Settings of the run's agent.
    """
    values = {name: getattr(agent, name) for name in AGENT_FIELDS}
    runners = {rllib_name: values.pop(name) for name, rllib_name in _OF_RUNNERS.items()}
    config.training(**{_RENAMED.get(name, name): value for name, value in values.items()})
    config.env_runners(**runners)
    return config


def ddpg(config: TD3Config) -> TD3Config:
    """DDPG: one critic, no delay, no target smoothing."""
    return config.training(twin_q=False, policy_delay=1, target_noise=0.0)
