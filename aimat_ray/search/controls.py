"""Choosers without learning: what every policy is compared with, at its own price in predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aimat_ray.env.episodes import CountingPredictor
from aimat_ray.env.legality import FloatArray, legal_in_paper_mode
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import PAPER_SLOTS
from aimat_ray.env.walk import WalkState
from aimat_ray.prediction import Predictor
from aimat_ray.search.merit import best_of, look_ahead, merit_of
from aimat_ray.search.proposals import propose

GREEDY_CANDIDATES = 16


class Proposer(Protocol):
    """Draws moves for walks: `proposals.propose`, or a policy with noise."""

    def __call__(self, task: DesignTask, state: WalkState, k: int, rng: np.random.Generator) -> FloatArray:
        """Actions in [-1, 1], [B * k, A]; those of walk i are the rows i * k to (i + 1) * k - 1."""


def action_size(task: DesignTask) -> int:
    """Length of an action in the mode of the task."""
    return PAPER_SLOTS if task.settings.mode == "paper" else len(task.problem.elements)


@dataclass(frozen=True)
class ZeroAction:
    """Never moves. Whatever it reaches was there at the start."""

    task: DesignTask

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """Zeros."""
        return np.zeros((len(state), action_size(self.task)))


@dataclass(frozen=True)
class RandomAction:
    """Uniform on the action space of the mode."""

    task: DesignTask

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """Uniform actions."""
        return rng.uniform(-1.0, 1.0, (len(state), action_size(self.task)))


@dataclass(frozen=True)
class RandomMoves:
    """One proposal per step, taken unseen: what the proposals are worth without looking at them."""

    task: DesignTask
    proposer: Proposer = propose

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """One proposal per walk."""
        return self.proposer(self.task, state, 1, rng)


@dataclass(frozen=True)
class Greedy:
    """Looks at `k` proposals per step and takes the best, even when it is worse than staying.

    With a `scorer` of its own (a distilled surrogate, say) the proposals are scored by that one, and the true surrogate
    is asked only about the move that is made; give the scorer its own counter to know its price.

    Attributes:
        task: What is designed.
        predictor: The counter that the episode runs on.
        k: Proposals per step.
        scorer: What scores the proposals; the predictor when None.
        proposer: Where the proposals come from.
    """

    task: DesignTask
    predictor: CountingPredictor
    k: int = GREEDY_CANDIDATES
    scorer: Predictor | None = None
    proposer: Proposer = propose

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """The best proposals."""
        actions = self.proposer(self.task, state, self.k, rng)
        candidates = look_ahead(self.task, self.scorer or self.predictor, state, actions, self.k)
        best = best_of(candidates.merit, self.k)
        if self.scorer is None:
            _remember(self.task, self.predictor, candidates.state.rows(best))
        return actions[best]


@dataclass(frozen=True)
class LocalSearch:
    """Looks at one proposal per step and takes it when it is not worse: one prediction per step, like a policy.

    Attributes:
        task: What is designed.
        predictor: The counter that the episode runs on.
        proposer: Where the proposals come from; a policy with noise makes it a policy with rejection.
    """

    task: DesignTask
    predictor: CountingPredictor
    proposer: Proposer = propose

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """The proposals that are not worse, zeros elsewhere."""
        actions = self.proposer(self.task, state, 1, rng)
        candidates = look_ahead(self.task, self.predictor, state, actions, 1)
        accepted = candidates.merit >= merit_of(self.task, state)
        _remember(self.task, self.predictor, state.updated(accepted, candidates.state.rows(accepted)))
        return np.where(accepted[:, None], actions, 0.0)


def _remember(task: DesignTask, predictor: CountingPredictor, there: WalkState) -> None:
    """Tell the counter where the walks are about to go: it has answered that already."""
    if task.settings.mode == "paper":  # illegal compositions are never asked about
        there = there.rows(legal_in_paper_mode(there.at_frac))
    predictor.remember(there.at_frac, there.prediction)
