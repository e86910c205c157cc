"""Who answers `POST /v1/design`: a search near the start alloy, and the policy of a finished run where there is one.

Bounded in predictions and time, and never on the event loop: in a thread, or in a Serve deployment of its own.
See design-endpoint-design.md.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from aimat_ray.config import EnvSettings
from aimat_ray.data.sources import AlloyData
from aimat_ray.errors import AimatError, ConfigError, OverloadError, ProblemError, RunError, ServiceError
from aimat_ray.prediction import Prediction, Predictor
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.canary import canary_rows
from aimat_ray.rl.improve import ImprovedAlloy, Improvements, improve_alloy
from aimat_ray.rl.prepare import asked_bases
from aimat_ray.search.diversity import distinct_rows
from aimat_ray.search.improve import task_around
from aimat_ray.serving.runs import FinishedRun, RunShelf
from aimat_ray.serving.wishes import METHODS, BoundedImprovement
from aimat_ray.surrogate.base import FloatArray

TIME_LIMIT_S = 40.0
_SEARCH_SHARE = 0.25  # of the time limit may go into the search's predictions; the rest is for what surrounds them
_PROBE_ROWS = 256
_DISTINCT_AT_PCT = 2.0  # as within one search

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class DesignAsk:
    """A question, read and checked. Picklable.

    Attributes:
        at_frac: The start alloy, [E].
        wish: What shall improve.
        method: One of `wishes.METHODS`.
        n_designs: Longest list of designs.
        budget: Predictions that a search may spend.
        seed: The same seed gives the same answer.
    """

    at_frac: FloatArray
    wish: BoundedImprovement
    method: str
    n_designs: int
    budget: int
    seed: int


@dataclass(frozen=True)
class DesignAnswer:
    """An answer, all of it by one version of the surrogate. Picklable.

    Attributes:
        improvements: The start, what was found, and who predicted.
        methods: Method that found each of the designs.
        run_id: Run of the policy; None where none was asked.
        budget: Predictions that the search was allowed: less than asked for where the time would not do.
        seconds: What it took.
    """

    improvements: Improvements
    methods: tuple[str, ...]
    run_id: str | None
    budget: int
    seconds: float


class DesignTimeError(ServiceError):
    """A design took too long; asking the same again would too."""


class Designer(Protocol):
    """What the design route needs."""

    async def design(self, ask: DesignAsk) -> DesignAnswer:
        """Answer a question."""


class DesignDesk:
    """Answers questions with the surrogates that it is given. Safe to use from several threads.

    Args:
        problem: The design problem.
        data: Measured alloys.
        runs: Folder of finished runs; their policies are used where they fit.
    """

    def __init__(self, problem: DesignProblem, data: AlloyData, runs: Path) -> None:
        self.problem = problem
        self.data = data
        self._shelf = RunShelf(runs, problem)
        self._actors: dict[tuple[str, Path], Any] = {}
        self._lock = threading.Lock()

    def design(self, ask: DesignAsk, surrogate: Predictor, judge: Predictor | None) -> DesignAnswer:
        """Answer a question.

        Raises:
            BadInputError: The alloy, the method or the wish can't be used.
            DesignTimeError: It took too long.
        """
        began = time.monotonic()
        if ask.method not in METHODS:
            raise ConfigError(f"unknown method {ask.method!r}; expected one of: {', '.join(METHODS)}")
        timed = Timed(surrogate, TIME_LIMIT_S)
        budget = timed.affordable(ask.budget, len(self.problem.elements))
        run = self._policy_run(ask) if ask.method in ("auto", "policy") else None
        answers = []
        if ask.method != "policy":
            search = "evolution" if ask.method == "auto" else ask.method
            answers.append(self._improve(ask, timed, judge, method=search, budget=budget))
        if run is not None:
            try:
                answers.append(self._by_policy(ask, timed, judge, run))
            except (DesignTimeError, RunError) as error:
                if not answers:
                    raise
                log.warning("the policy of run %s is left out: %s", run.run_id, error.message)
                run = None  # what the search found is an answer too
        merged, methods = merge(answers, ask.n_designs)
        return DesignAnswer(merged, methods, run.run_id if run else None, budget, time.monotonic() - began)

    def load_policies(self) -> None:
        """Load the newest policy, so that the first question does not wait for it (and for RLlib)."""
        for run in self._shelf.runs():
            if run.last_checkpoint is not None:
                try:
                    self._actor(run)
                except RunError as error:
                    log.warning("%s", error.message)
                return

    def _improve(self, ask: DesignAsk, surrogate: Predictor, judge: Predictor | None, **how: Any) -> Improvements:
        return improve_alloy(
            self.data,
            self.problem,
            surrogate,
            judge,
            ask.at_frac,
            ask.wish,
            n_designs=ask.n_designs,
            seed=ask.seed,
            **how,
        )

    def _by_policy(
        self, ask: DesignAsk, surrogate: Predictor, judge: Predictor | None, run: FinishedRun
    ) -> Improvements:
        """What the policy of a run finds.

        Raises:
            RunError: The policy can't be read, or observes something else than this program shows.
        """
        settings = EnvSettings.model_validate(run.record["settings"]["env"])
        actor = self._actor(run)
        expected = task_around(self.problem, self.data, ask.at_frac, ask.wish, settings).layout.size
        observed = next(weights.shape[1] for weights in actor.parameters() if weights.ndim == 2)
        if observed != expected:
            raise RunError(
                f"the policy of run {run.run_id} takes {observed} numbers where this release gives {expected}; "
                "train it again"
            )
        return self._improve(ask, surrogate, judge, policy=actor, settings=settings)

    def _policy_run(self, ask: DesignAsk) -> FinishedRun | None:
        """The newest finished run with a policy for the start's base, trained on these data.

        Raises:
            RunError: A policy is asked for and there is none.
        """
        base = self.problem.elements[int(ask.at_frac.argmax())]
        for run in self._shelf.runs():
            if run.last_checkpoint is not None and self._fits(run, base):
                return run
        if ask.method == "policy":
            raise RunError(
                f"no finished run has a policy for base {base} and data {self.data.name!r}; "
                f"train one with aimat design --base {base}, or take another method"
            )
        return None

    def _fits(self, run: FinishedRun, base: str) -> bool:
        record = run.record
        try:
            same_data = record["data"]["checksum"] == self.data.checksum
            settings = EnvSettings.model_validate(record["settings"]["env"])
            return same_data and settings.mode == "simplex" and base in asked_bases(run.base, self.problem)
        except (KeyError, TypeError, ValueError, ProblemError):  # of another release: not for us
            return False

    def _actor(self, run: FinishedRun) -> Any:
        """The policy of a run: RLlib's own files, written by its owner.

        Raises:
            RunError: They can't be read.
        """
        from aimat_ray.rl.td3 import load_actor

        checkpoint = run.last_checkpoint
        assert checkpoint is not None
        with self._lock:
            key = (run.run_id, checkpoint)
            if key not in self._actors:
                try:
                    self._actors[key] = load_actor(checkpoint)
                except Exception as error:  # another release's files, or half of them; paths are not told
                    log.warning("the policy of run %s can't be read: %s", run.run_id, error)
                    raise RunError(f"the policy of run {run.run_id} can't be read ({type(error).__name__})") from error
            return self._actors[key]


class Timed:
    """A surrogate with an end: it refuses to answer after its time.

    Args:
        surrogate: Who answers.
        limit_s: For how long.
    """

    def __init__(self, surrogate: Predictor, limit_s: float) -> None:
        self._surrogate = surrogate
        self._limit_s = limit_s
        self._end = time.monotonic() + limit_s

    @property
    def version(self) -> str:
        """Version of the surrogate that answers."""
        return self._surrogate.version

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict a batch.

        Raises:
            DesignTimeError: The time is over.
        """
        if time.monotonic() > self._end:
            raise DesignTimeError(f"the design took more than {self._limit_s:g} s; ask with a smaller budget")
        return self._surrogate.predict(at_frac)

    def affordable(self, budget: int, n_elements: int) -> int:
        """The budget, or what of it this machine predicts in its share of the time now."""
        rows = np.resize(canary_rows(n_elements), (_PROBE_ROWS, n_elements))
        began = time.monotonic()
        self.predict(rows)
        per_row = (time.monotonic() - began) / len(rows)
        return int(min(budget, max(_SEARCH_SHARE * self._limit_s / max(per_row, 1e-9), _PROBE_ROWS)))


