"""Rewards and closeness, worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aimat_ray.config import RewardSettings
from aimat_ray.env.goals import GoalBatch, closeness, goal_margin, harder, satisfaction, thresholds_met
from aimat_ray.env.reward import Outcome, PaperScale, paper_reward, progress_reward

INF = np.inf


def goals(at_least: list[float], at_most: list[float] | None = None, max_change: float = INF) -> GoalBatch:
    return GoalBatch(np.array([at_least]), np.array([at_most or [INF] * len(at_least)]), np.array([max_change]))


def outcome(before: list[float], after: list[float], p: float = 0.9, **changes: object) -> Outcome:
    one = np.ones(1)
    base = Outcome(
        before=np.array([before]),
        after=np.array([after]),
        change_before=0 * one,
        change_after=0 * one,
        p_before=one,
        p_after=p * one,
        legal=one > 0,
        feasible=one * p >= 0.5,
        goal=one < 0,
        step=one,
    )
    return replace(base, **{k: np.array([v]) for k, v in changes.items()})  # type: ignore[arg-type]


def test_satisfaction_by_hand() -> None:
    # asked: at least 10 (has 8), at most 10 (has 12), between 4 and 6 (has 3), free
    goal = goals([10, -INF, 4, -INF], [INF, 10, 6, INF])
    np.testing.assert_allclose(satisfaction(np.array([[8.0, 12, 3, 99]]), goal), [[0.8, 0.8, 0.75, 0]])
    # met, met, above the window by 1.5 of 4; a hundred times too large stops at the floor
    np.testing.assert_allclose(satisfaction(np.array([[11.0, 9, 7.5, 0]]), goal), [[1, 1, 0.625, 0]])
    np.testing.assert_allclose(satisfaction(np.array([[10.0, 1000, 5, 0]]), goal), [[1, -1, 1, 0]])
    np.testing.assert_array_equal(thresholds_met(np.array([[10.0, 10, 6, np.nan]]), goal), [[True, True, True, True]])
    np.testing.assert_array_equal(
        thresholds_met(np.array([[np.nan, 10.1, 6.1, 0]]), goal), [[False, False, False, True]]
    )


def test_closeness_takes_off_what_exceeds_the_allowed_change() -> None:
    goal = goals([10.0], max_change=0.08)
    assert closeness(np.array([[8.0]]), np.array([0.08]), goal)[0] == pytest.approx(0.8)
    assert closeness(np.array([[8.0]]), np.array([0.12]), goal)[0] == pytest.approx(0.8 - 0.5)
    assert closeness(np.array([[8.0]]), np.array([0.8]), goal)[0] == pytest.approx(0.8 - 2)


def test_margin_and_harder_goals() -> None:
    goal = goals([10, -INF], [INF, 20])
    assert goal_margin(np.array([[12.0, 19]]), goal)[0] == pytest.approx(0.05)
    assert goal_margin(np.array([[9.0, 10]]), goal)[0] == pytest.approx(-0.1)
    hard = harder(goal, 1.25)
    np.testing.assert_allclose(hard.at_least, [[12.5, -INF]])
    np.testing.assert_allclose(hard.at_most, [[INF, 16]])


def test_progress_reward_by_hand() -> None:
    settings, goal = RewardSettings(), goals([10.0])
    # 5 x (0.8 - 0.5) - 0.01, and half of what 0.6 lacks to 0.8
    part = progress_reward(outcome([5.0], [8.0], p=0.6), goal, settings)
    assert part.total[0] == pytest.approx(1.5 - 0.01 - 0.1)
    # 5 x (1 - 0.5) + 2 - 0.01
    part = progress_reward(outcome([5.0], [12.0], goal=True), goal, settings)
    assert part.total[0] == pytest.approx(4.49)
    # infeasible: no progress, -2 - 0.01 - 0.5 x 0.5
    part = progress_reward(outcome([5.0], [12.0], p=0.3), goal, settings)
    assert part.total[0] == pytest.approx(-2.26)
    # illegal: the same without the barrier
    part = progress_reward(outcome([5.0], [np.nan], p=0.0, legal=False, feasible=False), goal, settings)
    assert part.total[0] == pytest.approx(-2.01)


def test_progress_telescopes() -> None:
    settings, goal = RewardSettings(step_cost=0.0), goals([10.0])
    there = progress_reward(outcome([5.0], [8.0]), goal, settings).total[0]
    back = progress_reward(outcome([8.0], [5.0]), goal, settings).total[0]
    assert there + back == pytest.approx(0)


def paper(out: Outcome, novelty: float = 0.0) -> float:
    scale = PaperScale(np.array([[0.5, 0.2]]), np.array([0.3, 0.0]), np.array([100.0, 0.0]), np.array([200.0, 1.0]))
    return float(paper_reward(out, scale, np.array([novelty])).total[0])


def test_paper_reward_by_hand() -> None:
    # scaled 0.4 -> 0.6, threshold 0.5: (0.8 - 0.5) + 0.3 x 0.2 + 0.3 x 0.1 x tanh(0.2 / 0.5)
    assert paper(outcome([180.0, 0], [220.0, 0], p=0.8)) == pytest.approx(0.3 + 0.06 + 0.03 * np.tanh(0.4))
    # below the threshold and falling, from above it: 0.3 x 0.1 x tanh(-0.2 / 0.6)
    assert paper(outcome([220.0, 0], [180.0, 0], p=0.8)) == pytest.approx(0.3 - 0.03 * np.tanh(1 / 3))
    # the first and the fourth visit of a goal composition
    base = paper(outcome([180.0, 0], [220.0, 0], p=0.8))
    assert paper(outcome([180.0, 0], [220.0, 0], p=0.8, goal=True), 1.0) == pytest.approx(base + 0.2)
    assert paper(outcome([180.0, 0], [220.0, 0], p=0.8, goal=True), 0.5) == pytest.approx(base + 0.1)


def test_paper_reward_of_ends_by_hand() -> None:
    assert paper(outcome([180.0, 0], [220.0, 0], p=0.3)) == pytest.approx(-0.2)
    illegal = {"p": 0.0, "legal": False, "feasible": False}
    # -1 + ln 2 / (2 ln 128) = -1 + 1/14;  -1 + ln 128 / (2 ln 128) = -1/2
    assert paper(outcome([180.0, 0], [np.nan, 0], step=1.0, **illegal)) == pytest.approx(-1 + 1 / 14)  # type: ignore[arg-type]
    assert paper(outcome([180.0, 0], [np.nan, 0], step=127.0, **illegal)) == pytest.approx(-0.5)  # type: ignore[arg-type]
