"""One cell of the contest: a method plays a problem, and the referee judges what it hands in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aimat_ray.config import DesignSettings, EnvSettings
from aimat_ray.contest import optimisers, searches
from aimat_ray.contest.bayes import bayes
from aimat_ray.contest.game import BudgetSpentError, Game
from aimat_ray.contest.notebook import Notebook
from aimat_ray.contest.referee import Referee
from aimat_ray.contest.settings import LEARNERS, MethodKind
from aimat_ray.env.task import DesignTask
from aimat_ray.rl.prepare import Workbench

Search = Callable[[DesignTask, Game], None]
SEARCHES: dict[str, Search] = {
    "random": searches.random_in_window,
    "grid": searches.grid,
    "local": searches.local_search,
    "greedy": searches.greedy,
    "archive": searches.archive_walk,
    "evolution": searches.evolution,
    "nsga2": optimisers.nsga2,
    "cma_es": optimisers.cma_es,
}


@dataclass(frozen=True)
class Rules:
    """What is the same for all methods of a contest."""

    points: tuple[int, ...]
    list_size: int
    walk_share: float
    archive_share: float
    bayes_evaluations: int


@dataclass(frozen=True)
class Played:
    """What a cell leaves: rows of the tables `scores`, `curves` and `clouds`."""

    scores: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    clouds: list[dict[str, Any]]


def play(kind: MethodKind, reference: Workbench, tree: dict[str, Any], rules: Rules, seed: int) -> Played:
    """Let a method play a problem.

    Args:
        kind: The method.
        reference: The referee's workbench.
        tree: Settings of a learner's run, the problem's own included.
        rules: Points, list length and shares.
        seed: Of the method.
    """
    game = Game(reference.predictor, Notebook(reference.task), rules.points, rules.list_size, seed)
    curve = None
    if kind in LEARNERS:
        curve = _learn(kind, game, reference, tree, rules)
    else:
        _search(kind, game, searched(reference.task, tree), rules)
    synthetic = bool(reference.data.synthetic)
    return Played(
        scores=judged(game, Referee(reference), None if curve is None else curve.updates),
        curves=[] if curve is None else curve.rows(),
        clouds=[] if curve is None or not synthetic else curve.clouds(),
    )


def judged(game: Game, referee: Referee, updates: int | None = None) -> list[dict[str, Any]]:
    """One row per list that was handed in."""
    rows = []
    for hand_in in game.hand_ins:
        row = referee.judge(hand_in.at_frac)
        price = hand_in.walked or hand_in.spent  # after training only walks cost something
        row |= {
            "point": hand_in.point,
            "spent": hand_in.spent,
            "walked": hand_in.walked,
            "walks": hand_in.walks[0],
            "walks_at_goal": hand_in.walks[1],
            "predictions_per_hit": price / row["hits"] if row["hits"] else None,
            "seconds": hand_in.seconds,
            "cpu_seconds": hand_in.cpu_seconds,
            "updates": updates,
        }
        rows.append(row)
    return rows


def searched(task: DesignTask, tree: dict[str, Any]) -> DesignTask:
    """The task as a search knows it: goals may be asked for robustly (`env.reward.robust`), as of a learner."""
    return replace(task, settings=EnvSettings.model_validate(tree.get("env", {})))


def _search(kind: MethodKind, game: Game, task: DesignTask, rules: Rules) -> None:
    try:
        if kind == "bayes":
            bayes(task, game, rules.bayes_evaluations)
        else:
            SEARCHES[kind](task, game)
    except BudgetSpentError:
        pass
    game.close()


def _learn(kind: MethodKind, game: Game, reference: Workbench, tree: dict[str, Any], rules: Rules) -> Any:
    settings = DesignSettings.model_validate(tree | {"seed": game.seed})
    if kind == "td3":
        from aimat_ray.contest.td3 import train_td3

        return train_td3(game, reference, settings, rules.walk_share, rules.archive_share)
    from aimat_ray.contest.stock import train_stock

    return train_stock(kind, game, reference, settings, rules.walk_share)
