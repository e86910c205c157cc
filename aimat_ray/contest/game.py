"""The rules: who asks the surrogate pays, and at each point of the budget a list of designs is handed in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aimat_ray.contest.notebook import Notebook
from aimat_ray.env.legality import FloatArray
from aimat_ray.prediction import Prediction, Predictor
from aimat_ray.search.archive_build import join_predictions


class BudgetSpentError(Exception):
    """The last point of the budget is reached: a search ends here."""


@dataclass(frozen=True)
class HandIn:
    """A list of designs at a point of the budget.

    Attributes:
        point: The point, in predictions.
        spent: Predictions spent until then, by searching or training.
        walked: Predictions of the walks that made the list, of a trained policy.
        at_frac: The designs, [N, E].
        walks: How many walks a trained policy made, and how many of them reached the goal it was trained for.
        seconds: Wall time since the start of the cell.
        cpu_seconds: CPU time of the process since then.
    """

    point: int
    spent: int
    walked: int
    at_frac: FloatArray
    walks: tuple[int, int]
    seconds: float
    cpu_seconds: float


def _itself(predictor: Predictor) -> Predictor:
    return predictor


class Meter:
    """A predictor that counts every composition, tells who watches, and ends at a limit.

    A copy within the process is the same meter, so that a learner's own copies of its configuration are counted too.
    Pickled, it is the predictor behind it.

    Attributes:
        n_predictions: Compositions asked for so far.
        seen: Called with each answered batch.
    """

    def __init__(
        self,
        predictor: Predictor,
        seen: Callable[[FloatArray, Prediction], None] | None = None,
        stops: Sequence[int] = (),
        at_stop: Callable[[int], None] | None = None,
    ) -> None:
        self._predictor: Any = predictor
        self._seen, self._at_stop = seen, at_stop
        self._stops = list(stops)
        self._lock = threading.Lock()
        self.n_predictions = 0

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict and count; a batch that crosses a stop is answered in parts, and the last stop ends the game.

        Raises:
            BudgetSpentError: The last stop was reached before.
        """
        parts, left = [], at_frac
        while self._stops and self.n_predictions + len(left) > self._stops[0]:
            now = self._stops[0] - self.n_predictions
            if now:
                parts.append(self._ask(left[:now]))
                left = left[now:]
            stop = self._stops.pop(0)
            if self._at_stop is not None:
                self._at_stop(stop)
            if not self._stops:
                raise BudgetSpentError
        if len(left) or not parts:
            parts.append(self._ask(left))
        return parts[0] if len(parts) == 1 else join_predictions(parts)

    def _ask(self, at_frac: FloatArray) -> Prediction:
        answer: Prediction = self._predictor.predict(at_frac)
        with self._lock:
            self.n_predictions += len(at_frac)
        if self._seen is not None:
            self._seen(at_frac, answer)
        return answer

    @property
    def behind(self) -> Predictor:
        """The predictor itself, for walks that are counted apart from training."""
        predictor: Predictor = self._predictor
        return predictor

    @property
    def version(self) -> str:
        """Version of the surrogate behind."""
        return str(self._predictor.version)

    @property
    def next_version(self) -> str:
        """See `SurrogateClient`."""
        return str(getattr(self._predictor, "next_version", self._predictor.version))

    def refresh(self) -> bool:
        """See `SurrogateClient`; a surrogate that never changes adopts nothing."""
        return bool(self._predictor.refresh()) if hasattr(self._predictor, "refresh") else False

    def stay(self) -> None:
        """See `SurrogateClient`."""
        if hasattr(self._predictor, "stay"):
            self._predictor.stay()

    def __deepcopy__(self, memo: dict[int, Any]) -> Meter:
        return self

    def __copy__(self) -> Meter:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._predictor,)


@dataclass
class Clock:
    """Wall and CPU seconds since it was made."""

    began: float = field(default_factory=time.monotonic)
    began_cpu: float = field(default_factory=time.process_time)

    def read(self) -> tuple[float, float]:
        """Both."""
        return time.monotonic() - self.began, time.process_time() - self.began_cpu


class Game:
    """One method on one problem with one seed.

    A search asks `meter` until it raises: its lists are made by the notebook at every stop. A learner trains with
    `learner_meter` and calls `hand_in` with the ends of its walks.

    Args:
        predictor: The surrogate.
        notebook: Keeps the best of what a search evaluates.
        points: Predictions at which lists are handed in, growing.
        list_size: Most designs of a list.
        seed: Of the cell.
    """

    def __init__(
        self, predictor: Predictor, notebook: Notebook, points: Sequence[int], list_size: int, seed: int
    ) -> None:
        self.notebook, self.points, self.list_size, self.seed = notebook, tuple(points), list_size, seed
        self.rng = np.random.default_rng([seed, 17])
        self.hand_ins: list[HandIn] = []
        self.clock = Clock()
        self._predictor = predictor
        self.meter = Meter(predictor, notebook.write, self.points, self._stop)

    @property
    def budget(self) -> int:
        """The last point."""
        return self.points[-1]

    def learner_meter(self, predictor: Predictor | None = None) -> Meter:
        """A counter without stops and without a notebook: what a learner sees while it trains is no design."""
        self.meter = Meter(predictor or self._predictor)
        return self.meter

    def hand_in(self, point: int, at_frac: FloatArray, walked: int = 0, walks: tuple[int, int] = (0, 0)) -> None:
        """Hand in a list; what is beyond the allowed length is dropped."""
        spent = min(self.meter.n_predictions, point)
        designs = at_frac[: self.list_size].copy()
        self.hand_ins.append(HandIn(point, spent, walked, designs, walks, *self.clock.read()))

    def close(self) -> None:
        """Hand in what a search that ended before its budget has, at every point that is left."""
        for point in self.points[len(self.hand_ins) :]:
            self.hand_in(point, self.notebook.best(self.list_size))

    def _stop(self, point: int) -> None:
        self.hand_in(point, self.notebook.best(self.list_size))
