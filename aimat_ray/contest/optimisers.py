"""Contestants from libraries: NSGA-II (pymoo) and CMA-ES (cma), on the amounts of the elements that a base admits.

Both propose vectors in the unit cube; `Decoder` makes a legal composition of each, so that they need not learn what an
alloy is. Packages are imported where they are used.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from aimat_ray.contest.game import Game
from aimat_ray.contest.searches import bases
from aimat_ray.env.goals import GoalBatch, satisfaction
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.start import sample_starts
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, limits_of
from aimat_ray.errors import ConfigError
from aimat_ray.prediction import Prediction
from aimat_ray.search.evolution import fit_into
from aimat_ray.search.merit import merit_of

_POPULATION = 100  # pymoo's own default
_SIGMA = 0.25  # of the unit cube
_BEYOND = 1.5  # objectives grow up to this multiple of their bound


def need(package: str) -> ConfigError:
    """What to say where an optional package is missing."""
    return ConfigError(f"the contest needs {package}; install it with: pip install 'aimat-ray[search]'")


class Decoder:
    """Unit cube to legal compositions of the task's base.

    Args:
        task: What is designed.
        rng: Draws the composition that stands in where a vector can't be made legal.
    """

    def __init__(self, task: DesignTask, rng: np.random.Generator) -> None:
        limits = limits_of(task, bases(1))
        self._task, self.n_elements = task, len(task.problem.elements)
        self.columns = np.flatnonzero(limits.upper[0] > 0)
        self._upper = limits.upper[0, self.columns]
        fallback = np.zeros((0, self.n_elements))
        while len(fallback) == 0:
            fallback, _ = sample_starts(limits_of(task, bases(16)), rng)
        self._fallback = fallback[:1]

    @property
    def size(self) -> int:
        """Length of a vector."""
        return len(self.columns)

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """Compositions, [N, E]: amounts in proportion to the vectors, the smallest left out where they are too many."""
        wanted = np.zeros((len(vectors), self.n_elements))
        amounts = np.clip(vectors, 0.0, 1.0) * self._upper
        wanted[:, self.columns] = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-9)
        otherwise = np.repeat(self._fallback, len(vectors), axis=0)
        return fit_into(wanted, limits_of(self._task, bases(len(vectors))), otherwise)

    def encode(self, at_frac: FloatArray) -> FloatArray:
        """Vectors of compositions, [N, D]."""
        return np.asarray(at_frac[:, self.columns] / self._upper)


def goals_of(task: DesignTask, n: int) -> GoalBatch:
    """The fixed goal of the base, for `n` rows."""
    quantities = np.zeros((n, len(task.problem.quantity_keys)))
    return task.goals.draw(bases(n), quantities, np.random.default_rng(0))


def objectives(task: DesignTask, prediction: Prediction) -> FloatArray:
    """One column per asked quantity, larger is better: its value over a lower bound, or its satisfaction, [N, M]."""
    goals = goals_of(task, len(prediction.p_feasible))
    quantities = task.judged(prediction)
    lower = np.isfinite(goals.at_least)
    with np.errstate(invalid="ignore"):
        ratio = np.where(lower, quantities / np.where(lower, goals.at_least, 1.0), satisfaction(quantities, goals))
    asked = np.flatnonzero(goals.asked[0]) if len(quantities) else np.zeros(0, dtype=np.intp)
    return np.nan_to_num(np.clip(ratio[:, asked], -1.0, _BEYOND), nan=-1.0)


def infeasibility(task: DesignTask, prediction: Prediction) -> FloatArray:
    """Positive where the class is wrong, or, where goals are robust, outside the domain, [N]."""
    lacking = np.asarray(task.problem.feasibility.threshold - prediction.p_feasible)
    return np.where(prediction.in_domain, lacking, 1.0) if task.settings.reward.robust else lacking


def nsga2(task: DesignTask, game: Game) -> None:
    """NSGA-II on the asked quantities, the feasible class as a constraint, with the library's defaults."""
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.optimize import minimize
    except ImportError as error:
        raise need("pymoo") from error
    decode = Decoder(task, game.rng)
    n_objectives = max(int(goals_of(task, 1).asked.sum()), 1)

    class Alloys(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=decode.size, n_obj=n_objectives, n_ieq_constr=1, xl=0.0, xu=1.0)

        def _evaluate(self, x: FloatArray, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            prediction = game.meter.predict(decode(np.asarray(x)))
            out["F"] = -objectives(task, prediction)
            out["G"] = infeasibility(task, prediction)[:, None]

    first, _ = sample_starts(limits_of(task, bases(4 * _POPULATION)), game.rng)
    minimize(
        Alloys(), NSGA2(pop_size=_POPULATION, sampling=decode.encode(first[:_POPULATION])),
        ("n_gen", 2 + game.budget // _POPULATION), seed=int(game.rng.integers(2**31)), verbose=False,
    )  # fmt: skip


def cma_es(task: DesignTask, game: Game) -> None:
    """CMA-ES on the merit that local search climbs, from random alloys, started again whenever it has converged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import cma
    except ImportError as error:
        raise need("cma") from error
    decode = Decoder(task, game.rng)
    while True:
        start = np.zeros((0, decode.n_elements))
        while len(start) == 0:
            start, _ = sample_starts(limits_of(task, bases(8)), game.rng)
        options = {"bounds": [0, 1], "seed": int(game.rng.integers(1, 2**31)), "verbose": -9}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            es = cma.CMAEvolutionStrategy(np.clip(decode.encode(start[:1])[0], 0.01, 0.99), _SIGMA, options)
            while not es.stop():
                vectors = es.ask()
                es.tell(vectors, (-merits(task, game, decode(np.array(vectors)))).tolist())


def merits(task: DesignTask, game: Game, at_frac: FloatArray) -> FloatArray:
    """Merit of compositions, [N], each paid for."""
    prediction = game.meter.predict(at_frac)
    base = bases(len(at_frac))
    return merit_of(task, WalkState(at_frac, at_frac, base, base, goals_of(task, len(at_frac)), prediction))