def merge(answers: list[Improvements], n_designs: int) -> tuple[Improvements, tuple[str, ...]]:
    """Answers to one question by several methods as one list, and the method behind each design.

    Confirmed designs first, then those in the domain; within these the first of each method, the second, and so on.
    """
    found = [(design, answer.method, place) for answer in answers for place, design in enumerate(answer.designs)]
    found.sort(key=lambda item: (not item[0].confirmed, not item[0].in_domain, item[2]))
    if found:
        order = -np.arange(len(found), dtype=np.float64)
        at_frac = np.stack([design.at_frac for design, _, _ in found])
        kept = distinct_rows(at_frac, order, n_designs, within_at_pct=_DISTINCT_AT_PCT)
        found = [found[row] for row in kept]
    designs = tuple(design for design, _, _ in found)
    first = answers[0]
    merged = Improvements(
        **{
            **vars(first),
            "designs": designs,
            "nearest_miss": None if designs else _nearest_miss(answers),
            "n_found": sum(answer.n_found for answer in answers),
            "predictions": sum(answer.predictions for answer in answers),
        }
    )
    return merged, tuple(method for _, method, _ in found)


def _nearest_miss(answers: list[Improvements]) -> ImprovedAlloy | None:
    return next((answer.nearest_miss for answer in answers if answer.nearest_miss is not None), None)


