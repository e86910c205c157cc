"""Failure signatures: patterns in the training metrics that mean the numbers look better than the designs are.

Pure functions over the rows of the metrics table; each warns once per run and signature until it has been quiet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = dict[str, Any]
WINDOW = 10  # iterations in each of the two halves that are compared


@dataclass(frozen=True, slots=True)
class Signature:
    """A pattern that fired.

    Attributes:
        env_steps: When.
        signature: Which one.
        message: What it means, in words.
        value: What was seen.
        threshold: What it was compared with.
    """

    env_steps: int
    signature: str
    message: str
    value: float
    threshold: float


def check(rows: Sequence[Row], quiet: set[str] | None = None) -> list[Signature]:
    """Look for every signature in the newest rows.

    Args:
        rows: Metrics so far, oldest first.
        quiet: Signatures that are already being reported and need not be repeated; updated in place.
    """
    if len(rows) < 2 * WINDOW:
        return []
    quiet = set() if quiet is None else quiet
    fired = []
    for name, detect in DETECTORS.items():
        found = detect(rows[-2 * WINDOW : -WINDOW], rows[-WINDOW:])
        if found is None:
            quiet.discard(name)
        elif name not in quiet:
            quiet.add(name)
            message, value, threshold = found
            fired.append(Signature(int(rows[-1]["env_steps"]), name, message, value, threshold))
    return fired


Finding = tuple[str, float, float] | None


def _mean(rows: Sequence[Row], key: str) -> float:
    values = np.array([row.get(key, np.nan) for row in rows], dtype=np.float64)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def mode_collapse(_: Sequence[Row], now: Sequence[Row], threshold: float = 0.2) -> Finding:
    """Few distinct designs at the ends of episodes, while many episodes reach the goal."""
    distinct, goal = _mean(now, "distinct_share"), _mean(now, "goal_share")
    if distinct < threshold and goal > threshold:
        return f"only {distinct:.0%} of the designs at the ends of episodes differ", distinct, threshold
    return None


def value_reward_divergence(before: Sequence[Row], now: Sequence[Row], threshold: float = 0.5) -> Finding:
    """The critic's value rises above what episodes return, while the predicted properties stand still."""
    rise = _mean(now, "q_mean") - _mean(before, "q_mean")
    gain = _mean(now, "satisfaction_mean") - _mean(before, "satisfaction_mean")
    returned = _mean(now, "episode_return_mean")
    above = _mean(now, "q_mean") > returned + 0.2 * abs(returned)
    if rise > threshold and gain < 0.01 and above:
        return (
            f"the critic's value rose by {rise:.2f} while the designs did not come nearer to the goal",
            rise,
            threshold,
        )
    return None


def leaving_domain(_: Sequence[Row], now: Sequence[Row], threshold: float = 0.5) -> Finding:
    """Most visited compositions are outside the surrogate's domain."""
    inside = _mean(now, "in_domain_share")
    if inside < threshold:
        return f"only {inside:.0%} of the visited compositions are inside the surrogate's domain", inside, threshold
    return None


def reward_falling(before: Sequence[Row], now: Sequence[Row], threshold: float = 0.3) -> Finding:
    """The return of episodes falls clearly below what it was."""
    old, new = _mean(before, "episode_return_mean"), _mean(now, "episode_return_mean")
    scale = max(abs(old), 1.0)
    if np.isfinite(old) and (old - new) / scale > threshold:
        return f"the mean return fell from {old:.2f} to {new:.2f}", (old - new) / scale, threshold
    return None


DETECTORS: dict[str, Callable[[Sequence[Row], Sequence[Row]], Finding]] = {
    "mode_collapse": mode_collapse,
    "value_reward_divergence": value_reward_divergence,
    "leaving_domain": leaving_domain,
    "reward_falling": reward_falling,
}
