"""The lists of learners: fresh walks of the deterministic policy, paid from what training left of the budget."""

from __future__ import annotations

import numpy as np

from aimat_ray.contest.game import Game, Meter
from aimat_ray.contest.notebook import Notebook
from aimat_ray.contest.searches import bases
from aimat_ray.env.episodes import Chooser, CountingPredictor, run_episodes, settle
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks
from aimat_ray.prediction import Prediction, Predictor

_WALKS = 32  # at a time
_SETTLE_STEPS = 16
_SHORTEST_WALK = 16  # steps; where the budget does not allow so many the list ends
_START_PRICE = 8  # predictions that a fresh start costs, roughly; what it really costs is counted


class Walker:
    """Sends a policy on walks within a budget, and notes where they pass.

    The list comes from the same notebook as those of searches: the best different compositions on the walks. Starts
    are paid but never noted, lest a draw that happens to be at the goal count as the policy's.

    Args:
        task: What is designed, in the learner's mode.
        predictor: The surrogate that the policy sees.
        notebook: Where the walks are noted.
        budget: Predictions at most, starts included.
        rng: Source of randomness.
    """

    def __init__(
        self, task: DesignTask, predictor: Predictor, notebook: Notebook, budget: int, rng: np.random.Generator
    ) -> None:
        self._task, self._notebook, self._budget, self._rng = task, notebook, budget, rng
        self._starts = CountingPredictor(Meter(predictor))
        self._walking = CountingPredictor(Meter(predictor, self._note))
        self.n_walks = self.n_goal = 0

    @property
    def spent(self) -> int:
        """Predictions so far."""
        return self._starts.n_predictions + self._walking.n_predictions

    def walk(self, choose: Chooser, list_size: int) -> None:
        """Walk from fresh starts until the notebook holds a full list at the goal, or the budget ends."""
        while not self._notebook.is_full(list_size):
            affordable = (self._budget - self.spent) // (_START_PRICE + _SHORTEST_WALK + _SETTLE_STEPS)
            if affordable < 1:
                break
            start = fresh_walks(self._task, self._starts, bases(min(_WALKS, affordable)), self._rng)
            steps = (self._budget - self.spent) // len(start) - _SETTLE_STEPS
            if steps < _SHORTEST_WALK:
                break
            self._walk(choose, start, min(steps, self._task.settings.max_steps))

    def _walk(self, choose: Chooser, start: WalkState, steps: int) -> None:
        episodes = run_episodes(self._task, self._walking, start, choose, self._rng, steps)
        self.n_walks += len(episodes)
        self.n_goal += int(episodes.goal.sum())
        if episodes.goal.any():
            arrived = episodes.final.rows(episodes.goal)
            settle(self._task, self._walking, arrived, choose, self._rng, _SETTLE_STEPS)

    def _note(self, at_frac: FloatArray, prediction: Prediction) -> None:
        self._notebook.write(normalised(at_frac), prediction)


def hand_in_walks(game: Game, reference: DesignTask, task: DesignTask, choose: Chooser, point: int) -> None:
    """Walk from fresh starts and hand in the best different compositions on the way.

    A walk that reaches the goal walks on for a safer design, as in every evaluation. Walks have a generator of their
    own, so they are the same whatever came before; none of them was a training episode.

    Args:
        game: The rules.
        reference: The task with the goal that the contest asks for: by it the list is chosen.
        task: The task as the learner knows it: its mode, reward and goal.
        choose: The deterministic policy.
        point: Predictions that training and walks may cost together.
    """
    notebook = Notebook(reference)
    left = point - game.meter.n_predictions
    walker = Walker(task, game.meter.behind, notebook, left, np.random.default_rng([game.seed, 23]))
    walker.walk(choose, game.list_size)
    game.hand_in(point, notebook.best(game.list_size), min(walker.spent, max(left, 0)), (walker.n_walks, walker.n_goal))


def normalised(at_frac: FloatArray) -> FloatArray:
    """Compositions that sum to one: what would be weighed in where the published environment lets the sum drift."""
    positive = np.clip(at_frac, 0.0, None)
    return positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-12)
