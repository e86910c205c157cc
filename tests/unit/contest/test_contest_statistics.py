"""Interquartile means and profiles, worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aimat_ray.contest.statistics import estimate, iqm, over_problems, profile


def test_interquartile_mean_drops_a_quarter_at_each_end() -> None:
    assert iqm(np.array([0.0, 1.0, 3.0, 100.0])) == 2.0
    assert iqm(np.array([1.0, 3.0])) == 2.0
    assert np.isnan(iqm(np.zeros(0)))


def test_the_interval_resamples_seeds_within_problems_only() -> None:
    constant = estimate({"easy": np.full(5, 10.0), "hard": np.zeros(5)})
    # the problems differ, the seeds do not: there is nothing uncertain
    assert (constant.mean, constant.lower, constant.upper, constant.n) == (5.0, 5.0, 5.0, 10)
    wide = estimate({"one": np.array([0.0, 10.0, 0.0, 10.0, 5.0])})
    assert wide.mean == pytest.approx(5.0)
    assert wide.lower < wide.mean < wide.upper


def test_rows_without_a_value_are_left_out() -> None:
    table = pd.DataFrame({"problem": ["a", "a", "b"], "cost": [2.0, None, 4.0]})
    found = over_problems(table, "cost")
    assert (found.mean, found.n) == (3.0, 2)


def test_a_profile_is_the_share_of_runs_above_each_level() -> None:
    assert profile(np.array([0.0, 0.5, 1.0, 1.0]), np.array([0.0, 0.5, 0.9])).tolist() == [0.75, 0.5, 0.5]
