"""Every search keeps to the budget, hands in legal designs, and finds a known optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aimat_ray.contest.play import SEARCHES, Rules, play
from aimat_ray.contest.searches import _grid_points

RULES = Rules(points=(300, 1_200), list_size=24, walk_share=0.25, archive_share=0.06, bayes_evaluations=24)
LEAST_HITS = {
    "random": 1,
    "grid": 1,
    "local": 20,
    "greedy": 3,
    "archive": 3,
    "evolution": 20,
    "nsga2": 20,
    "cma_es": 20,
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_search_spends_the_budget_and_finds_true_designs(kind: Any, formula_bench: Any) -> None:
    played = play(kind, formula_bench, {}, RULES, seed=0)
    assert [(row["point"], row["spent"], row["walked"]) for row in played.scores] == [(300, 300, 0), (1_200, 1_200, 0)]
    first, last = played.scores
    assert last["window"] == last["n"] == RULES.list_size
    assert first["hits"] <= last["hits"] and last["hits"] >= LEAST_HITS[kind]
    assert played.curves == played.clouds == []


@pytest.mark.parametrize("kind", ["local", "nsga2", "cma_es"])
def test_the_same_seed_gives_the_same_lists(kind: Any, formula_bench: Any) -> None:
    timeless = [
        [{k: v for k, v in row.items() if "seconds" not in k} for row in play(kind, formula_bench, {}, RULES, 3).scores]
        for _ in range(2)
    ]
    assert timeless[0] == timeless[1]


def test_bayesian_optimisation_stands_still_after_its_evaluations(formula_bench: Any) -> None:
    played = play("bayes", formula_bench, {}, RULES, seed=0)
    assert [row["spent"] for row in played.scores] == [24, 24]
    assert all(row["window"] == row["n"] > 0 for row in played.scores)


def test_the_grid_has_only_multiples_of_its_step_and_no_point_twice(formula_bench: Any) -> None:
    points = np.array(list(_grid_points(formula_bench.task, 10, np.random.default_rng(0))))
    assert np.allclose(points * 10, np.round(points * 10))
    assert len(np.unique(np.round(points * 10), axis=0)) == len(points) > 50
