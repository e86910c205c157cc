"""Designs around one alloy: compositions that are better than it in what a wish says, within the change it allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aimat_ray.config import EnvSettings
from aimat_ray.data.composition import format_formula
from aimat_ray.data.improvement import Improvement
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.windows import majority
from aimat_ray.env.episodes import Chooser, CountingPredictor, run_episodes, settle
from aimat_ray.env.goals import GoalBatch
from aimat_ray.env.legality import MIN_ELEMENTS, MIN_FRACTION, FloatArray, Limits
from aimat_ray.env.safety import robust_margin
from aimat_ray.env.task import DesignTask, make_task
from aimat_ray.env.walk import WalkState, move
from aimat_ray.errors import ConfigError, ProblemError
from aimat_ray.prediction import Predictor
from aimat_ray.problem import DesignProblem
from aimat_ray.search.archive_build import HitCollector, join
from aimat_ray.search.controls import GREEDY_CANDIDATES, Greedy, LocalSearch
from aimat_ray.search.design import check_search
from aimat_ray.search.evolution import EvolutionSettings, evolve
from aimat_ray.search.merit import Candidates, merit_of
from aimat_ray.search.steering import steer

METHODS = ("evolution", "greedy", "local")

_WALK_STEPS = 24  # a start-relative goal lies a few steps away, or nowhere
_SETTLE_STEPS = 12
_MOST_WALKS = 32
_POPULATION, _MOST_POPULATIONS, _LEAST_GENERATIONS = 36, 6, 8
_MOST_DESIGNS = 200
_MOST_PATH_STEPS = 40


@dataclass(frozen=True, slots=True)
class StartGoals:
    """Goals that follow from each start's own quantities."""

    wish: Improvement
    problem: DesignProblem

    def draw(self, base: NDArray[np.intp], start_quantities: FloatArray, rng: np.random.Generator) -> GoalBatch:
        """Turn the starts' predictions into bounds; nothing is random."""
        at_least, at_most = self.wish.bounds(self.problem, start_quantities)
        return GoalBatch(at_least, at_most, np.full(len(base), self.wish.max_change_at_pct / 100))


@dataclass(frozen=True, slots=True)
class Around:
    """What a search around an alloy found.

    Attributes:
        start: The alloy as a walk of zero steps, [1].
        designs: Different compositions that fulfil the wish, [N], possibly none.
        nearest: The composition that came nearest to fulfilling it, [1]; one of the best designs where there are any.
        predictions: Predictions spent.
    """

    start: WalkState
    designs: WalkState
    nearest: WalkState
    predictions: int


def task_around(
    problem: DesignProblem, data: AlloyData, at_frac: FloatArray, wish: Improvement, settings: EnvSettings
) -> DesignTask:
    """The task of improving one alloy: the window of its base, widened where the alloy itself lies outside.

    Args:
        problem: The design problem.
        data: Measured alloys.
        at_frac: The alloy, [E].
        wish: What shall improve.
        settings: Of the environment, in `simplex` mode.

    Raises:
        ProblemError: The alloy has too few elements, or its base has no window in the data.
        ConfigError: The settings are of another mode.
    """
    if settings.mode != "simplex":
        raise ConfigError("improving an alloy works in mode 'simplex'; mode 'paper' can't stay near the start")
    formula = format_formula(at_frac, problem.elements)
    present = at_frac >= MIN_FRACTION
    if present.sum() < MIN_ELEMENTS:
        raise ProblemError(
            f"{formula}: expected an alloy of at least {MIN_ELEMENTS} elements, got {present.sum()}; "
            "designs have at least that many"
        )
    base = _base_of(problem, data, at_frac, formula)
    task = make_task(problem, data, (base,), StartGoals(wish, problem), settings)
    window = task.windows
    return replace(
        task,
        windows=Limits(
            lower=np.minimum(window.lower, at_frac),
            upper=np.maximum(window.upper, at_frac),
            base=window.base,
            max_elements=np.maximum(window.max_elements, present.sum()),
        ),
    )


def _base_of(problem: DesignProblem, data: AlloyData, at_frac: FloatArray, formula: str) -> str:
    """The majority element; of several equal ones the first that the data have a window for."""
    largest = [problem.elements[i] for i in np.flatnonzero(majority(at_frac[None])[0])]
    for base in largest:
        if base in data.windows and base in problem.bases:
            return base
    raise ProblemError(
        f"{formula}: its base {largest[0]} has no window in data {data.name!r}; "
        f"bases with a window: {' '.join(data.windows)}"
    )


