"""Triggers over windows worked by hand."""

import numpy as np
import pytest

from aimat_ray.config import CorrelationTriggerSettings, RefineSettings, VarianceTriggerSettings
from aimat_ray.refine.triggers import Window, check, correlation, rewards_to_go, variance_ratios

KEYS = ("tg_k", "yield_strength_mpa")
SETTINGS = RefineSettings(
    variance=VarianceTriggerSettings(threshold=2.0, window=100, cooldown=500),
    correlation=CorrelationTriggerSettings(threshold=0.5, window=80, warm_up=1_000, cooldown=500),
)


def window(spread=(1.0, 1.0), n=100, env_steps=2_000, r=1.0, seed=0):
    """A window whose spread is the same everywhere and whose correlation is r (to a few per cent)."""
    rng = np.random.default_rng(seed)
    to_go = rng.standard_normal(400)
    noise = rng.standard_normal(400)
    value = r * to_go + np.sqrt(1 - r**2) * noise
    return Window(
        env_steps=env_steps, version="v1", at_frac=np.tile([0.6, 0.4], (n, 1)),
        mean=np.tile([700.0, 1800.0], (n, 1)), spread=np.tile(spread, (n, 1)), to_go=to_go, value=value,
    )  # fmt: skip


def fire(w, last=None, watched=KEYS):
    return check(w, np.ones(2), ("Zr", "Cu"), KEYS, watched, SETTINGS, last or {})


def test_variance_ratio_is_the_mean_square_over_the_reference():
    # (9 + 1) / 2 = 5 over 2; a property without a reference has no ratio
    ratios = variance_ratios(np.array([[3.0, 1.0], [1.0, 1.0]]), np.array([2.0, 0.0]))
    assert ratios[0] == pytest.approx(2.5)
    assert np.isnan(ratios[1])
    assert np.isnan(variance_ratios(np.zeros((0, 2)), np.ones(2))).all()


def test_rewards_to_go_stop_at_the_end_of_an_episode():
    # walk 0: 1, 2 (end), 4 (open); walk 1: 1 (end), 1 (end)
    walk = np.array([0, 1, 0, 0, 1])
    reward = np.array([1.0, 1.0, 2.0, 4.0, 1.0])
    ended = np.array([False, True, True, False, True])
    np.testing.assert_allclose(rewards_to_go(reward, walk, ended, 0.5), [2.0, 1.0, 2.0, np.nan, 1.0])


def test_correlation_needs_points_and_variation():
    x = np.linspace(0, 1, 100)
    assert correlation(x, 3 * x - 1) == pytest.approx(1.0)
    assert correlation(x, -x) == pytest.approx(-1.0)
    assert np.isnan(correlation(x[:10], x[:10]))
    assert np.isnan(correlation(x, np.ones(100)))


def test_variance_fires_for_the_most_uncertain_watched_property_and_keeps_the_evidence():
    trigger = fire(window(spread=(2.0, 3.0)))
    assert (trigger.kind, trigger.property_key, trigger.value) == ("variance", "yield_strength_mpa", 9.0)
    assert trigger.seen.ratios == {"tg_k": 4.0, "yield_strength_mpa": 9.0}
    assert set(trigger.seen.spreads) == {3.0} and set(trigger.seen.values) == {1800.0}
    assert trigger.seen.compositions == ("Zr60Cu40",) * 48 and len(trigger.seen.curve) == 128
    assert fire(window(spread=(2.0, 3.0)), watched=("tg_k",)).property_key == "tg_k"


def test_nothing_fires_where_all_is_well():
    assert fire(window()) is None
    assert fire(window(spread=(1.41, 1.41))) is None  # 1.41^2 = 1.99


def test_a_short_window_does_not_fire():
    assert fire(window(spread=(9.0, 9.0), n=10)) is None


def test_cool_down_holds_one_property_back_and_not_the_other():
    last = {"variance/yield_strength_mpa": 1_600}
    assert fire(window(spread=(2.0, 3.0)), last).property_key == "tg_k"
    assert fire(window(spread=(2.0, 3.0), env_steps=2_100), last).property_key == "yield_strength_mpa"


def test_correlation_fires_after_the_warm_up_and_blames_the_least_certain_property():
    trigger = fire(window(spread=(1.2, 1.1), r=0.1))
    assert (trigger.kind, trigger.property_key) == ("correlation", "tg_k")
    assert trigger.value < 0.5 == trigger.threshold
    assert fire(window(r=0.1, env_steps=999)) is None
    assert fire(window(r=0.9)) is None
    assert fire(window(r=0.1), {"correlation": 1_900}) is None
