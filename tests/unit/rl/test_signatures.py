from __future__ import annotations

from typing import Any

import pytest

from aimat_ray.rl.signatures import DETECTORS, WINDOW, check

HEALTHY = {
    "distinct_share": 0.9,
    "goal_share": 0.5,
    "q_mean": 2.0,
    "satisfaction_mean": 0.7,
    "episode_return_mean": 2.0,
    "in_domain_share": 0.9,
}


def history(now: dict[str, float], before: dict[str, float] | None = None) -> list[dict[str, Any]]:
    """WINDOW healthy iterations, then WINDOW with the changes."""
    rows = [HEALTHY | (before or {})] * WINDOW + [HEALTHY | now] * WINDOW
    return [row | {"env_steps": 100 * (i + 1)} for i, row in enumerate(rows)]


# (what the second half looks like, what must fire, id)
# Thresholds: share 0.2; rise 0.5 and 20 % above the return; share 0.5; fall 30 %.
CASES: list[tuple[dict[str, float], set[str], str]] = [
    ({}, set(), "healthy"),
    ({"distinct_share": 0.1}, {"mode_collapse"}, "few distinct designs"),
    ({"distinct_share": 0.1, "goal_share": 0.1}, set(), "few distinct designs that reach nothing"),
    ({"q_mean": 2.6, "satisfaction_mean": 0.705}, {"value_reward_divergence"}, "value runs away"),
    ({"q_mean": 2.6, "satisfaction_mean": 0.75}, set(), "value rises with the designs"),
    ({"q_mean": 2.6, "episode_return_mean": 2.5}, set(), "value rises to what episodes return"),
    ({"q_mean": 2.4}, set(), "value rises a little"),
    ({"in_domain_share": 0.4}, {"leaving_domain"}, "out of the domain"),
    ({"episode_return_mean": 1.3}, {"reward_falling"}, "return falls by 35 %"),
    ({"episode_return_mean": 1.5}, set(), "return falls by 25 %"),
    ({"episode_return_mean": 0.9, "q_mean": 2.6}, {"value_reward_divergence", "reward_falling"}, "two at once"),
]


@pytest.mark.parametrize(("now", "fired", "name"), CASES, ids=[name for *_, name in CASES])
def test_what_fires(now: dict[str, float], fired: set[str], name: str) -> None:
    found = check(history(now))
    assert {signature.signature for signature in found} == fired
    assert fired <= set(DETECTORS)
    for signature in found:
        assert signature.env_steps == 100 * 2 * WINDOW
        assert signature.message


def test_small_returns_are_compared_with_one() -> None:
    # from 0.1 to -0.1 is a fall by 200 %, but by 0.2 in units of 1
    assert check(history({"episode_return_mean": -0.1}, {"episode_return_mean": 0.1})) == []


def test_a_value_below_negative_returns_is_not_above_them() -> None:
    # the value rises from -7 to -5.5 and still lies below the return of -5
    before, now = ({"q_mean": q, "episode_return_mean": -5.0} for q in (-7.0, -5.5))
    assert check(history(now, before)) == []
    assert [s.signature for s in check(history({**now, "q_mean": -3.0}, before))] == ["value_reward_divergence"]


def test_too_little_history_says_nothing() -> None:
    assert check(history({"in_domain_share": 0.0})[1:]) == []
    assert check([]) == []


def test_a_signature_is_reported_once_until_it_has_been_quiet() -> None:
    quiet: set[str] = set()
    bad, good = history({"in_domain_share": 0.1}), history({})
    assert len(check(bad, quiet)) == 1
    assert check(bad, quiet) == []
    assert check(good, quiet) == []
    assert quiet == set()
    assert len(check(bad, quiet)) == 1


@pytest.mark.parametrize("key", sorted(HEALTHY))
def test_an_unknown_number_is_no_alarm(key: str) -> None:
    assert check(history({key: float("nan")}, {key: float("nan")})) == []
    rows = history({})
    for row in rows:
        del row[key]
    assert check(rows) == []
