"""Where the goals of new episodes come from."""

from __future__ import annotations

import numpy as np
import pytest

from aimat_ray.env.goals import FixedGoals, HarderGoals, MixedGoals, RandomGoals, RelativeGoals
from aimat_ray.errors import ProblemError

INF = np.inf
MAXIMIZE = np.array([True, False, True])


def test_fixed_goals_are_those_of_the_base() -> None:
    source = FixedGoals(np.array([[1.0, -INF], [2.0, -INF]]), np.array([[INF, 5.0], [INF, INF]]))
    drawn = source.draw(np.array([1, 0, 1]), np.zeros((3, 2)), np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.at_least[:, 0], [2, 1, 2])
    np.testing.assert_array_equal(drawn.asked, [[True, False], [True, True], [True, False]])
    assert np.isinf(drawn.max_change).all()
    hard = HarderGoals(source, 1.1).draw(np.array([0]), np.zeros((1, 2)), np.random.default_rng(0))
    assert hard.at_least[0, 0] == pytest.approx(1.1)
    assert hard.at_most[0, 1] == pytest.approx(5 / 1.1)


def test_random_goals_lie_between_the_percentiles() -> None:
    column = np.arange(101.0)
    source = RandomGoals([[column, column, np.zeros(0)]], MAXIMIZE, percentiles=(60, 90), max_objectives=2)
    drawn = source.draw(np.zeros(300, dtype=int), np.zeros((300, 3)), np.random.default_rng(0))
    low, high = drawn.at_least[:, 0], drawn.at_most[:, 1]
    assert ((low[np.isfinite(low)] >= 60) & (low[np.isfinite(low)] <= 90)).all()
    assert ((high[np.isfinite(high)] >= 10) & (high[np.isfinite(high)] <= 40)).all()
    assert not drawn.asked[:, 2].any()  # no evidence, never asked
    counts = drawn.asked.sum(axis=1)
    assert set(counts.tolist()) == {1, 2}


def test_random_goals_of_a_base_without_evidence_name_it() -> None:
    source = RandomGoals([[np.zeros(0)] * 3], MAXIMIZE)
    with pytest.raises(ProblemError, match="leave the base out"):
        source.draw(np.array([0]), np.zeros((1, 3)), np.random.default_rng(0))


def test_relative_goals_by_hand() -> None:
    source = RelativeGoals((0,), (1,), MAXIMIZE, gain=(0.1, 0.1), max_change=0.08, keep_tolerance=0.02)
    start = np.array([[50.0, 200.0, 1.0]])
    drawn = source.draw(np.array([0]), start, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.at_least, [[55, -INF, -INF]])
    np.testing.assert_allclose(drawn.at_most, [[INF, 204, INF]])
    assert drawn.max_change[0] == 0.08


def test_relative_goals_of_negative_values_ask_for_more_too() -> None:
    source = RelativeGoals((0,), (), MAXIMIZE, gain=(0.1, 0.1))
    drawn = source.draw(np.array([0]), np.array([[-50.0, 0, 0]]), np.random.default_rng(0))
    assert drawn.at_least[0, 0] == pytest.approx(-45)


def test_same_generator_same_goals() -> None:
    source = RelativeGoals((0, 2), (1,), MAXIMIZE)
    start = np.random.default_rng(5).uniform(1, 2, (20, 3))
    one, two = (source.draw(np.zeros(20, dtype=int), start, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.at_least, two.at_least)
    np.testing.assert_array_equal(one.at_most, two.at_most)


def test_mixed_goals_draw_from_every_source_for_its_own_rows() -> None:
    fixed = FixedGoals(np.array([[1.0, -INF, -INF], [2.0, -INF, -INF]]), np.full((2, 3), INF))
    relative = RelativeGoals((2,), (), MAXIMIZE, gain=(0.1, 0.1), max_change=0.08)
    base, start = np.arange(200) % 2, np.tile(np.arange(200.0)[:, None] + 1, (1, 3))
    drawn = MixedGoals((fixed, relative)).draw(base, start, np.random.default_rng(0))
    near = np.isfinite(drawn.max_change)
    assert 60 < near.sum() < 140
    np.testing.assert_allclose(drawn.at_least[near, 2], 1.1 * start[near, 2])
    np.testing.assert_array_equal(drawn.at_least[~near, 0], base[~near] + 1)
    np.testing.assert_array_equal(drawn.asked.sum(axis=1), 1)
