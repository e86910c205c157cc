"""The lists of learners: fresh walks of the deterministic policy, paid from what training left of the budget."""

from __future__ import annotations

import numpy as np

from aimat_ray.contest.game import Game, Meter, compositions
from aimat_ray.contest.searches import bases
from aimat_ray.env.episodes import Chooser, CountingPredictor, run_episodes, settle
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks
from aimat_ray.prediction import Predictor

_WALKS = 32  # at a time
_SETTLE_STEPS = 16
_SHORTEST_WALK = 16  # steps; where the budget does not allow so many the list ends
_START_PRICE = 8  # predictions that a fresh start costs, roughly; what it really costs is counted


def hand_in_walks(game: Game, task: DesignTask, predictor: Predictor, choose: Chooser, point: int) -> None:
    """Walk from fresh starts until the point of the budget, or until the list is full, and hand in where walks end.

    A walk that reaches the goal walks on for a safer design, as in every evaluation. Walks are the same for a point
    whatever came before, because they have a generator of their own; none of them was a training episode.

    Args:
        game: The rules.
        task: What is designed, in the learner's mode.
        predictor: The surrogate that the policy sees.
        choose: The deterministic policy.
        point: Predictions that training and walks may cost together.
    """
    rng = np.random.default_rng([game.seed, 23])
    counter, left = CountingPredictor(Meter(predictor)), point - game.meter.n_predictions
    ends: list[FloatArray] = []
    n = 0
    while n < game.list_size:
        affordable = (left - counter.n_predictions) // (_START_PRICE + _SHORTEST_WALK + _SETTLE_STEPS)
        if affordable < 1:
            break
        start = fresh_walks(task, counter, bases(min(_WALKS, game.list_size - n, affordable)), rng)
        steps = (left - counter.n_predictions) // len(start) - _SETTLE_STEPS
        if steps < _SHORTEST_WALK:
            break
        ends.append(_ends(task, counter, start, choose, rng, min(steps, task.settings.max_steps)))
        n += len(start)
    designs = compositions(ends, len(task.problem.elements))
    game.hand_in(point, normalised(designs), min(counter.n_predictions, left) if n else 0)


def _ends(
    task: DesignTask,
    counter: CountingPredictor,
    start: WalkState,
    choose: Chooser,
    rng: np.random.Generator,
    steps: int,
) -> FloatArray:
    """Where walks end, [N, E]: at the safest goal composition met, or at their last composition."""
    episodes = run_episodes(task, counter, start, choose, rng, steps)
    ended = episodes.final
    if episodes.goal.any():
        arrived = ended.rows(episodes.goal)
        ended = ended.updated(episodes.goal, settle(task, counter, arrived, choose, rng, _SETTLE_STEPS))
    return ended.at_frac


def normalised(at_frac: FloatArray) -> FloatArray:
    """Compositions that sum to one: what would be weighed in where the published environment lets the sum drift."""
    positive = np.clip(at_frac, 0.0, None)
    return positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-12)
