"""What an action does to a composition, with numbers worked by hand and properties over many windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimat_ray.env.legality import MIN_FRACTION, Limits, check_legality, legal_in_paper_mode
from aimat_ray.env.start import sample_paper_starts, sample_starts
from aimat_ray.env.transition import (
    change_to_slots,
    exchanged,
    keep_near,
    paper_step,
    project,
    simplex_step,
    slots_to_change,
)

STEP = 0.05
N_WINDOWS, E = 12, 20


def windows(seed: int) -> Limits:
    """Random windows of every character: wide and narrow, with always-present elements, with few elements."""
    rng = np.random.default_rng(seed)
    lower, upper = np.zeros((N_WINDOWS, E)), np.zeros((N_WINDOWS, E))
    base = rng.integers(E, size=N_WINDOWS)
    for w in range(N_WINDOWS):
        optional = rng.permutation(np.delete(np.arange(E), base[w]))[: rng.integers(3, 14)]
        upper[w, optional] = rng.uniform(0.002, 0.5, len(optional))
        always = optional[: rng.integers(0, 3)]
        lower[w, always] = upper[w, always] * rng.uniform(0.05, 0.3)
        upper[w, base[w]] = rng.uniform(0.6, 1.0)
        lower[w, base[w]] = upper[w, base[w]] * rng.choice([0.0, 0.4])
    return Limits(lower, upper, base, rng.integers(3, 10, size=N_WINDOWS).clip(1 + (lower > 0).sum(axis=1)))


def starts(seed: int, n: int = 300) -> tuple[np.ndarray, Limits]:
    rng = np.random.default_rng([seed, 1])
    limits = windows(seed).rows(rng.integers(N_WINDOWS, size=n))
    drawn, kept = sample_starts(limits, rng)
    return drawn, limits.rows(kept)


def actions(rng: np.random.Generator, shape: tuple[int, int], kind: int) -> np.ndarray:
    """Dense, sparse, extreme and tiny ones; also outside [-1, 1]."""
    dense = rng.uniform(-1.0, 1.0, shape)
    return [dense, np.where(rng.random(shape) < 0.15, dense, 0.0), 3.0 * np.sign(dense), 1e-3 * dense][kind]


@given(seed=st.integers(0, 10_000), kind=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_every_result_is_legal_and_sums_to_one(seed: int, kind: int) -> None:
    x, limits = starts(seed)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        action = actions(rng, x.shape, kind)
        before_x, before_action = x.copy(), action.copy()
        moved = simplex_step(x, action, limits, STEP)
        assert check_legality(moved, limits).legal.all()
        assert np.abs(moved.sum(axis=1) - 1).max() <= 1e-12
        # an element that leaves may fall by up to 0.1 at% more than one step
        assert np.abs(moved - x).max() <= STEP + MIN_FRACTION + 1e-12
        assert not ((moved > 0) & (moved < MIN_FRACTION) & (limits.lower <= 0)).any()
        np.testing.assert_array_equal(x, before_x)
        np.testing.assert_array_equal(action, before_action)
        x = moved


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_zero_action_changes_nothing(seed: int) -> None:
    x, limits = starts(seed)
    x = simplex_step(x, actions(np.random.default_rng(seed), x.shape, 0), limits, STEP)
    np.testing.assert_array_equal(simplex_step(x, np.zeros_like(x), limits, STEP), x)


@given(seed=st.integers(0, 10_000), kind=st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_a_row_does_not_depend_on_its_neighbours(seed: int, kind: int) -> None:
    x, limits = starts(seed, 60)
    action = actions(np.random.default_rng(seed), x.shape, kind)
    together = simplex_step(x, action, limits, STEP)
    for i in range(len(x)):
        row = np.array([i])
        np.testing.assert_array_equal(simplex_step(x[row], action[row], limits.rows(row), STEP)[0], together[i])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_starts_are_legal_and_varied(seed: int) -> None:
    x, limits = starts(seed)
    assert check_legality(x, limits).legal.all()
    assert len(np.unique(np.round(x, 6), axis=0)) > 0.5 * len(x)


def four_elements(upper: tuple[float, ...] = (1.0, 0.5, 0.5, 0.5), max_elements: int = 4) -> Limits:
    """Base 0 and three optional elements."""
    return Limits(np.zeros((1, 4)), np.array([upper]), np.array([0]), np.array([max_elements]))


def step(x: list[float], action: list[float], limits: Limits | None = None) -> np.ndarray:
    return 100 * simplex_step(np.array([x]) / 100, np.array([action]), limits or four_elements(), STEP)[0]


def test_a_push_is_shared_by_all_present_elements() -> None:
    # 65 + 30 + 10 = 105: everyone gives 5/3
    np.testing.assert_allclose(step([60, 30, 10, 0], [1, 0, 0, 0]), [65 - 5 / 3, 30 - 5 / 3, 10 - 5 / 3, 0])


def test_an_absent_element_enters_above_one_half() -> None:
    # 2 * (0.75 - 0.5) * 5 = 2.5 at% wanted; the sum of 102.5 takes 0.625 from each of the four
    np.testing.assert_allclose(step([60, 30, 10, 0], [0, 0, 0, 0.75]), [59.375, 29.375, 9.375, 1.875])
    np.testing.assert_array_equal(step([60, 30, 10, 0], [0, 0, 0, 0.5]), [60, 30, 10, 0])


def test_an_absent_element_does_not_enter_where_the_base_admits_no_more() -> None:
    np.testing.assert_array_equal(step([60, 30, 10, 0], [0, 0, 0, 1], four_elements(max_elements=3)), [60, 30, 10, 0])


def test_the_strongest_wishes_enter_first() -> None:
    limits = Limits(np.zeros((1, 6)), np.full((1, 6), 0.9), np.array([0]), np.array([4]))
    moved = simplex_step(np.array([[0.5, 0.3, 0.2, 0, 0, 0]]), np.array([[0, 0, 0, 0.7, 0.9, 0.8]]), limits, STEP)
    np.testing.assert_array_equal(moved[0] > 0, [True, True, True, False, True, False])


def test_an_element_below_a_tenth_at_pct_leaves() -> None:
    # 1 - 1 = 0: it leaves, and its share has gone to the others already
    np.testing.assert_allclose(step([60, 30, 9, 1], [0.2, 0, 0, -0.2]), [61, 30, 9, 0])
    # 0.05 at% would remain: it leaves too, the other three share the 0.05
    np.testing.assert_allclose(
        step([60, 30, 9, 1], [0.19, 0, 0, -0.19]), [60.95 + 0.05 / 3, 30 + 0.05 / 3, 9 + 0.05 / 3, 0], atol=1e-9
    )


def test_three_elements_remain() -> None:
    moved = step([60, 30, 10, 0], [1, 1, -1, 0])
    assert (moved > 0).sum() == 3
    moved = step([69, 30.8, 0.2, 0], [0, 0, -1, 0])
    assert moved[2] == pytest.approx(0.1)  # held at 0.1 at%


def test_no_element_rises_above_the_base() -> None:
    # 39, 41 and 20 wanted; the second is capped by the base: 39 + 39 + 20 = 98, so everyone gets 2/3
    np.testing.assert_allclose(step([41, 39, 20, 0], [-0.4, 0.4, 0, 0]), np.array([39, 39, 20, -2 / 3]) + 2 / 3)


def test_the_window_holds() -> None:
    # base wants 65 but may have 62; what is over goes down from the others: 38 to share, 30 + 8 fits exactly
    limits = four_elements((0.62, 0.5, 0.5, 0.5))
    np.testing.assert_allclose(step([60, 30, 10, 0], [1, 0, 0, 0], limits), [62, 29, 9, 0])


def test_projection_leaves_the_region_alone() -> None:
    x, limits = starts(3)
    np.testing.assert_array_equal(project(x, np.zeros_like(x), limits.upper * (x > 0), limits.base), x)


def test_paper_move_by_hand() -> None:
    # elements 1, 3 and 4 are present: slots 1, 0, -0.4 have the mean 0.2, so 0.8, -0.2, -0.6 times 5 at%
    x = np.array([[0.0, 0.3, 0.0, 0.5, 0.2]])
    action = np.array([[1.0, 0.0, -0.4, 0.9, 0.9, 0.9, 0.9]])
    np.testing.assert_allclose(100 * paper_step(x, action, STEP), [[0, 34, 0, 49, 17]])
    change = slots_to_change(x, action)
    np.testing.assert_allclose(change.sum(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(change_to_slots(x, change), [[0.8, -0.2, -0.6, 0, 0, 0, 0]])
    np.testing.assert_allclose(slots_to_change(x, change_to_slots(x, change)), change)


def test_paper_mode_only_moves_the_first_seven_elements() -> None:
    x = np.full((1, 9), 1 / 9)
    moved = paper_step(x, np.array([[1.0, -1, 1, -1, 1, -1, 0]]), STEP)
    np.testing.assert_array_equal(moved[0, 7:], x[0, 7:])
    assert moved.sum() == pytest.approx(1)


def test_paper_legality() -> None:
    rows = np.array([[0.5, 0.5], [0.51, 0.5], [0.53, 0.5], [-0.01, 1.0], [1.01, 0.0]])
    np.testing.assert_array_equal(legal_in_paper_mode(rows), [True, True, False, False, False])


def test_paper_starts_have_three_to_seven_elements() -> None:
    limits = windows(5).rows(np.arange(400) % N_WINDOWS)
    x = sample_paper_starts(limits, np.random.default_rng(0), swap_columns=[0, 1, 2])
    count = (x > 0).sum(axis=1)
    assert count.min() >= 3 and count.max() <= 7
    np.testing.assert_allclose(x.sum(axis=1), 1)


def test_each_rule_has_its_flag() -> None:
    limits = four_elements()
    limits = limits.rows(np.zeros(7, dtype=int))
    x = np.array(
        [
            [0.6, 0.3, 0.1, 0],
            [0.6, 0.3, 0.1, np.nan],
            [0.6, 0.3, 0.1, 0.01],
            [0.4, 0.3, 0.6, -0.3],
            [0.7, 0.3, 0.0, 0],
            [0.3, 0.4, 0.3, 0],
            [0.2, 0.55, 0.25, 0],
        ]
    )
    report = check_legality(x, limits)
    np.testing.assert_array_equal(report.legal, [True] + [False] * 6)
    np.testing.assert_array_equal(report.finite, [True, False, True, True, True, True, True])
    np.testing.assert_array_equal(report.sum_ok, [True, False, False, True, True, True, True])
    np.testing.assert_array_equal(report.in_window, [True, False, True, False, True, True, False])
    np.testing.assert_array_equal(report.element_count_ok, [True, True, True, True, False, True, True])
    np.testing.assert_array_equal(report.base_is_largest, [True, False, True, False, True, False, False])


@given(seed=st.integers(0, 10_000), kind=st.integers(0, 3), most=st.sampled_from([0.01, 0.03, 0.08, 0.3]))
@settings(max_examples=40, deadline=None)
def test_walks_that_keep_near_stay_legal_and_within_the_allowed_change(seed: int, kind: int, most: float) -> None:
    start, limits = starts(seed)
    rng, max_change = np.random.default_rng(seed), np.full(len(start), most)
    max_change[::5] = np.inf
    x = start
    for _ in range(6):
        moved = simplex_step(x, actions(rng, x.shape, kind), limits, STEP)
        kept = keep_near(moved, x, start, max_change, limits)
        assert check_legality(kept, limits).legal.all()
        assert np.abs(kept.sum(axis=1) - 1).max() <= 1e-12
        assert (exchanged(kept, start) <= max_change + 1e-9).all()
        inside = exchanged(moved, start) <= max_change
        np.testing.assert_array_equal(kept[inside], moved[inside])
        alone = keep_near(moved[:1], x[:1], start[:1], max_change[:1], limits.rows(np.arange(1)))
        np.testing.assert_array_equal(alone, kept[:1])
        x = kept


def test_a_walk_slides_along_the_border_of_what_it_may_change() -> None:
    # Start 60/30/10; 4 at% exchanged at most. At 64/26/10 the move to 64/28/8 exchanges 4 at%: allowed as it is.
    # The move to 68/24/8 exchanges 8: half of it remains, 64/27/9.
    limits = Limits(np.zeros((1, 3)), np.ones((1, 3)), np.array([0]), np.array([3]))
    start, at = np.array([[0.6, 0.3, 0.1]]), np.array([[0.64, 0.26, 0.1]])
    most = np.array([0.04])
    np.testing.assert_allclose(
        keep_near(np.array([[0.68, 0.24, 0.08]]), at, start, most, limits), [[0.64, 0.27, 0.09]], atol=1e-12
    )
    np.testing.assert_allclose(
        keep_near(np.array([[0.64, 0.28, 0.08]]), at, start, most, limits), [[0.64, 0.28, 0.08]], atol=1e-12
    )


def test_a_pull_that_would_leave_a_trace_shortens_the_move() -> None:
    # Element 2 enters with 0.2 at% in a move that exchanges 5.2 at% where 1 is allowed: pulled back it would be 0.04
    # at%, shortened likewise, so the walk stays. An element that enters with 2 at% keeps 0.38.
    limits = Limits(np.zeros((1, 4)), np.ones((1, 4)), np.array([0]), np.array([4]))
    start = np.array([[0.6, 0.25, 0.15, 0.0]])
    traced, entering = np.array([[0.548, 0.25, 0.2, 0.002]]), np.array([[0.548, 0.25, 0.182, 0.02]])
    most = np.array([0.01])
    np.testing.assert_array_equal(keep_near(traced, start, start, most, limits), start)
    kept = keep_near(entering, start, start, most, limits)
    assert kept[0, 3] == pytest.approx(0.02 / 5.2)
    assert exchanged(kept, start)[0] == pytest.approx(0.01)