def start_at(task: DesignTask, predictor: Predictor, at_frac: FloatArray) -> WalkState:
    """The alloy as a walk that has not moved yet.

    Raises:
        ProblemError: The surrogate does not see it in the feasible class.
    """
    prediction = predictor.predict(at_frac[None])
    spec, formula = task.problem.feasibility, format_formula(at_frac, task.problem.elements)
    p = float(prediction.p_feasible[0])
    if not p >= spec.threshold:
        raise ProblemError(
            f"{formula}: the surrogate does not see it as {spec.positive} ({spec.key} {p:.2f}, needed "
            f"{spec.threshold:g}); improving starts from an alloy of that class"
        )
    base = np.zeros(1, dtype=np.intp)
    goals = task.goals.draw(base, task.judged(prediction), np.random.default_rng(0))
    return WalkState(at_frac[None].copy(), at_frac[None].copy(), base, np.zeros(1, dtype=np.intp), goals, prediction)


def search_around(
    task: DesignTask, predictor: Predictor, start: WalkState, method: str, budget: int, rng: np.random.Generator
) -> Around:
    """Search for designs that fulfil the wish behind the task.

    Args:
        task: From `task_around`.
        predictor: The surrogate.
        start: From `start_at`, [1].
        method: evolution, greedy or local.
        budget: Predictions to spend; a batch that is under way is finished.
        rng: Source of randomness.

    Raises:
        ConfigError: Unknown method, or no budget.
    """
    check_search(method, METHODS, budget)
    counter = CountingPredictor(predictor)
    if method == "evolution":
        return _evolve_around(task, counter, start, budget, rng)
    choose = Greedy(task, counter) if method == "greedy" else LocalSearch(task, counter)
    per_step = GREEDY_CANDIDATES if method == "greedy" else 1
    walks = np.clip(budget // (per_step * (_WALK_STEPS + _SETTLE_STEPS)), 1, _MOST_WALKS)
    return walk_around(task, counter, start, choose, int(walks), rng)


def walk_around(
    task: DesignTask,
    counter: CountingPredictor,
    start: WalkState,
    choose: Chooser,
    n_walks: int,
    rng: np.random.Generator,
) -> Around:
    """Let a chooser walk from the alloy, then on to where the wish is fulfilled most safely.

    Args:
        task: From `task_around`.
        counter: The surrogate; `choose` must ask the same counter.
        start: From `start_at`, [1].
        choose: Decides the actions: a search, or a policy.
        n_walks: Walks from the same start; a chooser without randomness needs only one.
        rng: Passed on to `choose`.
    """
    walks = start.rows(np.zeros(n_walks, dtype=np.intp))
    episodes = run_episodes(task, counter, walks, choose, rng, max_steps=_WALK_STEPS)
    designs = episodes.final.rows(episodes.goal)
    if len(designs):
        designs = join([designs, settle(task, counter, designs, choose, rng, _SETTLE_STEPS)])
    nearest = _best(task, join([start, episodes.final]))
    return Around(start, designs, nearest, counter.n_predictions)


def _evolve_around(
    task: DesignTask, counter: CountingPredictor, start: WalkState, budget: int, rng: np.random.Generator
) -> Around:
    """Some populations from the same start; every other one goes on from fulfilled to safely fulfilled."""
    n = int(np.clip(budget // (_LEAST_GENERATIONS * _POPULATION), 1, _MOST_POPULATIONS))
    collector = HitCollector(task)

    def bonus(found: Candidates, walks: NDArray[np.intp]) -> FloatArray:
        wanted = found.verdict.goal & (walks % 2 == 0)
        return np.where(wanted, robust_margin(task.problem, found.state.prediction, found.state.goals), 0.0)

    settings = EvolutionSettings(_POPULATION, max(budget // (n * _POPULATION), 1), stop_at_goal=False)
    walks = start.rows(np.zeros(n, dtype=np.intp))
    evolved = evolve(task, counter, walks, rng, settings, watch=collector.watch, bonus=bonus)
    designs = collector.chosen(_MOST_DESIGNS) if evolved.goal.any() else start.rows(np.zeros(0, dtype=np.intp))
    return Around(start, designs, _best(task, evolved.best), counter.n_predictions)


def _best(task: DesignTask, walks: WalkState) -> WalkState:
    return walks.rows(np.array([merit_of(task, walks).argmax()]))


def straight_path(task: DesignTask, start: WalkState, target: FloatArray) -> FloatArray:
    """Compositions on the way from a start to a design, in steps that a walk may take, [T, E], both ends included.

    Args:
        task: What is designed.
        start: The start, [1].
        target: The design, [E], legal in the task.

    Returns:
        The walk's compositions; it ends before the target in the rare case that the straight walk stalls.
    """
    path, state = [start.at_frac[0]], start
    for _ in range(_MOST_PATH_STEPS):
        if np.abs(state.at_frac[0] - target).max() <= 1e-6:
            break
        state = replace(state, at_frac=move(task, state, steer(task, state, target[None])))
        path.append(state.at_frac[0])
    return np.stack(path)
