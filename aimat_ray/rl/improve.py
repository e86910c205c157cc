"""Improving a given alloy: the function behind `aimat improve` and the design endpoint.

    wish = parse_improvement(problem, raised=["yield_strength_mpa=10%"], kept=["dmax_mm"], max_change_at_pct=8)
    result = improve_alloy(data, problem, surrogate, judge, parse_formula("Zr65Cu15Al10Ni10", problem.elements), wish)
    result.as_dict()

Nothing is started or stored: it takes surrogates that are at hand and answers in seconds. See improve-design.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.config import EnvSettings
from aimat_ray.data.composition import format_formula, round_at_pct, to_at_pct
from aimat_ray.data.improvement import Improvement
from aimat_ray.data.sources import AlloyData
from aimat_ray.env.episodes import Chooser, CountingPredictor
from aimat_ray.env.goals import goal_margin, thresholds_met
from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import exchanged
from aimat_ray.env.walk import WalkState, judge
from aimat_ray.prediction import DomainReason, Prediction, Predictor
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.ledger import nearest_at_pct, within_change
from aimat_ray.search.archive_build import join
from aimat_ray.search.controls import LocalSearch
from aimat_ray.search.diversity import distinct_rows
from aimat_ray.search.improve import Around, search_around, start_at, straight_path, task_around, walk_around

DEFAULT_METHOD = "evolution"
DEFAULT_BUDGET = 8_000
_LED_WALKS = 24  # local searches that a policy leads, beside its one deterministic walk
_DISTINCT_AT_PCT = 2.0  # designs of one answer differ by more in some element


@dataclass(frozen=True)
class ImprovedAlloy:
    """One alloy of an answer: the start, or a design.

    Attributes:
        formula: Composition at 0.1 at%.
        at_frac: The same as fractions, [E].
        change_at_pct: Share of atoms exchanged since the start, at%.
        moves: Change of each element that changed, at%.
        path: Formulas on the straight way from the start, in steps of at most 5 at% per element; both ends included.
        path_feasible: Whether the surrogate sees each of them in the feasible class.
        p_feasible: Probability of the feasible class.
        quantities: Per quantity: value, lower and upper end of the 90 % interval (derived quantities have none),
            difference to the start, and the judge's value and difference where there is a judge.
        fulfils: Whether the surrogate sees the wish fulfilled.
        confirmed: Whether the judge, starting from its own opinion of the start, sees it fulfilled too; None without
            a judge.
        in_domain: Whether the surrogate may be believed here.
        domain_reason: Why, or why not.
        nearest_formula: The nearest measured alloy.
        nearest_distance_at_pct: Its distance, at% exchanged.
        nearest_measured: What was measured of it, per property.
    """

    formula: str
    at_frac: FloatArray
    change_at_pct: float
    moves: dict[str, float]
    path: tuple[str, ...]
    path_feasible: tuple[bool, ...]
    p_feasible: float
    quantities: dict[str, dict[str, float | None]]
    fulfils: bool
    confirmed: bool | None
    in_domain: bool
    domain_reason: str
    nearest_formula: str
    nearest_distance_at_pct: float
    nearest_measured: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: value for name, value in vars(self).items() if name != "at_frac"}


@dataclass(frozen=True)
class Improvements:
    """The answer to a wish.

    Attributes:
        base: Base element.
        wish: What was asked.
        start: The alloy as it is.
        designs: Designs that fulfil the wish, confirmed ones first, then by the margin that surrogate and judge leave.
        nearest_miss: What came nearest where nothing fulfils it; None otherwise.
        n_found: Different designs found, before the list was cut.
        predictions: Predictions spent.
        method: How they were searched.
        surrogate_version: Who predicted.
        judge_version: Who confirmed; None without a judge.
        synthetic: Whether all of this is about a made-up world.
    """

    base: str
    wish: Improvement
    start: ImprovedAlloy
    designs: tuple[ImprovedAlloy, ...]
    nearest_miss: ImprovedAlloy | None
    n_found: int
    predictions: int
    method: str
    surrogate_version: str
    judge_version: str | None
    synthetic: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "base": self.base,
            "wish": self.wish.describe(),
            "max_change_at_pct": self.wish.max_change_at_pct,
            "start": self.start.as_dict(),
            "designs": [{"rank": rank} | design.as_dict() for rank, design in enumerate(self.designs, start=1)],
            "nearest_miss": self.nearest_miss.as_dict() if self.nearest_miss else None,
            "n_found": self.n_found,
            "predictions": self.predictions,
            "method": self.method,
            "surrogate_version": self.surrogate_version,
            "judge_version": self.judge_version,
            "synthetic": self.synthetic,
        }


def improve_alloy(
    data: AlloyData,
    problem: DesignProblem,
    surrogate: Predictor,
    judge_model: Predictor | None,
    at_frac: FloatArray,
    wish: Improvement,
    *,
    method: str = DEFAULT_METHOD,
    budget: int = DEFAULT_BUDGET,
    n_designs: int = 5,
    seed: int = 0,
    policy: Any = None,
    settings: EnvSettings | None = None,
) -> Improvements:
    """Design alloys that are better than a given one, near it.

    Args:
        data: Measured alloys: windows, and the nearest measured neighbours.
        problem: The design problem.
        surrogate: Predicts.
        judge_model: An independent surrogate, used only to confirm; None leaves that out.
        at_frac: The alloy to improve, [E].
        wish: What shall improve, from `parse_improvement`.
        method: evolution, greedy or local; not used with a policy.
        budget: Predictions that a search may spend.
        n_designs: Longest list of designs.
        seed: The same seed gives the same answer.
        policy: A trained actor (rl.policy.Policy.actor) that walks instead of a search.
        settings: Environment of the policy's run; defaults otherwise.

    Raises:
        ProblemError: The alloy has too few elements, its base has no window, or the surrogate does not see it in the
            feasible class.
        ConfigError: Unknown method, no budget, or a policy of another kind of environment.
    """
    task = task_around(problem, data, at_frac, wish, settings or EnvSettings())
    start = start_at(task, surrogate, at_frac)
    rng = np.random.default_rng([seed, 31])
    if policy is None:
        found = search_around(task, surrogate, start, method, budget, rng)
    else:
        method, found = "policy", _policy_walks(task, surrogate, start, policy, rng)
    opinion = _Opinion(task, data, start, judge_model)
    designs, spent = _rounded(task, surrogate, found.designs)
    ranked = designs.rows(opinion.ranking(designs))
    miss, more = _rounded(task, surrogate, found.nearest, keep_all=True)
    return Improvements(
        base=task.bases[0],
        wish=wish,
        start=opinion.alloys(start, surrogate)[0],
        designs=tuple(opinion.alloys(ranked.rows(np.arange(min(n_designs, len(ranked)))), surrogate)),
        nearest_miss=None if len(ranked) else opinion.alloys(miss, surrogate)[0],
        n_found=len(ranked),
        predictions=found.predictions + spent + more,
        method=method,
        surrogate_version=start.prediction.version,
        judge_version=None if judge_model is None else judge_model.version,
        synthetic=data.synthetic,
    )


def _policy_walks(
    task: DesignTask, surrogate: Predictor, start: WalkState, actor: Any, rng: np.random.Generator
) -> Around:
    """The deterministic policy once, and local searches that it leads."""
    from aimat_ray.rl.methods import led_moves
    from aimat_ray.rl.policy import Policy

    counter, policy = CountingPredictor(surrogate), Policy(task, actor)
    led = LocalSearch(task, counter, proposer=led_moves(policy, None))
    choosers: list[tuple[Chooser, int]] = [(policy, 1), (led, _LED_WALKS)]
    walks = [walk_around(task, counter, start, choose, n, rng) for choose, n in choosers]
    designs = join([found.designs for found in walks])
    best = max((found.nearest for found in walks), key=lambda state: bool(judge(task, state).goal[0]))
    return Around(start, designs, best, counter.n_predictions)


def _rounded(task: DesignTask, surrogate: Predictor, walks: WalkState, keep_all: bool = False) -> tuple[WalkState, int]:
    """Walks at compositions that can be weighed in, those that still fulfil the wish; and the predictions spent."""
    if len(walks) == 0:
        return walks, 0
    at_frac = round_at_pct(walks.at_frac, 1)
    rounded = replace(walks, at_frac=at_frac, prediction=surrogate.predict(at_frac))
    still = judge(task, rounded).goal | keep_all
    return rounded.rows(still), len(walks)


class _Opinion:
    """What surrogate, judge and measured alloys say about compositions near one start."""

    def __init__(self, task: DesignTask, data: AlloyData, start: WalkState, judge_model: Predictor | None) -> None:
        self.task, self.start, self.judge = task, start, judge_model
        self.problem = task.problem
        self.measured = data.regression
        self.judged_start = None if judge_model is None else judge_model.predict(start.at_frac)

    def ranking(self, walks: WalkState) -> NDArray[np.intp]:
        """Rows of different designs, confirmed ones first, then by margin."""
        if len(walks) == 0:
            return np.zeros(0, dtype=np.intp)
        margin = goal_margin(self._quantities(walks.prediction), walks.goals)
        confirmed = np.zeros(len(walks), dtype=bool)
        if self.judge is not None:
            verdict, judged_margin = self._judged(walks, self.judge.predict(walks.at_frac))
            confirmed, margin = verdict, np.minimum(margin, judged_margin)
        believed = walks.prediction.in_domain.astype(float)
        # Margins are well below 1, so that each criterion only decides where the one before it does not.
        return distinct_rows(
            walks.at_frac, 20.0 * confirmed + 10.0 * believed + np.clip(margin, -1, 1), within_at_pct=_DISTINCT_AT_PCT
        )

    def alloys(self, walks: WalkState, surrogate: Predictor) -> list[ImprovedAlloy]:
        """Everything there is to say about each."""
        if len(walks) == 0:
            return []
        judged = None if self.judge is None else self.judge.predict(walks.at_frac)
        confirmed = None if judged is None else self._judged(walks, judged)[0]
        distance, row = nearest_at_pct(walks.at_frac, self.measured.at_frac)
        fulfils = judge(self.task, walks).goal
        return [
            self._alloy(walks, i, judged, surrogate, bool(fulfils[i]), confirmed, float(distance[i]), int(row[i]))
            for i in range(len(walks))
        ]

    def _judged(self, walks: WalkState, judged: Prediction) -> tuple[BoolArray, FloatArray]:
        """Whether the judge sees the wish fulfilled as compared with its own start, and by which margin."""
        assert self.judged_start is not None
        start = np.repeat(self._quantities(self.judged_start), len(walks), axis=0)
        goals = self.task.goals.draw(walks.base, start, np.random.default_rng(0))
        quantities = self._quantities(judged)
        feasible = judged.p_feasible >= self.problem.feasibility.threshold
        met = thresholds_met(quantities, goals).all(axis=1) & within_change(walks)
        return feasible & met, goal_margin(quantities, goals)

    def _quantities(self, prediction: Prediction) -> FloatArray:
        return self.problem.with_derived(prediction.mean)

    def _alloy(
        self,
        walks: WalkState,
        i: int,
        judged: Prediction | None,
        surrogate: Predictor,
        fulfils: bool,
        confirmed: BoolArray | None,
        distance: float,
        nearest: int,
    ) -> ImprovedAlloy:
        elements, prediction = self.problem.elements, walks.prediction
        at_frac = walks.at_frac[i]
        moved = to_at_pct(at_frac - self.start.at_frac[0])
        path = straight_path(self.task, self.start, at_frac)
        feasible = surrogate.predict(path).p_feasible >= self.problem.feasibility.threshold
        return ImprovedAlloy(
            formula=format_formula(at_frac, elements),
            at_frac=at_frac,
            change_at_pct=round(100 * float(exchanged(at_frac[None], self.start.at_frac)[0]), 2),
            moves={elements[e]: round(float(moved[e]), 2) for e in np.argsort(-moved) if abs(moved[e]) >= 0.005},
            path=tuple(format_formula(x, elements) for x in path),
            path_feasible=tuple(bool(flag) for flag in feasible),
            p_feasible=round(float(prediction.p_feasible[i]), 4),
            quantities=self._estimates(prediction.rows(slice(i, i + 1)), judged and judged.rows(slice(i, i + 1))),
            fulfils=fulfils,
            confirmed=None if confirmed is None else bool(confirmed[i]),
            in_domain=bool(prediction.in_domain[i]),
            domain_reason=DomainReason(int(prediction.reason[i])).name.lower(),
            nearest_formula=format_formula(self.measured.at_frac[nearest], elements),
            nearest_distance_at_pct=round(distance, 2),
            nearest_measured={
                spec.key: float(value)
                for spec, value in zip(self.problem.properties, self.measured.values[nearest], strict=True)
                if np.isfinite(value)
            },
        )

    def _estimates(self, own: Prediction, judged: Prediction | None) -> dict[str, dict[str, float | None]]:
        """Per quantity: value, interval and difference to the start, by surrogate and judge."""
        values, before = self._quantities(own)[0], self._quantities(self.start.prediction)[0]
        table: dict[str, dict[str, float | None]] = {}
        for q, spec in enumerate(self.problem.quantities):
            digits = spec.decimals + 1
            has_interval = q < len(self.problem.properties)
            table[spec.key] = {
                "value": round(float(values[q]), digits),
                "lower": round(float(own.lower[0, q]), digits) if has_interval else None,
                "upper": round(float(own.upper[0, q]), digits) if has_interval else None,
                "difference": round(float(values[q] - before[q]), digits),
            }
            if judged is not None and self.judged_start is not None:
                opinion, judged_before = self._quantities(judged)[0, q], self._quantities(self.judged_start)[0, q]
                table[spec.key] |= {
                    "judge": round(float(opinion), digits),
                    "judge_difference": round(float(opinion - judged_before), digits),
                }
        return table
