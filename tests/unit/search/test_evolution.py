"""Evolutionary search against problems whose optimum is known, and the ceiling's cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from env_worlds import small_world
from known_optimum import PROBLEMS, KnownOptimum

from aimat_ray.env.episodes import CountingPredictor
from aimat_ray.env.goals import RelativeGoals
from aimat_ray.env.legality import Limits, check_legality
from aimat_ray.env.walk import WalkState, fresh_walks, judge, limits_of
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem
from aimat_ray.search.ceiling import ceiling, ceiling_key
from aimat_ray.search.evolution import EvolutionSettings, evolve, fit_into, mix, pull_back

SMALL = EvolutionSettings(population=16, generations=12)


def walks(problem: DesignProblem, n: int = 12) -> tuple:
    task, predictor = small_world(problem)
    return task, predictor, fresh_walks(task, predictor, np.arange(n, dtype=np.intp) % 2, np.random.default_rng(0))


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_comes_within_two_per_cent_of_a_known_optimum(name: str) -> None:
    known: KnownOptimum = PROBLEMS[name]()
    start = fresh_walks(known.task, known.predictor, np.zeros(4, dtype=np.intp), np.random.default_rng(0))
    counter = CountingPredictor(known.predictor)
    found = evolve(known.task, counter, start, np.random.default_rng(1), EvolutionSettings(36, 60))
    assert (found.best.prediction.mean[:, 0] >= 0.98 * known.optimum).all()
    assert not found.goal.any()  # that goal lies beyond the optimum
    assert check_legality(found.best.at_frac, limits_of(known.task, found.best.base)).legal.all()


def test_finds_reachable_goals_and_stops(problem: DesignProblem) -> None:
    task, predictor, start = walks(problem)
    counter = CountingPredictor(predictor)
    found = evolve(task, counter, start, np.random.default_rng(1))
    assert found.goal.all()
    np.testing.assert_array_equal(judge(task, found.best).goal, found.goal)
    assert counter.n_predictions == found.predictions.sum() < 36 * 150 * len(start)
    assert (found.predictions % 36 == 0).all()


def test_an_unreachable_goal_spends_the_whole_budget(problem: DesignProblem) -> None:
    task, predictor, start = walks(problem, 4)
    start = replace(start, goals=replace(start.goals, at_least=start.goals.at_least * 10))
    found = evolve(task, CountingPredictor(predictor), start, np.random.default_rng(1), SMALL)
    assert not found.goal.any()
    np.testing.assert_array_equal(found.predictions, 16 * 12)


def test_keeps_to_the_allowed_change(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    d = problem.quantity_index("dmax_mm")
    task = replace(task, goals=RelativeGoals((d,), (), problem.maximize, gain=(0.1, 0.2), max_change=0.05))
    start = fresh_walks(task, predictor, np.arange(10, dtype=np.intp) % 2, np.random.default_rng(0))
    seen = []
    evolve(
        task, CountingPredictor(predictor), start, np.random.default_rng(1), SMALL,
        watch=lambda found, rows: seen.append(0.5 * np.abs(found.state.at_frac - found.state.start).sum(axis=1)),
    )  # fmt: skip
    assert (np.concatenate(seen) <= 0.05 + 0.01).mean() > 0.95  # a pruned element may cost a little more


def test_watch_and_bonus_see_every_candidate(problem: DesignProblem) -> None:
    task, predictor, start = walks(problem, 4)
    seen = []
    counter = CountingPredictor(predictor)
    evolve(
        task, counter, start, np.random.default_rng(1), replace(SMALL, stop_at_goal=False),
        watch=lambda found, rows: seen.append(len(found.merit)),
        bonus=lambda found, rows: np.zeros(len(rows)),
    )  # fmt: skip
    assert seen == [4 * 16] * 12
    assert counter.n_predictions == sum(seen)


def test_paper_mode_has_no_region_to_search(problem: DesignProblem) -> None:
    task, predictor = small_world(problem, mode="paper")
    start = fresh_walks(task, predictor, np.zeros(1, dtype=np.intp), np.random.default_rng(0))
    with pytest.raises(ProblemError, match="mode 'simplex'"):
        evolve(task, CountingPredictor(predictor), start, np.random.default_rng(1))


def test_mixtures_and_fits_are_legal(problem: DesignProblem) -> None:
    task, _, start = walks(problem, 200)
    limits = limits_of(task, start.base)
    rng = np.random.default_rng(2)
    same_base = np.concatenate([rng.permutation(np.flatnonzero(start.base == b)) for b in (0, 1)])
    order = np.concatenate([np.flatnonzero(start.base == b) for b in (0, 1)])
    mixed = mix(start.at_frac[order], start.at_frac[same_base], limits.rows(order), rng)
    assert check_legality(mixed, limits.rows(order)).legal.all()
    wild = rng.dirichlet(np.ones(len(problem.elements)), size=200)
    assert check_legality(fit_into(wild, limits, start.at_frac), limits).legal.all()


def test_fit_by_hand() -> None:
    # five elements where four are admitted: the smallest optional one goes, its 5 is shared by the others
    limits = Limits(np.zeros((1, 5)), np.full((1, 5), 0.9), np.array([0]), np.array([4]))
    wanted = np.array([[0.4, 0.05, 0.2, 0.25, 0.1]])
    np.testing.assert_allclose(fit_into(wanted, limits, wanted), [[0.4125, 0, 0.2125, 0.2625, 0.1125]])
    # nothing fits a window that can't be filled
    narrow = Limits(np.zeros((1, 5)), np.full((1, 5), 0.1), np.array([0]), np.array([4]))
    np.testing.assert_array_equal(fit_into(wanted, narrow, np.ones((1, 5))), np.ones((1, 5)))


def test_pulling_back_by_hand(problem: DesignProblem) -> None:
    from analytic_world import walks_at

    task, predictor = small_world(problem)
    state = walks_at(task, predictor, ["Zr60Cu30Al10"] * 2)
    state = replace(state, goals=replace(state.goals, max_change=np.array([0.05, np.inf])))
    far = walks_at(task, predictor, ["Zr60Cu20Al20"] * 2).at_frac  # 10 at% exchanged, 5 allowed
    near = walks_at(task, predictor, ["Zr60Cu25Al15"]).at_frac
    pulled = pull_back(task, state, far)
    np.testing.assert_allclose(pulled[0], near[0])
    np.testing.assert_array_equal(pulled[1], far[1])


def test_ceiling_is_cached_by_content(problem: DesignProblem, tmp_path: Path) -> None:
    task, predictor, start = walks(problem, 6)
    first = ceiling(task, predictor, start, seed=1, settings=SMALL, cache=tmp_path)
    again = ceiling(task, predictor, start, seed=1, settings=SMALL, cache=tmp_path)
    assert (first.cached, again.cached) == (False, True)
    assert first.rate == again.rate
    np.testing.assert_array_equal(first.at_frac, again.at_frac)
    np.testing.assert_array_equal(first.predictions, again.predictions)
    assert len(list(tmp_path.iterdir())) == 1
    fresh = ceiling(task, predictor, start, seed=1, settings=SMALL)
    np.testing.assert_array_equal(first.at_frac, fresh.at_frac)  # the same seed, the same answer


def test_a_damaged_cache_is_made_again(problem: DesignProblem, tmp_path: Path) -> None:
    task, predictor, start = walks(problem, 2)
    ceiling(task, predictor, start, settings=SMALL, cache=tmp_path)
    next(tmp_path.iterdir()).write_bytes(b"PK\x03\x04 not really")
    again = ceiling(task, predictor, start, settings=SMALL, cache=tmp_path)
    assert not again.cached
    assert ceiling(task, predictor, start, settings=SMALL, cache=tmp_path).cached


def test_the_key_covers_what_the_answer_depends_on(problem: DesignProblem) -> None:
    task, _, start = walks(problem, 2)
    key = ceiling_key(task, "v1", start, 0, SMALL)
    limits = task.windows
    changed_window = replace(task, windows=Limits(limits.lower * 0.9, limits.upper, limits.base, limits.max_elements))
    others: list[tuple] = [
        (task, "v2", start, 0, SMALL),
        (task, "v1", start, 1, SMALL),
        (task, "v1", start, 0, replace(SMALL, generations=13)),
        (task, "v1", start.rows(np.array([1, 0])), 0, SMALL),
        (task, "v1", _with_goal(start, 1.1), 0, SMALL),
        (changed_window, "v1", start, 0, SMALL),
    ]
    keys = {ceiling_key(*other) for other in others}
    assert key not in keys and len(keys) == len(others)
    assert key == ceiling_key(task, "v1", start, 0, replace(SMALL))


def _with_goal(start: WalkState, factor: float) -> WalkState:
    return replace(start, goals=replace(start.goals, at_least=start.goals.at_least * factor))
