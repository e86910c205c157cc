"""TD3 as a contestant, in every variant that the settings of a design run can express; DDPG is one of them."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from aimat_ray.config import DesignSettings
from aimat_ray.contest.arenas import method_bench
from aimat_ray.contest.curves import Curve
from aimat_ray.contest.game import Game
from aimat_ray.contest.policy_walks import hand_in_walks
from aimat_ray.env.task import DesignTask
from aimat_ray.refine.session import companion_for
from aimat_ray.rl.algorithm import build_algorithm
from aimat_ray.rl.labels import make_labeler, search_archive
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.prepare import Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.search.archive import Archive

LEAST_ENVS = 8
_WARM_UP_SHARE = 0.125  # of the steps at most: a small budget must not be spent before the first update
_STEPS_PER_ENV = 64


def sized(settings: DesignSettings, steps: int, archive_budget: int) -> DesignSettings:
    """Settings for a budget: schedules end with it, and at small ones warm-up and environments shrink with it."""
    agent, most = settings.agent, max(int(_WARM_UP_SHARE * steps), 1)
    envs = max(min(agent.n_envs_per_runner, steps // _STEPS_PER_ENV), LEAST_ENVS)
    small = {
        "random_steps": min(agent.random_steps, most),
        "learning_starts": min(agent.learning_starts, most),
        "n_envs_per_runner": envs,
    }
    archive = settings.archive.model_copy(update={"budget_per_base": max(archive_budget, 1)})
    return settings.model_copy(
        update={"steps": steps, "runners": 0, "archive": archive, "agent": agent.model_copy(update=small)}
    )


def train_td3(
    game: Game, reference: Workbench, settings: DesignSettings, walk_share: float, archive_share: float
) -> Curve:
    """Train, and hand in walks at every point of the budget.

    Args:
        game: The rules.
        reference: The referee's workbench; its truth stays there.
        settings: The variant, for the data and base of the problem.
        walk_share: Part of each point that training leaves for walks.
        archive_share: Part of the whole budget for the archive behind labels.

    Returns:
        Returns over steps.
    """
    labelled = settings.agent.labels in ("archive", "both")
    archive_budget = int(archive_share * game.budget) if labelled else 0
    steps = max(int((1 - walk_share) * game.budget) - archive_budget, 1)
    settings = sized(settings, steps, archive_budget)
    # Starts cost predictions too: an agent takes some two thirds of the planned steps.
    paid = (1 - walk_share) * game.budget
    companion = companion_for(settings, lambda line: None, lambda algorithm: game.meter.n_predictions / paid)
    with tempfile.TemporaryDirectory(prefix="aimat-contest-") as folder, closing(companion):
        bench = method_bench(reference, settings, game.learner_meter(reference.predictor))
        bench = companion.join(bench, RunDirectory(Path(folder)), False)
        following: Any = bench.predictor
        if following is not game.meter:  # it follows the versions of AMR now
            metered: Any = game.learner_meter(following)
            bench = replace(bench, predictor=metered)
        archive = search_archive(bench, lambda line: None) if labelled else None
        return _train(game, reference.task, bench, archive, companion, walk_share)


def _train(
    game: Game, asked: DesignTask, bench: Workbench, archive: Archive | None, companion: Any, walk_share: float
) -> Curve:
    algorithm = build_algorithm(bench, make_labeler(bench, archive))
    curve = Curve(algorithm.env_runner.env.unwrapped)
    try:
        companion.start(algorithm, bench, archive)
        for point in game.points:
            while game.meter.n_predictions < (1 - walk_share) * point:
                result = algorithm.train()
                companion.after_iteration(algorithm)
                curve.add(game.meter.n_predictions, algorithm.env_steps, result)
            if algorithm.n_updates == 0:  # no policy yet: its archive and warm-up cost more than this point allows
                game.hand_in(point, game.notebook.best(0))
            else:
                policy = Policy(bench.task, algorithm.actor())
                hand_in_walks(game, asked, bench.task, policy, point)
        curve.updates = algorithm.n_updates
        return curve
    finally:
        algorithm.stop()
