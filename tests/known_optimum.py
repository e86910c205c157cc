"""Two alloy problems whose best composition is known in closed form, and TD3 trained on them.

`interior`: quality falls with the square of the distance from a target alloy; the optimum is the target, 100 %.
`corner`: quality is linear in the fractions; the optimum fills the window greedily by weight (a linear programme with
one equality), here Cu 30, Al 20, Zr at its least 40, Ni the rest: 0.1 * 40 + 1.0 * 30 + 0.8 * 20 + 0.3 * 10 = 53 %.
In both, Ti and Ag must leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from analytic_world import AnalyticPredictor, analytic_task

from aimat_ray.config import AgentSettings, DesignSettings, PoolSettings
from aimat_ray.data.composition import from_mapping
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.algorithm import build_algorithm
from aimat_ray.rl.policy import Policy
from aimat_ray.search.controls import RandomAction

QUALITY = "quality_pct"
WINDOW = {
    "Zr": (40.0, 80.0),
    "Cu": (0.0, 30.0),
    "Al": (0.0, 20.0),
    "Ni": (0.0, 20.0),
    "Ti": (0.0, 20.0),
    "Ag": (0.0, 20.0),
}
TARGET = {"Zr": 50, "Cu": 30, "Al": 12, "Ni": 8}
WEIGHTS = {"Zr": 0.1, "Cu": 1.0, "Al": 0.8, "Ni": 0.3, "Ti": 0.0, "Ag": 0.2}
WIDTH = 0.35  # fraction of atoms over which the quality of `interior` falls from 100 % to 0
# The default recipe with one update per four steps; written out where the result depends on it.
AGENT: dict[str, Any] = {
    "labels": "none",
    "bc_weight": 0.0,
    "offline_mode": "none",
    "critic": "effect",
    "gamma": 0.9,
    "updates_per_step": 0.25,
    "random_steps": 2_000,
    "learning_starts": 2_000,
    "n_envs_per_runner": 64,
    "rollout_fragment_length": 4,
}
EVALUATION_STEPS = 40
EVALUATION_SEED = 1_000


def tiny_problem() -> DesignProblem:
    """Six elements, one base, one property."""
    return DesignProblem.model_validate(
        {
            "name": "tiny",
            "title": "Alloys with a known optimum",
            "elements": tuple(WINDOW),
            "feasibility": {
                "key": "p", "label": "p", "label_column": "class", "flag_column": "good", "classes": ("good", "bad"),
                "positive": "good", "threshold": 0.5,
            },
            "properties": [
                {"key": QUALITY, "symbol": "q", "label": "quality", "unit": "%", "direction": "maximize",
                 "plausible": (-1e4, 1e4)},
            ],
            "bases": ("Zr",),
            "goals": {"best": {"title": "best", "percentile": 75, "objectives": [[QUALITY]]}},
            "default_goal": "best",
        }
    )  # fmt: skip


@dataclass(frozen=True)
class KnownOptimum:
    """A task, its surrogate and the best value that a legal alloy can have."""

    task: DesignTask
    predictor: AnalyticPredictor
    optimum: float


def interior_problem() -> KnownOptimum:
    """Optimum inside the window for some elements, at its edge for others."""
    problem = tiny_problem()
    target = from_mapping(TARGET, problem.elements)
    predictor = AnalyticPredictor(lambda x: _column(100 - 100 * np.square((x - target) / WIDTH).sum(axis=1)))
    return _with_goal(problem, predictor, 100.0)


def corner_problem() -> KnownOptimum:
    """Optimum at a corner of the window."""
    problem = tiny_problem()
    weights = np.array([WEIGHTS[element] for element in problem.elements])
    predictor = AnalyticPredictor(lambda x: _column(100 * (x @ weights)))
    return _with_goal(problem, predictor, greedy_optimum())


PROBLEMS = {"interior": interior_problem, "corner": corner_problem}


def greedy_optimum() -> float:
    """Largest weighted sum within the window: everyone gets its least, then the heaviest take what is left."""
    amounts = {element: low for element, (low, _) in WINDOW.items()}
    left = 100.0 - sum(amounts.values())
    for element in sorted(WEIGHTS, key=lambda e: -WEIGHTS[e]):
        taken = min(left, WINDOW[element][1] - amounts[element])
        amounts[element] += taken
        left -= taken
    return sum(WEIGHTS[element] * amount for element, amount in amounts.items())


def _column(values: FloatArray) -> FloatArray:
    return np.asarray(values)[:, None]


def _with_goal(problem: DesignProblem, predictor: AnalyticPredictor, optimum: float) -> KnownOptimum:
    # the goal lies beyond the optimum: no episode ends there, and the reward is to come as near as possible
    task = analytic_task(
        problem, {"Zr": WINDOW}, {QUALITY: 1.05 * optimum}, max_elements=6, scale={QUALITY: optimum / 2}
    )
    return KnownOptimum(task, predictor, optimum)


def train(known: KnownOptimum, steps: int, seed: int, **agent: Any) -> Policy:
    """TD3 alone: no trusted rows, no labels. Needs a running Ray.

    Args:
        known: What to learn.
        steps: Env steps.
        seed: Of everything.
        **agent: Agent settings that differ from those of this problem.
    """
    settings = DesignSettings(
        steps=steps,
        seed=seed,
        agent=AgentSettings(**(AGENT | agent)),
        pool=PoolSettings(mode="off"),
    )
    bench: Any = SimpleNamespace(settings=settings, task=known.task, predictor=known.predictor)
    algorithm = build_algorithm(bench)
    try:
        while algorithm.env_steps < steps:
            algorithm.train()
        return Policy(known.task, algorithm.actor())
    finally:
        algorithm.stop()


def share_of_optimum(known: KnownOptimum, choose: Any, episodes: int = 64) -> FloatArray:
    """Quality where deterministic episodes from fresh starts end, over the optimum, [episodes]."""
    rng = np.random.default_rng(EVALUATION_SEED)
    starts = fresh_walks(known.task, known.predictor, np.zeros(episodes, dtype=np.intp), rng)
    counter = CountingPredictor(known.predictor)
    final: WalkState = run_episodes(known.task, counter, starts, choose, rng, EVALUATION_STEPS).final
    return final.prediction.mean[:, 0] / known.optimum


def share_of_random(known: KnownOptimum) -> FloatArray:
    """The same for uniform random actions."""
    return share_of_optimum(known, RandomAction(known.task))
