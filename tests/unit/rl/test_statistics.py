import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimat_ray.rl.statistics import Rate

# Wilson score intervals at 95 %: (successes, n, lower, upper); the first by hand: z^2 / (n + z^2) = 3.8415 / 13.8415.
KNOWN = [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341), (50, 100, 0.40383, 0.59617)]


@pytest.mark.parametrize(("successes", "n", "lower", "upper"), KNOWN)
def test_wilson_interval(successes: int, n: int, lower: float, upper: float) -> None:
    rate = Rate.of(successes, n)
    assert rate.mean == successes / n
    assert rate.lower == pytest.approx(lower, abs=1e-5)
    assert rate.upper == pytest.approx(upper, abs=1e-5)
    assert rate.n == n


def test_no_trials_know_nothing() -> None:
    rate = Rate.of(0, 0)
    assert math.isnan(rate.mean)
    assert (rate.lower, rate.upper, rate.n) == (0.0, 1.0, 0)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_rate_and_stays_in_range(counts: tuple[int, int]) -> None:
    rate = Rate.of(*counts)
    assert 0.0 <= rate.lower <= rate.mean + 1e-12
    assert rate.mean - 1e-12 <= rate.upper <= 1.0


def test_plain_mapping_for_json() -> None:
    assert set(json.loads(json.dumps(Rate.of(3, 4).as_dict()))) == {"mean", "lower", "upper", "n"}
