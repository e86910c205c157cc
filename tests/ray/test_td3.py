"""TD3 as an RLlib algorithm, on a tiny vector env: determinism, resume, remote runners, hooks, Tune's reuse."""

from __future__ import annotations

import copy
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_env
import torch

from aimat_ray.errors import ConfigError, RunError
from aimat_ray.registry.runtime import quiet_ray
from aimat_ray.rl.td3 import TD3, TransitionCallback, load_actor
from aimat_ray.rl.td3_config import TD3Config


@pytest.fixture(scope="module", autouse=True)
def tiny(ray_session: Any) -> None:
    from ray import cloudpickle, tune

    quiet_ray()
    cloudpickle.register_pickle_by_value(tiny_env)  # remote runners don't have the tests on their path
    tune.register_env("tiny", tiny_env.make_tiny)


def tiny_config(**training: Any) -> TD3Config:
    config = TD3Config().environment("tiny").debugging(seed=3)
    config.env_runners(
        num_envs_per_env_runner=8, rollout_fragment_length=4, gym_env_vectorize_mode="vector_entry_point"
    )
    config.reporting(min_sample_timesteps_per_iteration=200)
    defaults: dict[str, Any] = {
        "hidden_sizes": (32, 32),
        "random_steps": 64,
        "learning_starts": 64,
        "updates_per_step": 0.25,
        "minibatches_per_update": 4,
        "train_batch_size_per_learner": 32,
        "buffer_capacity": 2000,
    }
    return config.training(**defaults | training)


def weights(algorithm: TD3) -> list[torch.Tensor]:
    return [p.detach().clone() for p in algorithm.actor().parameters()]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


def run(config: TD3Config, iterations: int) -> tuple[list[torch.Tensor], list[float]]:
    algorithm = config.build_algo()
    try:
        returns = [algorithm.train()["env_runners"]["episode_return_mean"] for _ in range(iterations)]
        return weights(algorithm), returns
    finally:
        algorithm.stop()


