"""Transitions of a search method, as experience that an agent can learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.episodes import Chooser, CountingPredictor
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import change_to_slots
from aimat_ray.env.walk import WalkState, advance, fresh_walks, observe
from aimat_ray.prediction import Predictor
from aimat_ray.search.controls import GREEDY_CANDIDATES, Greedy

Columns = dict[str, NDArray[np.float32]]


def demonstrate(
    task: DesignTask,
    predictor: CountingPredictor,
    start: WalkState,
    choose: Chooser,
    rng: np.random.Generator,
    max_steps: int | None = None,
) -> Columns:
    """Walk strict episodes and keep every transition.

    Args:
        task: What is designed; its reward is the one that the transitions carry.
        predictor: The surrogate, counting. `choose` must ask the same counter.
        start: Fresh walks, feasible and not at their goals.
        choose: Decides the actions.
        rng: Passed on to `choose`.
        max_steps: Step limit; that of training episodes by default.

    Returns:
        Float32 columns of N transitions, in the order of the steps: obs, actions, rewards, next_obs, terminateds (goal,
        infeasible or illegal; a walk cut off by the step limit is not), at_frac and next_at_frac, and label: what the
        action changed, in units of the largest step (in mode `paper` per slot).
    """
    parts: list[Columns] = []
    state = start
    for _ in range(max_steps or task.settings.train_max_steps):
        action = choose(state, rng)
        after, verdict, reward, _ = advance(task, predictor, state, action)
        ended = ~verdict.feasible | verdict.goal
        columns = {
            "obs": observe(task, state),
            "actions": np.clip(action, -1.0, 1.0),
            "rewards": reward.total,
            "next_obs": observe(task, after),
            "terminateds": ended,
            "at_frac": state.at_frac,
            "next_at_frac": after.at_frac,
            "label": _label(task, state, after),
        }
        parts.append({name: np.asarray(values, dtype=np.float32) for name, values in columns.items()})
        state = after.rows(~ended)
        if len(state) == 0:
            break
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def greedy_demonstrations(
    task: DesignTask,
    predictor: Predictor,
    rng: np.random.Generator,
    n_transitions: int = 10_000,
    k: int = GREEDY_CANDIDATES,
    scorer: Predictor | None = None,
) -> tuple[Columns, int]:
    """Demonstrations of greedy search that stop at the goal, over all bases of a task.

    Args:
        task: What is designed.
        predictor: The surrogate.
        rng: Source of randomness.
        n_transitions: How many to collect; whole batches of walks are made until there are enough.
        k: Candidates per step.
        scorer: Scores the candidates instead of the surrogate, see `Greedy`.

    Returns:
        The columns of `demonstrate`, n_transitions rows, and the predictions spent (those of the scorer not counted).
    """
    counter = CountingPredictor(predictor)
    greedy = Greedy(task, counter, k, scorer)
    parts: list[Columns] = []
    n = 0
    while n < n_transitions:
        # A walk takes some 10 steps; one batch covers every base evenly.
        n_walks = max(len(task.bases), min(256, (n_transitions - n) // 10 + 1))
        base = rng.permutation(np.arange(n_walks, dtype=np.intp) % len(task.bases))
        parts.append(demonstrate(task, counter, fresh_walks(task, counter, base, rng), greedy, rng))
        n += len(parts[-1]["rewards"])
    columns = {name: np.concatenate([part[name] for part in parts])[:n_transitions] for name in parts[0]}
    return columns, counter.n_predictions


def _label(task: DesignTask, before: WalkState, after: WalkState) -> FloatArray:
    change = (after.at_frac - before.at_frac) / task.max_step
    return change_to_slots(before.at_frac, change) if task.settings.mode == "paper" else change
