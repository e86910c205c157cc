"""Whoever asks pays, once, whatever copies they ask through; lists are made at the points of the budget."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from aimat_ray.contest.game import BudgetSpentError, Game, Meter
from aimat_ray.contest.notebook import Notebook
from aimat_ray.contest.policy_walks import hand_in_walks
from aimat_ray.contest.searches import bases
from aimat_ray.env.start import sample_starts
from aimat_ray.env.walk import limits_of
from aimat_ray.search.controls import RandomAction


def draws(bench: Any, n: int, seed: int = 0) -> np.ndarray:
    drawn, _ = sample_starts(limits_of(bench.task, bases(4 * n)), np.random.default_rng(seed))
    return drawn[:n]


def new_game(bench: Any, points: tuple[int, ...] = (10, 25), list_size: int = 4) -> Game:
    return Game(bench.predictor, Notebook(bench.task), points, list_size, seed=0)


def test_copies_of_a_meter_are_the_meter(formula_bench: Any) -> None:
    meter = Meter(formula_bench.predictor)
    alloys = draws(formula_bench, 5)
    for asked in (meter, copy.deepcopy({"env": meter})["env"], copy.copy(meter)):
        asked.predict(alloys)
    assert meter.n_predictions == 15


def test_a_pickled_meter_is_the_predictor_behind_it(formula_bench: Any) -> None:
    back = pickle.loads(pickle.dumps(Meter(formula_bench.predictor)))
    assert type(back) is type(formula_bench.predictor)


def test_a_batch_across_a_point_is_answered_in_parts_and_the_last_point_ends_the_game(formula_bench: Any) -> None:
    game = new_game(formula_bench)
    alloys = draws(formula_bench, 18)
    answer = game.meter.predict(alloys)
    assert np.array_equal(answer.mean, formula_bench.predictor.predict(alloys).mean)
    assert [(h.point, h.spent) for h in game.hand_ins] == [(10, 10)]
    with pytest.raises(BudgetSpentError):
        game.meter.predict(alloys)
    assert [(h.point, h.spent) for h in game.hand_ins] == [(10, 10), (25, 25)]
    assert game.meter.n_predictions == 25


def test_the_list_at_a_point_knows_nothing_that_was_asked_later(formula_bench: Any) -> None:
    game = new_game(formula_bench, points=(10, 20), list_size=10)
    alloys = draws(formula_bench, 20)
    with pytest.raises(BudgetSpentError):
        game.meter.predict(np.concatenate([alloys, alloys]))
    asked = {row.tobytes() for row in alloys[:10]}
    assert {row.tobytes() for row in game.hand_ins[0].at_frac} <= asked


def test_a_search_that_ends_early_hands_in_what_it_has(formula_bench: Any) -> None:
    game = new_game(formula_bench)
    game.meter.predict(draws(formula_bench, 6))
    game.close()
    assert [(h.point, h.spent, len(h.at_frac)) for h in game.hand_ins] == [(10, 6, 4), (25, 6, 4)]


def test_a_list_is_cut_at_its_allowed_length(formula_bench: Any) -> None:
    game = new_game(formula_bench)
    game.hand_in(10, draws(formula_bench, 9))
    assert len(game.hand_ins[0].at_frac) == 4


def test_the_notebook_gives_different_designs_best_first(formula_bench: Any) -> None:
    notebook = Notebook(formula_bench.task)
    alloys = draws(formula_bench, 40)
    notebook.write(np.concatenate([alloys, alloys]), formula_bench.predictor.predict(np.concatenate([alloys, alloys])))
    best = notebook.best(40)
    gaps = np.abs(best[:, None] - best[None]).max(axis=2) + np.eye(len(best))
    assert gaps.min() > 0.01
    quality = np.clip(formula_bench.predictor.predict(best).mean[:, 0], 0.0, None)  # margins end at -100 %
    assert (np.diff(quality) <= 1e-9).all()


def test_walks_of_a_policy_are_paid_apart_from_training_and_keep_to_the_point(formula_bench: Any) -> None:
    game = new_game(formula_bench, points=(400, 1_000))
    game.learner_meter(formula_bench.predictor).predict(draws(formula_bench, 150))
    task = formula_bench.task
    for point in game.points:
        hand_in_walks(game, task, task, RandomAction(task), point)
    assert [h.spent for h in game.hand_ins] == [150, 150], "walks are no training"
    assert all(0 < h.walked <= h.point - h.spent and h.walks[0] > 0 for h in game.hand_ins)
