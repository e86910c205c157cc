"""Every field of the agent's settings, set to a second value, changes what is built or done: no dead configuration."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from td3_parts import SPACES, build_learner, make_batch

from aimat_ray.config import AgentSettings
from aimat_ray.rl import td3
from aimat_ray.rl.td3_config import AGENT_FIELDS, OWN_FIELDS, TD3Config, apply_agent_config, ddpg
from aimat_ray.rl.td3_learner import TD3Learner

FIRST: dict[str, Any] = {
    "gamma": 0.9,
    "tau": 0.01,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "critic_weight_decay": 0.0,
    "batch_size": 32,
    "policy_delay": 2,
    "target_noise": 0.2,
    "target_noise_clip": 0.5,
    "exploration_noise": 0.2,
    "random_steps": 100,
    "learning_starts": 100,
    "layer_norm": False,
    "hidden_sizes": (8, 8),
    "turns": 1,
    "grad_clip": None,
    "twin_q": True,
    "critic": "effect",
    "updates_per_step": 0.5,
    "minibatches_per_update": 4,
    "buffer_capacity": 1000,
    "offline_mode": "annealed",
    "offline_share": 0.5,
    "offline_share_end": 0.1,
    "bc_weight": 0.1,
    "n_envs_per_runner": 4,
    "rollout_fragment_length": 2,
}
SECOND: dict[str, Any] = {
    "gamma": 0.99,
    "tau": 0.02,
    "actor_lr": 2e-3,
    "critic_lr": 2e-3,
    "critic_weight_decay": 1e-2,
    "batch_size": 64,
    "policy_delay": 1,
    "target_noise": 0.4,
    "target_noise_clip": 0.1,
    "exploration_noise": 0.1,
    "random_steps": 10,
    "learning_starts": 500,
    "layer_norm": True,
    "hidden_sizes": (8, 16),
    "turns": 3,
    "grad_clip": 1e-2,
    "twin_q": False,
    "critic": "raw",
    "updates_per_step": 1.0,
    "minibatches_per_update": 8,
    "buffer_capacity": 2000,
    "offline_mode": "fixed",
    "offline_share": 0.25,
    "offline_share_end": 0.0,
    "bc_weight": 0.2,
    "n_envs_per_runner": 8,
    "rollout_fragment_length": 4,
}
# A projection that does something to every action, so that the critic's input matters.
EFFECT = {
    "kind": "projected",
    "lower": np.zeros((1, 3)),
    "upper": np.ones((1, 3)),
    "base": [0],
    "max_elements": [3],
}


def built(values: dict[str, Any]) -> TD3Config:
    config = apply_agent_config(TD3Config(), SimpleNamespace(**values))  # type: ignore[arg-type]
    config.training(effect=EFFECT, offline_anneal_steps=1000)
    return config.debugging(seed=0)


def fingerprint(values: dict[str, Any]) -> dict[str, Any]:
    """What the settings lead to: learned parameters, explored actions, buffer, cadence, runners."""
    config = built(values)
    learner = build_learner(config)
    return {
        "explored": explored(learner),
        "learned": learned(learner),
        "buffer": buffer_facts(config),
        "cadence": cadence(config),
        "starts": starts(config),
        "runners": (config.num_envs_per_env_runner, config.get_rollout_fragment_length()),
    }


def learned(learner: TD3Learner) -> str:
    for n in range(4):
        batch = make_batch(16, n, labels=True)
        batch["obs"][:, :3] = torch.tensor([0.5, 0.3, 0.2])
        batch["next_obs"][:, :3] = torch.tensor([0.5, 0.3, 0.2])
        learner.gradient_step(batch)
    return repr([p.double().sum().item() for p in learner._net.parameters()])


def explored(learner: TD3Learner) -> str:
    net = learner._net
    net.exploration_rng = np.random.default_rng(0)
    return repr([net.explore(torch.zeros(2, 5), t).tolist() for t in (5, 50, 5000)])


def buffer_facts(config: TD3Config) -> Any:
    runners = SimpleNamespace(get_spaces=lambda: {"default_policy": SPACES})
    buffer = td3.TD3._build_buffer(SimpleNamespace(config=config, env_runner_group=runners))  # type: ignore[arg-type]
    return buffer.capacity, buffer.offline.mode, [round(buffer.offline.at(n), 9) for n in (0, 500, 1000)]


def fake_algorithm(config: TD3Config, learning_steps: int) -> SimpleNamespace:
    metrics = SimpleNamespace(log_time=lambda key: contextlib.nullcontext(), aggregate=lambda *a, **k: None)
    buffer = SimpleNamespace(schema={})
    return SimpleNamespace(
        config=config, metrics=metrics, buffer=buffer, learner_group=None, env_steps=0, n_updates=0,
        _learning_steps=learning_steps, listeners=[],
    )  # fmt: skip


def cadence(config: TD3Config) -> Any:
    calls: list[tuple[int, int]] = []

    def record(group: Any, buffer: Any, size: int, batches: int, *rest: Any) -> list[Any]:
        calls.append((size, batches))
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(td3, "update_learner", record)
        td3.TD3._update(fake_algorithm(config, learning_steps=64))  # type: ignore[arg-type]
    return calls


def starts(config: TD3Config) -> bool:
    """Whether 200 env steps are enough to begin learning."""
    fake = fake_algorithm(config, learning_steps=0)
    fake.callbacks, fake.buffer = [], SimpleNamespace(add=lambda columns: None)
    fake._collect = lambda: {"rewards": np.zeros(200)}
    fake._with_effect = lambda columns: columns
    fake._update = lambda: 0
    td3.TD3._round(fake)  # type: ignore[arg-type]
    return bool(fake._learning_steps > 0)


@pytest.fixture(scope="module")
def first() -> dict[str, Any]:
    return fingerprint(FIRST)


def test_the_same_settings_lead_to_the_same(first: dict[str, Any]) -> None:
    assert fingerprint(FIRST) == first


@pytest.mark.parametrize("field", AGENT_FIELDS)
def test_every_field_changes_something(field: str, first: dict[str, Any]) -> None:
    assert fingerprint(FIRST | {field: SECOND[field]}) != first


def test_agent_fields_are_those_of_the_settings() -> None:
    # what labels say is the labeler's business (rl/algorithm.py); how they are learned from is TD3's
    # and what a guide or another network is made of comes as `guide` and `network` (rl/guide.py, rl/element_actor.py)
    assert set(AgentSettings.model_fields) - set(AGENT_FIELDS) == {
        "labels", "label_ranking", "label_ways", "guidance", "network", "sees_base",
    }  # fmt: skip
    assert set(AGENT_FIELDS) <= set(AgentSettings.model_fields)


def test_defaults_of_the_settings_can_be_built() -> None:
    config = apply_agent_config(TD3Config(), AgentSettings())
    assert config.total_train_batch_size == AgentSettings().batch_size


def test_own_fields_are_documented() -> None:
    assert TD3Config.__doc__ is not None
    undocumented = [name for name in OWN_FIELDS if f"        {name}: " not in TD3Config.__doc__]
    assert undocumented == []


def test_cadence_by_hand() -> None:
    # 64 env steps at half an update each are 32 updates: 8 learner calls of 4 minibatches of 32 rows
    assert cadence(built(FIRST)) == [(32, 4)] * 8


def test_ddpg_is_td3_without_its_three_additions() -> None:
    config = ddpg(TD3Config())
    assert (config.twin_q, config.policy_delay, config.target_noise) == (False, 1, 0.0)


def test_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError):
        TD3Config().training(policy_dellay=3)
