"""From the settings of a run to a TD3 algorithm on the design environment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from ray import tune

from aimat_ray.env.alloy_env import AlloyEnv, AlloyVectorEnv, Labeler
from aimat_ray.env.goals import HarderGoals
from aimat_ray.env.task import DesignTask
from aimat_ray.experience.pool import PoolExperience, build_pool, experience_of, usable_in
from aimat_ray.rl.element_actor import element_spec
from aimat_ray.rl.env_runner import ENDED, WALK
from aimat_ray.rl.guide import guide_spec
from aimat_ray.rl.prepare import Workbench
from aimat_ray.rl.td3 import TD3
from aimat_ray.rl.td3_config import TD3Config, apply_agent_config

ENV_NAME = "aimat-design"
ITERATIONS_PER_RUN = 100  # rows of the metrics table


def make_env(context: dict[str, Any]) -> AlloyEnv | AlloyVectorEnv:
    """Environment creator for RLlib: the vector form when it names a number of sub-environments."""
    task, predictor, max_steps = context["task"], context["predictor"], context["max_steps"]
    n = context.get("num_envs")
    if n is None:
        return AlloyEnv(task, predictor, max_steps=max_steps)
    return AlloyVectorEnv(n, task, predictor, max_steps=max_steps, labeler=context.get("labeler"))


def effect_spec(task: DesignTask) -> dict[str, Any]:
    """What an action does in this task, for the critic (rl/effect.py)."""
    if task.settings.mode == "paper":
        return {"kind": "identity"}
    windows = task.windows
    arrays = {
        "lower": windows.lower,
        "upper": windows.upper,
        "base": windows.base,
        "max_elements": windows.max_elements,
    }
    if len(task.bases) > 1:  # the one-hot block of the observation counts all bases of the problem
        rows = task.problem_base
        arrays = {name: _spread(values, rows, len(task.problem.bases)) for name, values in arrays.items()}
        arrays["max_elements"] = np.maximum(arrays["max_elements"], 1)
    spec: dict[str, Any] = {"kind": "projected", "max_step": task.max_step}
    if task.layout.full:
        blocks = task.layout.blocks
        spec["reach"] = (blocks["displacement"].start, blocks["change_left"].start)
    return spec | {name: v.tolist() for name, v in arrays.items()}


def _spread(values: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    full = np.zeros((n, *values.shape[1:]), dtype=values.dtype)
    full[rows] = values
    return full


def build_config(bench: Workbench, labeler: Labeler | None = None) -> TD3Config:
    """RLlib's configuration of the run."""
    settings, task = bench.settings, bench.task
    tune.register_env(ENV_NAME, make_env)
    n_elements = len(task.problem.elements)
    extra: dict[str, Any] = {}
    if labeler is not None:
        extra = {"label": ((n_elements,), np.float32), "label_weight": ((), np.float32)}
    if settings.refine.adviser != "off":  # whole episodes for a trigger, and what stored observations don't say
        extra |= {WALK: ((), np.int32), ENDED: ((), np.bool_), "max_change": ((), np.float32)}
    task = training_task(task)
    config = apply_agent_config(TD3Config(), settings.agent)
    config.environment(
        ENV_NAME,
        env_config={
            "task": task,
            "predictor": bench.predictor,
            "max_steps": settings.env.train_max_steps,
            "labeler": labeler,
        },
    )
    config.env_runners(num_env_runners=settings.runners, gym_env_vectorize_mode="vector_entry_point")
    if settings.agent.guidance != "none":
        config.training(guide=guide_spec(settings.agent.guidance, task, bench.scorer, settings.agent.gamma))
    if settings.agent.network == "elements":
        config.training(network=element_spec(task, bench.data.windows, bench.scorer))
    if task.layout.full and not settings.agent.sees_base:
        base = task.layout.blocks["base"]
        config.training(hidden_columns=(base.start, base.stop))
    config.training(effect=effect_spec(task), extra_columns=extra, offline_anneal_steps=settings.steps)
    config.debugging(seed=settings.seed, log_level="ERROR")
    config.reporting(min_sample_timesteps_per_iteration=max(1, settings.steps // ITERATIONS_PER_RUN))
    return config


def training_task(task: DesignTask) -> DesignTask:
    """The task as the agent trains on it: goals as much harder as the settings say."""
    return replace(task, goals=HarderGoals(task.goals, task.settings.train_aim))


def build_algorithm(bench: Workbench, labeler: Labeler | None = None) -> TD3:
    """The algorithm, its trusted rows in place."""
    algorithm: TD3 = build_config(bench, labeler).build_algo()
    if bench.settings.pool.mode != "off" and bench.settings.agent.offline_mode != "none":
        experience = pool_experience(bench)
        if len(experience.reward):
            algorithm.set_trusted(trusted_columns(experience, labeler))
    return algorithm


def pool_experience(bench: Workbench) -> PoolExperience:
    """The trusted pool as this run's agent would have lived it."""
    pool = build_pool(bench.data.regression, bench.task.max_step)
    only_measured = bench.settings.pool.mode == "measured_only"
    task = training_task(bench.task)
    usable, base = usable_in(pool, task, only_measured)
    rng = np.random.default_rng([bench.settings.seed, 7])
    return experience_of(usable, base, task, bench.predictor, rng)


def trusted_columns(experience: PoolExperience, labeler: Labeler | None) -> dict[str, Any]:
    """Columns of the replay buffer for the pool; measured steps carry no label."""
    n = len(experience.reward)
    columns: dict[str, Any] = {
        "obs": experience.observation,
        "actions": experience.action,
        "rewards": experience.reward.astype(np.float32),
        "next_obs": experience.next_observation,
        "terminateds": experience.terminated.astype(np.float32),
    }
    if labeler is not None:
        columns |= {
            "label": np.zeros((n, experience.at_frac.shape[1]), np.float32),
            "label_weight": np.zeros(n, np.float32),
        }
    return columns
