"""Archived alloys behind a valley of infeasible compositions are walked to only where nothing else is left."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
from analytic_world import AnalyticPredictor, walks_at
from env_worlds import small_world

from aimat_ray.data.composition import parse_formulas
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.env.legality import FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import fresh_walks
from aimat_ray.problem import DesignProblem
from aimat_ray.search.archive import Archive
from aimat_ray.search.archive_walk import ArchiveLabeler, ArchiveWalk, Ranking, Targets
from aimat_ray.search.clear_ways import ClearWays

BEHIND, CLEAR = "Zr60Cu24Al16", "Zr52Cu30Al18"  # from Zr60Cu30Al10: 6 at% away with the valley between, 8 at% away


def world(problem: DesignProblem) -> tuple[DesignTask, AnalyticPredictor]:
    """Goal: 8 mm, 16 at% Al. Infeasible between 24.5 and 28 at% Cu."""
    task, predictor = small_world(problem)
    copper = problem.element_index["Cu"]

    def p_feasible(at_frac: FloatArray) -> FloatArray:
        return np.where((at_frac[:, copper] > 0.245) & (at_frac[:, copper] < 0.28), 0.2, 1.0)

    return task, replace(predictor, p_feasible=p_feasible)


def archive_of(problem: DesignProblem, predictor: AnalyticPredictor, *formulas: str) -> Archive:
    at_frac = parse_formulas(list(formulas), problem.elements)
    return Archive(problem.elements, np.array(["Zr"] * len(formulas)), at_frac, predictor.predict(at_frac), 99)


def test_the_nearest_alloy_with_a_clear_way_is_chosen_and_reached(problem: DesignProblem) -> None:
    task, predictor = world(problem)
    archive = archive_of(problem, predictor, BEHIND, CLEAR)
    start = walks_at(task, predictor, ["Zr60Cu30Al10"])
    targets, counter = Targets(archive, task), CountingPredictor(predictor)
    ways = ClearWays(targets, counter)
    np.testing.assert_array_equal(targets.choose(start)[0], archive.at_frac[[0]])
    target, known = ways.choose(start)
    np.testing.assert_array_equal(target, archive.at_frac[[1]])
    assert known.all()
    assert counter.n_predictions == 3  # the first step into the valley, and the two steps of the clear way
    straight, clear = (
        run_episodes(task, CountingPredictor(predictor), start, ArchiveWalk(choice), np.random.default_rng(0))
        for choice in (targets, ways)
    )
    assert not straight.goal.any() and clear.goal.all()


def test_labels_lead_along_clear_ways(problem: DesignProblem) -> None:
    task, predictor = world(problem)
    archive = archive_of(problem, predictor, BEHIND, CLEAR)
    start = walks_at(task, predictor, ["Zr60Cu30Al10", "Zr60Cu24Al6Ni10"])
    effect, weight = ArchiveLabeler(ClearWays(Targets(archive, task), predictor))(start)
    np.testing.assert_array_equal(weight, 1)
    wanted = archive.at_frac[[1, 0]] - start.at_frac  # the second walk stands on the other side already
    np.testing.assert_allclose(effect, wanted / np.abs(wanted).max(axis=1, keepdims=True), atol=1e-6)


def test_without_any_clear_way_the_surest_is_taken(problem: DesignProblem) -> None:
    task, predictor = world(problem)
    copper = problem.element_index["Cu"]
    unsure = replace(predictor, p_feasible=lambda x: np.where(x[:, copper] < 0.295, 0.1, 0.6))
    archive = archive_of(problem, predictor, BEHIND, CLEAR)
    start = walks_at(task, unsure, ["Zr60Cu30Al10"])
    target, known = ClearWays(Targets(archive, task), unsure).choose(start)
    np.testing.assert_array_equal(target, archive.at_frac[[1]])
    alone, _ = ClearWays(Targets(archive_of(problem, predictor, BEHIND), task), unsure).choose(start)
    np.testing.assert_array_equal(alone, archive.at_frac[[0]])
    assert known.all()


def test_where_all_ways_are_clear_nothing_changes(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    archive = archive_of(problem, predictor, BEHIND, CLEAR, "Zr62Cu18Al20", "Zr64Cu16Al20", "Zr66Cu14Al20")
    start = fresh_walks(task, predictor, np.zeros(40, dtype=np.intp), np.random.default_rng(3))
    sure = replace(predictor, p_feasible=lambda x: np.ones(len(x)))
    for ranking in get_args(Ranking):
        targets = Targets(archive, task, ranking)
        expected, ours = targets.choose(start), ClearWays(targets, sure).choose(start)
        for a, b in zip(expected, ours, strict=True):
            np.testing.assert_array_equal(a, b)
