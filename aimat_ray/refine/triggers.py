"""Triggers: pure functions that look at a window of recent steps and say whether the surrogate needs work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.config import CorrelationTriggerSettings, RefineSettings, VarianceTriggerSettings
from aimat_ray.data.composition import format_formula
from aimat_ray.refine.records import Seen, Trigger, TriggerKind

FloatArray = NDArray[np.float64]
_KEPT_COMPOSITIONS = 48
_KEPT_POINTS = 128
_TAIL_PERCENT = 5.0  # of the steps at each end, whose extremes don't count
_LEAST_POINTS = 64  # steps below which a correlation says nothing


@dataclass(frozen=True, eq=False)
class Window:
    """The latest steps of training, all seen by one surrogate version.

    Attributes:
        env_steps: Env steps so far.
        version: Surrogate version behind spread and rewards.
        at_frac: Visited compositions, [W, E].
        mean: Predictions for them, [W, P].
        spread: Spread of the ensemble for them, [W, P], same units.
        to_go: Discounted sum of the surrogate's rewards from each step to the end of its episode, [M].
        value: What the critic says of the same steps, [M].
    """

    env_steps: int
    version: str
    at_frac: FloatArray
    mean: FloatArray
    spread: FloatArray
    to_go: FloatArray
    value: FloatArray


def variance_ratios(spread: FloatArray, reference: FloatArray) -> FloatArray:
    """Mean squared spread of each property relative to that in the domain.

    Args:
        spread: Spread at the visited compositions, [W, P].
        reference: Mean squared spread in the domain, [P].

    Returns:
        [P]; 1 means as sure as in the domain, NaN without compositions or where the reference is not positive.
    """
    if len(spread) == 0:
        return np.full(len(reference), np.nan)
    usable = reference > 0
    ratios = np.mean(spread**2, axis=0) / np.where(usable, reference, 1.0)
    return np.where(usable, ratios, np.nan)


def correlation(to_go: FloatArray, value: FloatArray) -> float:
    """Pearson r of rewards to go with critic values; NaN for too few steps or where one of them does not vary.

    The outermost twentieth at each end is pulled in first (a winsorised correlation). Exploration now and then drives
    an agent out of the feasible alloys, which costs many times what else tells two steps apart; no critic can foresee
    the noise, and a few such steps would decide on r.
    """
    known = np.isfinite(to_go) & np.isfinite(value)
    x, y = _pulled_in(to_go[known]), _pulled_in(value[known])
    if len(x) < _LEAST_POINTS or np.ptp(x) < 1e-12 or np.ptp(y) < 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _pulled_in(values: FloatArray) -> FloatArray:
    if not len(values):
        return values
    return np.clip(values, *np.percentile(values, [_TAIL_PERCENT, 100 - _TAIL_PERCENT]))


def rewards_to_go(
    reward: FloatArray, walk: NDArray[np.integer[Any]], ended: NDArray[np.bool_], discount: float
) -> FloatArray:
    """Discounted sum of rewards from each step to its episode's end, [M]; NaN for steps of episodes still open.

    Args:
        reward: Rewards in the order of time, all walks mixed, [M].
        walk: Which walk each step belongs to, [M].
        ended: Whether the step ended its episode, [M].
        discount: Per step, 0..1.
    """
    backwards: list[float] = []
    ahead: dict[int, float] = {}
    steps = zip(reward[::-1].tolist(), walk[::-1].tolist(), ended[::-1].tolist(), strict=True)
    for gained, w, over in steps:  # plain numbers: three times as quick as indexing arrays
        ahead[w] = gained + (0.0 if over else discount * ahead.get(w, math.nan))
        backwards.append(ahead[w])
    return np.array(backwards[::-1], np.float64)


def check(
    window: Window,
    reference: FloatArray,
    elements: Sequence[str],
    properties: Sequence[str],
    watched: Sequence[str],
    settings: RefineSettings,
    last_fired: Mapping[str, int],
) -> Trigger | None:
    """The trigger that fires now, if any; variance goes before correlation because it names its property.

    Args:
        window: The latest steps.
        reference: Mean squared spread of each property in the domain, [P].
        elements: Symbols of the E axis.
        properties: Keys of the P properties.
        watched: Properties that a refinement would be worth: those behind the run's goal.
        settings: Thresholds, windows and cool-downs.
        last_fired: Env steps of the last firing by `key_of(kind, property)`.
    """
    ratios = variance_ratios(window.spread[-settings.variance.window :], reference)
    by_key = {key: float(ratio) for key, ratio in zip(properties, ratios, strict=True) if np.isfinite(ratio)}
    ranked = sorted((key for key in watched if key in by_key), key=lambda key: -by_key[key])
    r = correlation(window.to_go, window.value)
    for key in ranked:
        if _unsure(by_key[key], len(window.at_frac), settings.variance) and _rested(
            "variance", key, window.env_steps, settings.variance.cooldown, last_fired
        ):
            seen = _seen(window, elements, properties.index(key), by_key, r)
            return _trigger("variance", key, window, by_key[key], settings.variance.threshold, seen)
    if ranked and _at_odds(r, window, settings.correlation):
        key = ranked[0]
        if _rested("correlation", "", window.env_steps, settings.correlation.cooldown, last_fired):
            seen = _seen(window, elements, properties.index(key), by_key, r)
            return _trigger("correlation", key, window, r, settings.correlation.threshold, seen)
    return None


def key_of(kind: TriggerKind, property_key: str) -> str:
    """What cool-downs are counted by: each property of the variance trigger, and the correlation trigger as a whole."""
    return f"variance/{property_key}" if kind == "variance" else "correlation"


def _unsure(ratio: float, n: int, settings: VarianceTriggerSettings) -> bool:
    return n >= min(settings.window, _LEAST_POINTS) and ratio > settings.threshold


def _at_odds(r: float, window: Window, settings: CorrelationTriggerSettings) -> bool:
    full = len(window.to_go) >= settings.window
    return full and window.env_steps >= settings.warm_up and bool(np.isfinite(r)) and r < settings.threshold


def _rested(kind: TriggerKind, key: str, env_steps: int, cooldown: int, last_fired: Mapping[str, int]) -> bool:
    last = last_fired.get(key_of(kind, key))
    return last is None or env_steps - last >= cooldown


def _trigger(kind: TriggerKind, key: str, window: Window, value: float, threshold: float, seen: Seen) -> Trigger:
    return Trigger(
        kind=kind, property_key=key, env_steps=window.env_steps, value=value, threshold=threshold,
        version=window.version, seen=seen,
    )  # fmt: skip


def _seen(window: Window, elements: Sequence[str], p: int, ratios: dict[str, float], r: float) -> Seen:
    """An even sample of the window, small enough for a log."""
    rows = _evenly(len(window.at_frac), _KEPT_COMPOSITIONS)
    points = _evenly(len(window.to_go), _KEPT_POINTS)
    return Seen(
        compositions=tuple(format_formula(window.at_frac[i] / window.at_frac[i].sum(), elements) for i in rows),
        values=tuple(_short(window.mean[i, p]) for i in rows),
        spreads=tuple(_short(window.spread[i, p]) for i in rows),
        ratios={key: _short(value) for key, value in ratios.items()},
        r=_short(r) if np.isfinite(r) else None,
        curve=tuple((_short(window.to_go[i]), _short(window.value[i])) for i in points),
    )


def _evenly(n: int, most: int) -> list[int]:
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist() if n else []


def _short(value: float) -> float:
    return float(f"{float(value):.6g}")
