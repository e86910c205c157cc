from __future__ import annotations

import numpy as np
import pytest

from aimat_ray.surrogate.calibration import (
    BAND_EDGES,
    BEYOND,
    CONFIDENCE,
    ClassCalibrator,
    IntervalCalibrator,
    Residuals,
    cautious_level,
    conformal_quantile,
)

PLAUSIBLE = np.array([[-1e6, 1e6]])


def _residuals(n=2000, seed=0, n_systems=400):
    """Errors that grow with the distance and with the spread."""
    rng = np.random.default_rng(seed)
    distance, spread = rng.uniform(0.02, 0.8, n), rng.uniform(0.5, 2.0, n)
    mean = rng.normal(500, 50, n)
    values = mean + 10 * spread * (distance + 0.05) * rng.laplace(size=n)
    return Residuals(
        values=values[:, None], mean=mean[:, None], spread=spread[:, None], distance=distance[:, None],
        route=np.ones(n), system=rng.integers(n_systems, size=n),
    )  # fmt: skip


def _inside(calibrator, r):
    lower, upper = calibrator.intervals(r.mean, r.spread, r.distance, r.route)
    return (r.values >= lower) & (r.values <= upper)


def test_the_quantile_by_hand():
    # n = 9, level .9: rank ceil(10 * .9) = 9, the largest; n = 19: rank 18
    assert conformal_quantile(np.arange(1.0, 10.0)) == 9.0
    assert conformal_quantile(np.arange(1.0, 20.0)) == 18.0
    assert conformal_quantile(np.array([3.0, 1.0])) == 3.0
    with pytest.raises(ValueError, match="no scores"):
        conformal_quantile(np.array([]))


def test_the_quantile_agrees_with_crepes():
    crepes = pytest.importorskip("crepes")
    rng = np.random.default_rng(0)
    residuals, sigmas = rng.normal(size=200), rng.uniform(0.5, 2, 200)
    reference = crepes.ConformalRegressor().fit(residuals, sigmas=sigmas)
    interval = reference.predict_int(np.zeros(1), sigmas=np.ones(1), confidence=0.9)
    assert conformal_quantile(np.abs(residuals) / sigmas, 0.9) == pytest.approx(interval[0, 1])


def test_new_rows_are_covered_at_every_distance():
    calibrator = IntervalCalibrator().fit(_residuals(), PLAUSIBLE)
    fresh = _residuals(seed=1, n=6000)
    inside = _inside(calibrator, fresh)[:, 0]
    assert 0.88 < inside.mean() < 0.95
    for low, high in zip((0, *BAND_EDGES), (*BAND_EDGES, 9), strict=True):
        band = (fresh.distance[:, 0] > low) & (fresh.distance[:, 0] <= high)
        assert 0.86 < inside[band].mean() < 0.96


def test_intervals_widen_away_from_data_and_with_disagreement():
    calibrator = IntervalCalibrator().fit(_residuals(), PLAUSIBLE)
    one = np.ones((3, 1))

    def width(spread, distance):
        lower, upper = calibrator.intervals(500 * one, spread * one, distance * one, np.ones(3))
        return (upper - lower)[0, 0]

    widths = [width(1.0, d) for d in (0.05, 0.3, 0.7, 2.0)]
    assert widths == sorted(widths)
    assert widths[-1] > 2 * widths[1]
    assert width(2.0, 0.3) > 1.3 * width(0.5, 0.3)


def test_fewer_systems_ask_for_more_caution():
    levels = [cautious_level(n) for n in (1, 10, 100, 10_000)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] <= 0.99
    assert CONFIDENCE < levels[-1] < CONFIDENCE + 0.005
    # .9 + .65 sqrt(.09 / 100) = .9195
    assert levels[2] == pytest.approx(0.9195)


def test_a_property_with_too_few_residuals_gets_the_plausible_range():
    few = _residuals(n=5)
    calibrator = IntervalCalibrator().fit(few, np.array([[0.0, 2000.0]]))
    lower, upper = calibrator.intervals(few.mean, few.spread, few.distance, few.route)
    assert (lower == 0.0).all()
    assert (upper == 2000.0).all()


def test_inflation_scales_the_half_width():
    r = _residuals()
    r = r.rows(r.distance[:, 0] <= BEYOND[0])
    plain = IntervalCalibrator().fit(r, PLAUSIBLE).intervals(r.mean, r.spread, r.distance, r.route)
    wide = IntervalCalibrator().fit(r, PLAUSIBLE, np.array([1.5])).intervals(r.mean, r.spread, r.distance, r.route)
    assert np.allclose(wide[1] - wide[0], 1.5 * (plain[1] - plain[0]))


def test_ends_stay_within_the_plausible_range():
    r = _residuals()
    lower, upper = (
        IntervalCalibrator().fit(r, np.array([[490.0, 510.0]])).intervals(r.mean, r.spread, r.distance, r.route)
    )
    assert lower.min() >= 490.0
    assert upper.max() <= 510.0


def test_a_stored_calibrator_answers_the_same():
    r = _residuals()
    calibrator = IntervalCalibrator().fit(r, PLAUSIBLE)
    again = IntervalCalibrator.from_state(calibrator.state())
    assert np.array_equal(_inside(calibrator, r), _inside(again, r))


def test_platt_scaling_finds_a_known_distortion():
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logit - 1)))) * 1.0
    calibrator = ClassCalibrator().fit(1 / (1 + np.exp(-logit)), labels)
    assert calibrator.slope == pytest.approx(0.5, abs=0.03)
    assert calibrator.shift == pytest.approx(-1, abs=0.05)


def test_platt_scaling_keeps_the_order_and_the_bounds():
    p = np.array([0.0, 0.2, 0.7, 1.0])
    scaled = ClassCalibrator(slope=0.5, shift=-1.0).apply(p)
    assert (np.diff(scaled) > 0).all()
    assert ((scaled >= 0) & (scaled <= 1)).all()
    assert np.array_equal(ClassCalibrator().apply(p), p)


def test_a_classifier_that_is_worse_than_chance_is_not_turned_round():
    rng = np.random.default_rng(0)
    p = rng.random(500)
    calibrator = ClassCalibrator().fit(p, (p < 0.5) * 1.0)
    assert (calibrator.slope, calibrator.shift) == (1.0, 0.0)


def test_far_from_every_measured_value_the_interval_is_the_plausible_range():
    plausible = np.array([[0.0, 1000.0]])
    calibrator = IntervalCalibrator().fit(_residuals(), plausible)
    distance = np.array([[0.69], [0.85], [1.0], [99.0]])
    mean, spread, route = np.full((4, 1), 500.0), np.ones((4, 1)), np.ones(4)
    lower, upper = calibrator.intervals(mean, spread, distance, route)
    width = (upper - lower)[:, 0]
    assert width[0] < 200
    assert width[0] < width[1] <= width[2] == width[3] == 1000.0