class LocalDesigner:
    """Surrogates in this process, one question at a time, in a thread.

    Args:
        desk: Who designs.
        surrogate: Predicts.
        judge: Confirms; None leaves that out.
    """

    def __init__(self, desk: DesignDesk, surrogate: Predictor, judge: Predictor | None = None) -> None:
        self._desk, self._surrogate, self._judge = desk, surrogate, judge
        self._lock = threading.Lock()

    async def design(self, ask: DesignAsk) -> DesignAnswer:
        """See `Designer`."""
        return await asyncio.to_thread(self._design, ask)

    def _design(self, ask: DesignAsk) -> DesignAnswer:
        with self._lock:
            return self._desk.design(ask, self._surrogate, self._judge)


class ServeDesigner:
    """The `Designer` deployment.

    Args:
        handle: Its handle.
        timeout_s: How long one question may take, waiting included.
    """

    def __init__(self, handle: Any, timeout_s: float = TIME_LIMIT_S + 15.0) -> None:
        self._handle = handle
        self._timeout_s = timeout_s

    async def design(self, ask: DesignAsk) -> DesignAnswer:
        """See `Designer`.

        Raises:
            OverloadError: It has too many questions already.
            ServiceError: The deployment is gone, or too slow.
        """
        try:
            answer: DesignAnswer = await asyncio.wait_for(_wait(self._handle.design.remote(ask)), self._timeout_s)
        except AimatError:
            raise
        except TimeoutError:
            raise DesignTimeError(f"no design within {self._timeout_s:g} s: too many ask; try again later") from None
        except Exception as error:  # Ray and Serve raise many kinds
            raise _meaning(error) from error
        return answer


async def _wait(response: Any) -> Any:
    return await response


def _meaning(error: Exception) -> AimatError:
    """The error of this package behind one of Ray's, or the news that the deployment is not available."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, AimatError):
        return cause
    if isinstance(error, AimatError):
        return error
    if type(error).__name__ == "BackPressureError":
        return OverloadError("too many designs are being made; try again later")
    return ServiceError(f"designs are not available ({type(error).__name__})")
