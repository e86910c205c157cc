"""Tasks that memory can't hold: one goal-conditioned policy beside searches, success of each fresh start.

Bases that training never saw (their own goals), goals drawn at test time, and goals relative to the start within
8 at%; the fixed goals of the training bases stand beside them. All methods walk from the same fresh starts, and every
prediction is counted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from aimat_ray.config import DesignSettings, GoalSettings
from aimat_ray.env.episodes import CountingPredictor, Episodes, run_episodes
from aimat_ray.rl.algorithm import build_algorithm
from aimat_ray.rl.labels import make_labeler, search_archive
from aimat_ray.rl.methods import cached_ceiling, distilled_counter, standard_methods, test_starts
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.prepare import Say, Workbench, prepare, read_inputs, task_of
from aimat_ray.rl.statistics import Rate
from aimat_ray.search.archive import Archive

SEEN, RANDOM, RELATIVE, HELD_OUT = "training bases", "random goals", "relative goals", "held-out bases"
TASKS = (HELD_OUT, RANDOM, RELATIVE, SEEN)
BUDGETS = (4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048)  # predictions per start
WALKERS = (
    "policy", "policy_noise", "policy_lookahead_distilled", "policy_rejection", "policy_local_search",
    "policy_lookahead", "archive_walk", "net_scored_16", "net_local_search", "random", "local_search", "greedy_16",
)  # fmt: skip
LONG = "local_search"  # goes on beyond the step limit, to be compared at 16 times the price


def trained_policy(settings: DesignSettings, say: Say) -> tuple[Workbench, Archive | None, Any]:
    """Train the goal-conditioned policy; returns workbench, archive of its training bases and goals, and actor."""
    bench = prepare(read_inputs(settings, say), say)
    archive = search_archive(bench, say)
    algorithm = build_algorithm(bench, make_labeler(bench, archive))
    try:
        while algorithm.env_steps < settings.steps:
            algorithm.train()
        return bench, archive, algorithm.actor()
    finally:
        algorithm.stop()


def bench_of(bench: Workbench, task: str, n_starts: int) -> Workbench:
    """The same surrogates and data with the goals and bases of one task."""
    kind = {RANDOM: "random", RELATIVE: "relative"}.get(task, "fixed")
    evaluation = bench.settings.evaluation.model_copy(update={"episodes": n_starts, "seeds": 1})
    goals = GoalSettings.model_validate({"kind": kind})
    settings = bench.settings.model_copy(update={"goals": goals, "evaluation": evaluation})
    if task != HELD_OUT:
        return replace(bench, settings=settings, task=task_of(settings, bench.problem, bench.data, bench.goals))
    settings = settings.model_copy(update={"base": ",".join(bench.settings.hold_out), "hold_out": ()})
    inputs = read_inputs(settings, lambda line: None)
    return replace(bench, settings=settings, goals=inputs.goals, task=inputs.task)


def walk_task(
    bench: Workbench, task: str, archive: Archive | None, actor: Any, n_starts: int, longest: int
) -> dict[str, Episodes]:
    """Episodes of every method from the starts of one task."""
    own = bench_of(bench, task, n_starts)
    policy = Policy(own.task, actor)
    methods = standard_methods(policy, archive, bench.settings.evaluation.lookahead, own.scorer is not None)
    (stream, start), *_ = test_starts(own)
    walked = {}
    for name in (name for name in WALKERS if name in methods):
        counter = CountingPredictor(own.predictor)
        rng = np.random.default_rng([own.settings.seed, stream, 1])
        choose = methods[name](own, counter, distilled_counter(own))
        steps = longest if name == LONG else None
        walked[name] = run_episodes(own.task, counter, start, choose, rng, steps)
    return walked


def success_rows(task: str, walked: dict[str, Episodes], longest: int) -> list[dict[str, Any]]:
    """One row per method and budget: the share of starts at the goal within so many predictions."""
    rows = []
    for name, episodes in walked.items():
        for budget in (budget for budget in BUDGETS if budget <= max(longest, BUDGETS[0])):
            rate = Rate.of(int((episodes.goal & (episodes.spent <= budget)).sum()), len(episodes))
            rows.append({"task": task, "walker": name, "within": budget} | rate.as_dict())
    return rows


def play_starts(tree: dict[str, Any], shape: Any, seed: int) -> list[dict[str, Any]]:
    """Train one policy and walk from the starts of every task.

    Args:
        tree: Settings of the run.
        shape: `starts` and `longest_search` of the contest's entry.
        seed: Of training and starts.
    """
    settings = DesignSettings.model_validate(tree | {"seed": seed})
    bench, archive, actor = trained_policy(settings, lambda line: None)
    rows = []
    for task in TASKS:
        walked = walk_task(bench, task, archive, actor, shape["starts"], shape["longest_search"])
        rows += success_rows(task, walked, shape["longest_search"])
        rows.append(ceiling_row(bench, task, shape["starts"]))
    return rows


def ceiling_row(bench: Workbench, task: str, n_starts: int) -> dict[str, Any]:
    """What a long evolutionary search finds for some of the starts."""
    own = bench_of(bench, task, n_starts)
    (_, start), *_ = test_starts(own)
    some = start.rows(np.arange(min(len(start), own.settings.evaluation.ceiling_episodes)))
    found = cached_ceiling(own, some)
    rate = Rate.of(int(found.goal.sum()), len(some))
    return {"task": task, "walker": "ceiling", "within": int(found.predictions.max())} | rate.as_dict()
