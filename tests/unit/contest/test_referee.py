"""The referee believes nobody: methods that only look good rank last."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aimat_ray.contest.closed_form import TARGET, FormulaPredictor
from aimat_ray.contest.game import BudgetSpentError, Game
from aimat_ray.contest.notebook import Notebook
from aimat_ray.contest.play import judged
from aimat_ray.contest.referee import Referee
from aimat_ray.contest.searches import bases, local_search
from aimat_ray.data.composition import from_mapping
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.start import sample_starts
from aimat_ray.env.walk import limits_of
from aimat_ray.prediction import Prediction

POINTS = (500, 2_000)
LIST = 32


class OutsideIsBest(FormulaPredictor):
    """A training surrogate that praises alloys rich in silver, far from what was ever measured."""

    def predict(self, at_frac: FloatArray) -> Prediction:
        honest = super().predict(at_frac)
        silver = at_frac[:, -1] > 0.1
        mean = np.where(silver[:, None], 100.0, honest.mean)
        return replace(honest, mean=mean, lower=mean, upper=mean, in_domain=~silver)


def start_draws(bench: Any, game: Game, n: int) -> FloatArray:
    drawn, _ = sample_starts(limits_of(bench.task, bases(n)), game.rng)
    return drawn


def repeat_one_start(bench: Any, game: Game) -> None:
    """Restarts until a start happens to be at the goal, and calls that one alloy a list of successes."""
    drawn = start_draws(bench, game, POINTS[0])
    quality = game.meter.predict(drawn[: POINTS[0]]).mean[:, 0]
    jitter = game.rng.uniform(-1e-3, 1e-3, (LIST, drawn.shape[1]))
    lucky = np.repeat(drawn[[quality.argmax()]], LIST, axis=0)
    near = np.clip(lucky + jitter * (lucky > 0), 0, None)
    for point in POINTS:
        game.hand_in(point, near / near.sum(axis=1, keepdims=True))


def leave_the_domain(bench: Any, game: Game) -> None:
    """Goes where the surrogate answers nonsense that looks best."""
    drawn = start_draws(bench, game, 4 * POINTS[0])
    silver = drawn[drawn[:, -1] > 0.12]
    for point in POINTS:
        game.hand_in(point, silver)


def claim_goals(bench: Any, game: Game) -> None:
    """Hands in whatever it started from and says that it is at the goal."""
    drawn = start_draws(bench, game, 4 * LIST)
    quality = bench.predictor.truth.truth(drawn)[:, 0]
    for point in POINTS:
        game.hand_in(point, drawn[np.argsort(quality)])


def honest(bench: Any, game: Game) -> None:
    with pytest.raises(BudgetSpentError):
        local_search(bench.task, game)


@pytest.mark.parametrize("truth_known", [True, False])
def test_who_restarts_repeats_leaves_the_domain_or_claims_goals_ranks_last(
    formula_bench: Any, truth_known: bool
) -> None:
    predictor = OutsideIsBest(formula_bench.predictor.truth)
    bench = SimpleNamespace(**vars(formula_bench) | {"predictor": predictor, "judge": predictor})
    if not truth_known:  # even a judge who shares the mistake: outside the domain nothing counts
        bench.data = SimpleNamespace(oracle=None, synthetic=False)
    hits = {}
    for method in (honest, repeat_one_start, leave_the_domain, claim_goals):
        game = Game(bench.predictor, Notebook(bench.task), POINTS, LIST, seed=0)
        method(bench, game)
        hits[method.__name__] = judged(game, Referee(bench))[-1]["hits"]
    assert hits["honest"] == LIST
    assert hits["repeat_one_start"] <= 1
    assert hits["leave_the_domain"] == hits["claim_goals"] == 0
    assert max(hits, key=lambda name: hits[name]) == "honest"


def test_the_ledger_of_a_list_worked_by_hand(formula_bench: Any) -> None:
    elements = formula_bench.problem.elements
    target = TARGET
    alloys = [
        target,  # 100 %: true
        {"Zr": 50, "Cu": 27.5, "Al": 12, "Ni": 10.5},  # the same at 1 at%
        {"Zr": 52, "Cu": 26, "Al": 12, "Ni": 10},  # 2 at% away: another one; 100 - 100 x 0.0008 / 0.1225 = 99.3 %
        {"Zr": 60, "Cu": 20, "Al": 10, "Ni": 10},  # 100 - 100 x 0.0168 / 0.1225 = 86.3 %: below 95 %
        {"Cu": 60, "Zr": 40},  # two elements, and the base is not the largest: no alloy of this base
        {"Zr": 85, "Cu": 10, "Al": 5},  # legal, outside the window (Zr up to 80)
    ]
    row = Referee(formula_bench).judge(np.array([from_mapping(alloy, elements) for alloy in alloys]))
    assert (row["n"], row["legal"], row["window"], row["feasible"]) == (6, 5, 4, 5)
    assert (row["thresholds"], row["confirmed"], row["true"]) == (3, 3, 3)
    assert (row["distinct_true"], row["families_true"], row["systems_true"], row["hits"]) == (2, 1, 1, 2)
    assert row["sr_legal"] == pytest.approx(5 / 6)
    assert row["hypervolume"] == pytest.approx(100 / 95 / 1.5)


def test_an_empty_list_has_no_hits(formula_bench: Any) -> None:
    row = Referee(formula_bench).judge(np.zeros((0, 6)))
    assert (row["n"], row["hits"], row["hypervolume"], row["sr_goal"]) == (0, 0, 0.0, None)
