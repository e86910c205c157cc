"""What a learner tells while it trains: returns over steps, and what its walks look like on synthetic data.

None of it enters a score.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_SHOWN = ("youngs_modulus_gpa", "yield_strength_mpa")  # axes of the published cloud
_POINTS = 32  # compositions kept of each look
_ROWS = 120  # most rows of a curve


class Curve:
    """Takes in RLlib's results.

    Args:
        env: The vector environment of the local runner.

    Attributes:
        updates: Gradient steps at the end, where the algorithm counts them.
    """

    def __init__(self, env: Any) -> None:
        self._env = env
        self._rows: list[dict[str, Any]] = []
        self._clouds: list[dict[str, Any]] = []
        self.updates: int | None = None

    def add(self, predictions: int, env_steps: int, result: dict[str, Any]) -> None:
        """One training iteration."""
        runners = result.get("env_runners", {})
        mean = runners.get("episode_return_mean")
        row = {"predictions": predictions, "env_steps": env_steps, "return_mean": None if mean is None else float(mean)}
        self._rows.append(row)
        self._look(predictions)

    def _look(self, predictions: int) -> None:
        state = getattr(self._env, "state", None)
        keys = self._env.task.problem.property_keys
        if state is None or any(key not in keys for key in _SHOWN):
            return
        columns = {key: state.prediction.mean[:_POINTS, keys.index(key)] for key in _SHOWN}
        for values in zip(*columns.values(), strict=True):
            if np.isfinite(values).all():
                self._clouds.append({"predictions": predictions} | dict(zip(columns, map(float, values), strict=True)))

    def rows(self) -> list[dict[str, Any]]:
        """Returns over steps, thinned."""
        stride = max(len(self._rows) // _ROWS, 1)
        return self._rows[::stride]

    def clouds(self) -> list[dict[str, Any]]:
        """Visited compositions at the first, middle and last tenth of the training, with their share of it."""
        if not self._clouds:
            return []
        first, last = self._clouds[0]["predictions"], self._clouds[-1]["predictions"]  # archive and pool come before
        length = max(last - first, 1)
        kept = []
        for name, (low, high) in {"start": (0.0, 0.1), "middle": (0.45, 0.55), "end": (0.9, 1.0)}.items():
            part = [row for row in self._clouds if low <= (row["predictions"] - first) / length <= high]
            kept += [row | {"part": name} for row in part[:: max(len(part) // 200, 1)]]
        return kept
