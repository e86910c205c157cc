"""Running sums of what a training environment sees, taken away by the trainer once per iteration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aimat_ray.data.composition import composition_key
from aimat_ray.env.goals import closeness
from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.reward import RewardParts
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import exchanged
from aimat_ray.env.walk import Judgement, WalkState

_DISTINCT_DECIMALS = 0  # designs are the same when they agree to 1 at%
_PARTS = ("feasibility", "progress", "goal", "penalty")


@dataclass
class WalkStatistics:
    """Sums since they were last taken."""

    n_steps: int = 0
    n_episodes: int = 0
    n_goal: int = 0
    n_infeasible: int = 0
    n_in_domain: int = 0
    closeness: float = 0.0
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_PARTS, 0.0))
    quantities: FloatArray | None = None
    designs: set[Any] = field(default_factory=set)

    def add(self, task: DesignTask, after: WalkState, verdict: Judgement, parts: RewardParts, ended: BoolArray) -> None:
        """Count one vector step."""
        self.n_steps += len(after)
        self.n_episodes += int(ended.sum())
        self.n_goal += int((verdict.goal & ended).sum())
        self.n_infeasible += int((~verdict.feasible).sum())
        self.n_in_domain += int(after.prediction.in_domain.sum())
        quantities = task.judged(after.prediction)
        self.closeness += float(closeness(quantities, exchanged(after.at_frac, after.start), after.goals).sum())
        sums = np.nan_to_num(quantities).sum(axis=0)
        self.quantities = sums if self.quantities is None else self.quantities + sums
        for name in _PARTS:
            self.parts[name] += float(getattr(parts, name).sum())
        self.designs.update(composition_key(after.at_frac[ended & verdict.feasible], _DISTINCT_DECIMALS))


def merge(statistics: list[WalkStatistics]) -> WalkStatistics:
    """Sum over the environments of several runners."""
    total = WalkStatistics()
    for one in statistics:
        for name in ("n_steps", "n_episodes", "n_goal", "n_infeasible", "n_in_domain", "closeness"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
        for part in _PARTS:
            total.parts[part] += one.parts[part]
        if one.quantities is not None:
            total.quantities = one.quantities if total.quantities is None else total.quantities + one.quantities
        total.designs |= one.designs
    return total


def as_metrics(statistics: WalkStatistics, task: DesignTask) -> dict[str, float]:
    """Means per step and shares of episodes; NaN where nothing was counted."""
    steps = statistics.n_steps or np.nan
    episodes = statistics.n_episodes or np.nan
    metrics = {
        "episodes": float(statistics.n_episodes),
        "goal_share": statistics.n_goal / episodes,
        "infeasible_share": statistics.n_infeasible / episodes,
        "distinct_share": len(statistics.designs) / episodes,
        "in_domain_share": statistics.n_in_domain / steps,
        "satisfaction_mean": statistics.closeness / steps,
    }
    metrics |= {f"reward_{name}": value / steps for name, value in statistics.parts.items()}
    if statistics.quantities is not None:
        for key, value in zip(task.problem.quantity_keys, statistics.quantities / steps, strict=True):
            metrics[f"mean_{key}"] = float(value)
    return metrics