def trusted_rows(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    obs = rng.uniform(-1, 1, (n, 3)).astype(np.float32)
    return {
        "obs": obs,
        "actions": np.clip(-obs, -1, 1),
        "rewards": rng.uniform(0, 1, n).astype(np.float32),
        "next_obs": 0.8 * obs,
        "terminateds": np.zeros(n, np.float32),
    }


def test_same_seed_same_run_and_another_seed_another() -> None:
    first, second = run(tiny_config(), 3), run(tiny_config(), 3)
    assert equal(first[0], second[0])
    assert first[1] == second[1]
    assert not equal(first[0], run(tiny_config().debugging(seed=4), 3)[0])


def test_it_learns_and_counts() -> None:
    algorithm = tiny_config().build_algo()
    try:
        results = [algorithm.train() for _ in range(6)]
        assert results[-1]["env_runners"]["episode_return_mean"] > results[0]["env_runners"]["episode_return_mean"]
        assert results[-1]["progress"]["env_steps"] == algorithm.env_steps == len(algorithm.buffer)
        # one update per four env steps once learning has begun, in calls of four
        counted = algorithm.env_steps - 64
        assert 0 <= counted * 0.25 - algorithm.n_updates < 16 + 4
        assert set(results[-1]["learners"]["default_policy"]) >= {"critic_loss", "actor_loss", "q_mean"}
    finally:
        algorithm.stop()


def test_resumed_run_equals_uninterrupted_one(tmp_path: Path) -> None:
    config = tiny_config(offline_mode="annealed", offline_share=0.5, offline_share_end=0.1, turns=3)
    algorithm = config.build_algo()
    algorithm.set_trusted(trusted_rows(50))
    for _ in range(2):
        algorithm.train()
    algorithm.save_to_path(str(tmp_path / "checkpoint"))
    counts = algorithm.env_steps, algorithm.n_updates, len(algorithm.buffer), algorithm.buffer.n_trusted
    expected_returns = [algorithm.train()["env_runners"]["episode_return_mean"] for _ in range(2)]
    expected, expected_actor = weights(algorithm), algorithm.actor()
    algorithm.stop()

    resumed = TD3.from_checkpoint(str(tmp_path / "checkpoint"))
    try:
        assert (resumed.env_steps, resumed.n_updates, len(resumed.buffer), resumed.buffer.n_trusted) == counts
        assert resumed.training_iteration == 2
        learner = resumed.learner_group._learner
        steps = [
            int(next(iter(o.state.values()))["step"]) for _, o in learner.get_optimizers_for_module("default_policy")
        ]
        assert sorted(steps) == [counts[1] // 2, counts[1]]  # actor and critics
        returns = [resumed.train()["env_runners"]["episode_return_mean"] for _ in range(2)]
        assert returns == expected_returns
        assert equal(weights(resumed), expected)
        resumed.save_to_path(str(tmp_path / "later"))
    finally:
        resumed.stop()
    obs, step = torch.rand(4, 3), torch.arange(4)
    assert torch.equal(load_actor(tmp_path / "later")(obs, step), expected_actor(obs, step))
    with np.load(tmp_path / "checkpoint" / "run_state" / "state.npz", allow_pickle=False) as state:
        assert state["buffer.live/obs"].shape == (counts[2], 3)


def test_a_folder_without_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a TD3 checkpoint"):
        load_actor(tmp_path)


def test_two_remote_runners_fill_the_buffer_and_resume(tmp_path: Path) -> None:
    config = tiny_config().env_runners(num_env_runners=2, num_cpus_per_env_runner=0.5)
    config.resources(num_cpus_for_main_process=0.5)
    algorithm = config.build_algo()
    try:
        algorithm.train()
        assert algorithm.env_steps == len(algorithm.buffer) >= 200
        learned = weights(algorithm)
        acting = algorithm.env_runner_group.foreach_env_runner(
            lambda runner: [p.detach().clone() for p in runner.module.actor.parameters()], local_env_runner=False
        )
        assert len(acting) == 2
        assert all(equal(learned, held) for held in acting)
        state = algorithm.get_run_state()
        assert {"1", "2"} <= set(state["runners"])
        assert not (state["runners"]["1"]["env"]["x"] == state["runners"]["2"]["env"]["x"]).all()  # own seeds
        algorithm.set_run_state(state)
        again = algorithm.get_run_state()["runners"]["2"]
        assert (again["env"]["x"] == state["runners"]["2"]["env"]["x"]).all()
        assert int(again["n_own"]) == int(state["runners"]["2"]["n_own"]) > 0
    finally:
        algorithm.stop()


class Labels(TransitionCallback):
    """Labels every transition with the way to the origin."""

    def on_transitions(self, *, algorithm: TD3, columns: dict[str, np.ndarray]) -> None:
        columns["label"] = np.clip(-5 * columns["obs"], -1, 1)
        columns["label_weight"] = np.ones(len(columns["obs"]), np.float32)


def test_labels_from_a_callback_alone_teach_the_policy() -> None:
    config = tiny_config(critic="none", bc_weight=1.0, updates_per_step=0.5).callbacks(Labels)
    algorithm = config.build_algo()
    try:
        for _ in range(5):
            result = algorithm.train()
        assert result["env_runners"]["episode_return_mean"] > -2.5  # random play scores below -8
        assert (algorithm.buffer.column("label_weight") == 1).all()
    finally:
        algorithm.stop()


def test_extra_columns_come_from_the_env_row_by_row() -> None:
    algorithm = tiny_config(extra_columns={"before": ((3,), np.float32)}).build_algo()
    try:
        algorithm.train()
        buffer = algorithm.buffer
        np.testing.assert_array_equal(buffer.column("before"), buffer.column("obs"))
        # no transition runs from one episode into the next: positions move by 0.2 x action
        moved = np.clip(buffer.column("obs") + 0.2 * buffer.column("actions"), -2, 2)
        np.testing.assert_allclose(buffer.column("next_obs"), moved, atol=1e-5)
    finally:
        algorithm.stop()


def test_effects_are_stored_beside_actions() -> None:
    spec = {"kind": "projected", "lower": np.zeros((1, 3)), "upper": np.ones((1, 3)), "base": [0], "max_elements": [3]}
    algorithm = tiny_config(effect=spec, critic="effect").build_algo()
    try:
        rows = trusted_rows(20)
        rows["obs"] = np.tile(np.array([0.5, 0.3, 0.2], np.float32), (20, 1))
        rows["actions"] = np.tile(np.array([0.4, 0.1, 0.1], np.float32), (20, 1))
        algorithm.set_trusted(rows)
        # the mean push of 0.2 is taken off: (0.4, 0.1, 0.1) - 0.2
        np.testing.assert_allclose(algorithm.buffer.trusted_column("effect")[0], [0.2, -0.1, -0.1], atol=1e-5)
    finally:
        algorithm.stop()


def test_stock_runner_and_env_work_too() -> None:
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    config = (
        tiny_config()
        .environment("Pendulum-v1")
        .env_runners(env_runner_cls=SingleAgentEnvRunner, gym_env_vectorize_mode="sync", num_envs_per_env_runner=2)
    )
    algorithm = config.build_algo()
    try:
        algorithm.train()
        assert algorithm.env_steps == len(algorithm.buffer) >= 200
        assert np.abs(algorithm.buffer.column("actions")).max() <= 1.0
        assert algorithm.n_updates > 0
    finally:
        algorithm.stop()


def test_flat_path_sees_the_same_transitions_on_a_stock_env() -> None:
    config = tiny_config().environment("Pendulum-v1").env_runners(gym_env_vectorize_mode="sync")
    algorithm = config.build_algo()
    try:
        for _ in range(8):
            algorithm.train()
        angle = algorithm.buffer.column("obs")[:, :2]
        np.testing.assert_allclose(np.square(angle).sum(1), 1.0, atol=1e-4)
        assert algorithm.buffer.column("terminateds").sum() == 0  # Pendulum only truncates
        speed, following = algorithm.buffer.column("obs")[:, 2], algorithm.buffer.column("next_obs")[:, 2]
        assert np.abs(following - speed).max() < 2  # a reset inside a transition would jump
    finally:
        algorithm.stop()


def test_reset_config_starts_over_in_the_same_process() -> None:
    algorithm = tiny_config().build_algo()
    try:
        algorithm.train()
        other = tiny_config(gamma=0.5, hidden_sizes=(16,)).to_dict()
        assert algorithm.reset(copy.deepcopy(other))
        assert algorithm.config.gamma == 0.5
        assert algorithm.env_steps == 0
        algorithm.train()
        assert len(list(algorithm.actor().parameters())) == 4
    finally:
        algorithm.stop()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"critic": "none"}, "bc_weight"),
        ({"critic": "some"}, "critic"),
        ({"policy_delay": 0}, "policy_delay"),
        ({"updates_per_step": 0.0}, "updates_per_step"),
        ({"offline_mode": "sometimes"}, "offline mode"),
    ],
)
def test_values_that_can_not_work_are_refused_before_anything_starts(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_config(**fields).validate()


@pytest.mark.timeout(300)
def test_a_killed_runner_comes_back() -> None:
    config = tiny_config().env_runners(num_env_runners=2, num_cpus_per_env_runner=0.5)
    config.resources(num_cpus_for_main_process=0.5)
    config.fault_tolerance(env_runner_health_probe_timeout_s=20)
    algorithm = config.build_algo()
    try:
        algorithm.train()
        group = algorithm.env_runner_group
        pids = group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
        os.kill(pids[0], signal.SIGKILL)
        deadline = time.monotonic() + 200  # seconds on an idle machine, a minute and more on a busy one
        while True:
            algorithm.train()
            if group.num_remote_worker_restarts() and group.num_healthy_remote_workers() == 2:
                break
            assert time.monotonic() < deadline, "the runner did not come back"
        assert algorithm.env_steps == algorithm.buffer.n_added
        steps = group.foreach_env_runner(lambda runner: runner._global_steps(), local_env_runner=False)
        assert min(steps) > config.random_steps  # the new one does not start with random actions again
    finally:
        algorithm.stop()
