"""What the trusted pool of a data set consists of, with its rewards under the published reward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aimat_ray.config import EnvSettings, RewardSettings
from aimat_ray.data.goals import goal_for_base
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask, fixed_goals, make_task
from aimat_ray.experience.pool import TrustedPool, build_pool, experience_of, usable_in
from aimat_ray.problem import DesignProblem, load_problem
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.prepare import BUNDLE_SEED, Say, Workbench
from aimat_ray.rl.run_dir import RunDirectory

REWARDS, PICTURE = "pool_rewards.parquet", "pool.svg"


def summarise_pool(spec: str, bundle: str, clean: bool, out: Path, say: Say) -> tuple[dict[str, Any], FloatArray]:
    """Build the pool of a data set and measure it.

    Args:
        spec: Which data.
        bundle: Surrogate that imputes unmeasured properties; always fitted on the cleaned data.
        clean: Whether the pool is built on the cleaned table.
        out: Folder for `pool.json` and the rewards; whoever shows them draws the picture.
        say: Told what happens.

    Returns:
        The document of `aimat pool build --json`, and the rewards, [N].
    """
    run = RunDirectory(out)
    problem = load_problem()
    data = load_data(spec, problem)
    table = data if clean else load_data(spec, problem, clean=False)
    predictor = SurrogateStore().get_or_fit(bundle, data, problem, BUNDLE_SEED, lambda text, share: say(text))
    task = paper_task(problem, data)
    pool = build_pool(table.regression, task.max_step)
    usable, base = usable_in(pool, task, only_measured=False)
    rewards = experience_of(usable, base, task, predictor, np.random.default_rng(0)).reward
    document = {
        "data": {"name": data.name, "checksum": data.checksum, "synthetic": data.synthetic, "cleaned": clean},
        "surrogate_version": predictor.version,
        **pool_facts(pool, problem),
        "reward": reward_facts(rewards),
        "n_rewarded": len(rewards),
        "picture": str(out / PICTURE) if len(rewards) else None,
    }
    run.write_json("pool.json", document)
    run.write_table(REWARDS, [{"reward": float(value)} for value in rewards])
    return document, rewards


def describe_pool(bench: Workbench) -> dict[str, Any]:
    """The pool as a run's agent has it: its own transitions under its own reward."""
    pool = build_pool(bench.data.regression, bench.task.max_step)
    usable, base = usable_in(pool, bench.task, bench.settings.pool.mode == "measured_only")
    rng = np.random.default_rng([bench.settings.seed, 7])
    rewards = experience_of(usable, base, bench.task, bench.predictor, rng).reward
    facts = pool_facts(usable, bench.problem)
    return {"mode": bench.settings.pool.mode, **facts, "reward": reward_facts(rewards), "n_rewarded": len(rewards)}


def paper_task(problem: DesignProblem, data: AlloyData) -> DesignTask:
    """The published environment over every base that has a window and a goal."""
    settings = EnvSettings(mode="paper", observation="fractions", reward=RewardSettings(kind="paper"))
    goals = [goal_for_base(problem, data, base, "paper") for base in data.windows]
    known = tuple(goal for goal in goals if goal is not None)
    return make_task(problem, data, tuple(goal.base for goal in known), fixed_goals(problem, known), settings)


def pool_facts(pool: TrustedPool, problem: DesignProblem) -> dict[str, Any]:
    """Size, exactness and provenance."""
    measured = pool.measured
    both = np.asarray(measured.all(axis=1))
    return {
        "n_transitions": len(pool),
        "n_compositions": pool.n_compositions,
        "max_abs_residual": pool.max_abs_residual,
        "share_measured": {key: _share(both[:, p]) for p, key in enumerate(problem.property_keys)},
        "share_measured_ends": {key: _share(measured[:, :, p]) for p, key in enumerate(problem.property_keys)},
    }


def reward_facts(rewards: FloatArray) -> dict[str, float | None]:
    """Distribution of the rewards; None where there are none."""
    if len(rewards) == 0:
        return dict.fromkeys(("mean", "p5", "p50", "p95", "share_04_06", "share_negative"))
    p5, p50, p95 = np.percentile(rewards, [5, 50, 95])
    return {
        "mean": float(rewards.mean()),
        "p5": float(p5),
        "p50": float(p50),
        "p95": float(p95),
        "share_04_06": _share((rewards >= 0.4) & (rewards <= 0.6)),
        "share_negative": _share(rewards < 0),
    }


def _share(mask: np.ndarray[Any, Any]) -> float:
    return float(mask.mean()) if mask.size else 0.0
