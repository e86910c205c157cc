"""Looking ahead with a distilled surrogate that is set right where the walk stands. See foresight-design.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, move, predict_legal
from aimat_ray.prediction import ARRAY_FIELDS, Predictor, from_columns
from aimat_ray.search.controls import Proposer
from aimat_ray.search.leading import Halved, restlessness
from aimat_ray.search.merit import Candidates, appraise, best_of
from aimat_ray.search.proposals import propose

_SHIFTED = tuple(name for name in ARRAY_FIELDS if name not in ("in_domain", "reason"))
_SAFE = 0.8  # of the feasible class; walks end below 0.5, and the net is wrong by some 0.2
_UNSAFE, _IDLE = -100.0, -1_000.0  # below what any safe move can get
_IDLE_STEP = 0.02  # of the largest step
_CHANCE = 0.5  # share of the moves that are drawn among the safe ones, in the end


def foresee(task: DesignTask, net: Predictor, state: WalkState, actions: FloatArray, k: int) -> Candidates:
    """What `k` actions per walk would lead to, by the word of a distilled surrogate.

    The true predictions for where the walks stand are paid already: what the net is wrong by there is taken off ahead.

    Args:
        task: What is designed.
        net: The distilled surrogate; the true one, if it answers, is right as it is.
        state: Where the walks stand, B of them.
        actions: Actions, [B * k, A]; those of walk i are the rows i * k to (i + 1) * k - 1.
        k: Actions per walk.
    """
    walks = state.rows(np.repeat(np.arange(len(state)), k))
    at_frac = move(task, walks, actions)
    ahead = predict_legal(task, net, at_frac, walks.prediction)
    if net.version != state.prediction.version:
        here = net.predict(state.at_frac)
        columns = {name: getattr(ahead, name) for name in ARRAY_FIELDS}
        for name in _SHIFTED:
            error = getattr(here, name) - getattr(state.prediction, name)
            columns[name] = columns[name] - np.repeat(error, k, axis=0)
        ahead = from_columns(columns, net.version)
    return appraise(task, walks, at_frac, ahead)


@dataclass(frozen=True)
class Foresight:
    """Takes the best of some moves that the net believes safe: one true prediction a step, and nothing is taken back.

    Where no move seems safe it takes the safest. Walks that do not arrive leave a growing share of moves to chance,
    among the safe ones.

    Attributes:
        task: What is designed.
        net: The distilled surrogate, counting.
        proposer: Where the moves come from.
        k: Moves per step.
    """

    task: DesignTask
    net: Predictor
    proposer: Proposer = propose
    k: int = 16

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """The chosen moves."""
        actions = self.proposer(self.task, state, self.k, rng)
        ahead = foresee(self.task, self.net, state, actions, self.k)
        p = np.nan_to_num(ahead.state.prediction.p_feasible)
        by_chance = rng.random((len(state), 1)) < _CHANCE * restlessness(state)
        wish = np.where(np.repeat(by_chance[:, 0], self.k), rng.random(len(p)), ahead.merit)
        wish = np.where(p >= _SAFE, wish, _UNSAFE + p)
        gone = np.abs(ahead.state.at_frac - np.repeat(state.at_frac, self.k, axis=0)).max(axis=1)
        wish = np.where(gone < _IDLE_STEP * self.task.max_step, _IDLE, wish)
        return actions[best_of(wish, self.k)]


@dataclass(frozen=True)
class Picked:
    """The best of some moves by foresight, for a search that may reject it: no true prediction is spent on the others.

    Attributes:
        net: The distilled surrogate, counting.
        leader: Where half of the moves come from; the others are random.
        k: Moves to pick from.
    """

    net: Predictor
    leader: Proposer = propose
    k: int = 16

    def __call__(self, task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
        """Actions, [B * k, A]."""
        walks = state.rows(np.repeat(np.arange(len(state)), k))
        actions = Halved(self.leader)(task, walks, self.k, rng)
        return actions[best_of(foresee(task, self.net, walks, actions, self.k).merit, self.k)]
