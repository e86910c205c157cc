"""Collects what the triggers look at: the latest steps of training, all seen by one surrogate version."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.config import RefineSettings
from aimat_ray.data.sources import AlloyData
from aimat_ray.env.legality import MIN_ELEMENTS, Limits
from aimat_ray.env.start import sample_starts
from aimat_ray.env.task import DesignTask
from aimat_ray.prediction import Predictor
from aimat_ray.refine.triggers import FloatArray, Window, rewards_to_go
from aimat_ray.rl.env_runner import ENDED, WALK
from aimat_ray.rl.td3 import TD3

Columns = dict[str, NDArray[Any]]
_KEPT = ("obs", "actions", "rewards", "next_obs", WALK, ENDED)
_REFERENCE_DRAWS, _LEAST_REFERENCE_ROWS = 64, 8  # per base


class Watch:
    """Keeps the columns of the latest rounds, and makes a `Window` of them.

    Args:
        task: Knows where the observation holds compositions, predictions and spreads.
        settings: Sizes of the windows.
        discount: The agent's.
    """

    def __init__(self, task: DesignTask, settings: RefineSettings, discount: float) -> None:
        self._task, self._settings, self._discount = task, settings, discount
        self._rounds: deque[Columns] = deque()
        self._n = 0

    def see(self, columns: Columns) -> None:
        """Take in new transitions; nothing is copied or computed."""
        self._rounds.append({name: columns[name] for name in _KEPT})
        self._n += len(columns["rewards"])
        wanted = 4 * max(self._settings.variance.window, self._settings.correlation.window)
        while self._n - len(self._rounds[0]["rewards"]) >= wanted:
            self._n -= len(self._rounds.popleft()["rewards"])

    def forget(self) -> None:
        """Start anew after a swap: what was seen belongs to another version."""
        self._rounds.clear()
        self._n = 0

    def window(self, algorithm: TD3, version: str) -> Window | None:
        """The latest steps; None right after a swap or a start."""
        if not self._rounds:
            return None
        reward, walk, over = (np.concatenate([r[name] for r in self._rounds]) for name in ("rewards", WALK, ENDED))
        visited = _evenly_last(self._n, self._settings.variance.window, 2)
        seen = self._rows("next_obs", visited).astype(np.float64)
        blocks, scale, n_properties = self._task.layout.blocks, self._task.scale, self._task.layout.n_properties
        quantities = seen[:, blocks["quantities"]] * scale.width + scale.centre
        to_go = rewards_to_go(reward.astype(np.float64), walk, over.astype(bool), self._discount)
        ended = np.flatnonzero(np.isfinite(to_go))[-self._settings.correlation.window :]
        asked = {name: self._rows(name, ended) for name in ("obs", "actions")}
        value = algorithm.critic_values(asked) if len(ended) else np.empty(0)
        return Window(
            env_steps=algorithm.env_steps,
            version=version,
            at_frac=seen[:, blocks["at_frac"]],
            mean=quantities[:, :n_properties],
            spread=seen[:, blocks["spread"]] * scale.width[:n_properties],
            to_go=to_go[ended],
            value=np.asarray(value, np.float64),
        )

    def _rows(self, name: str, chosen: NDArray[np.intp]) -> NDArray[Any]:
        """Rows of a wide column at ascending positions; the rest of it is not touched."""
        bounds = np.cumsum([0, *(len(r["rewards"]) for r in self._rounds)])
        cuts = np.searchsorted(chosen, bounds)
        picked = zip(self._rounds, bounds[:-1], cuts[:-1], cuts[1:], strict=True)
        return np.concatenate([r[name][chosen[first:last] - start] for r, start, first, last in picked])


def spread_in_domain(predictor: Predictor, data: AlloyData) -> FloatArray:
    """Mean squared spread of each property where designs begin, in the median base of the data, [P].

    Walks begin at random compositions of a base's window. Those that the surrogate counts as feasible and in its domain
    are what it is meant for, whatever the base; a base in which it is much less sure than in the median one stands out.

    Args:
        predictor: The surrogate.
        data: Gives the windows of all bases.
    """
    rng = np.random.default_rng(0)
    problem = data.problem
    drawn, base = [], []
    for symbol, window in data.windows.items():
        limits = Limits(
            lower=np.tile(window.lower, (_REFERENCE_DRAWS, 1)),
            upper=np.tile(window.upper, (_REFERENCE_DRAWS, 1)),
            base=np.full(_REFERENCE_DRAWS, problem.element_index[symbol]),
            max_elements=np.full(_REFERENCE_DRAWS, max(window.max_elements, MIN_ELEMENTS)),
        )
        at_frac, _ = sample_starts(limits, rng)
        drawn.append(at_frac)
        base += [symbol] * len(at_frac)
    prediction = predictor.predict(np.concatenate(drawn))
    good = prediction.in_domain & (prediction.p_feasible >= problem.feasibility.threshold)
    squares, symbols = prediction.spread**2, np.array(base)
    rows = [good & (symbols == symbol) for symbol in data.windows]
    means = [squares[chosen].mean(axis=0) for chosen in rows if chosen.sum() >= _LEAST_REFERENCE_ROWS]
    return np.asarray(np.median(means, axis=0) if means else squares.mean(axis=0))


def _evenly_last(n: int, wanted: int, stride: int) -> NDArray[np.intp]:
    """Positions of the last rows, every second one where there are enough: neighbours in time look alike."""
    step = stride if n >= stride * wanted else 1
    return np.arange(max(0, n - step * wanted), n, step)
