import math

import numpy as np
import pytest

from aimat_ray.data.user_goals import any_goal, is_user_goal, parse_goal
from aimat_ray.errors import ProblemError
from aimat_ray.problem import load_problem


class OneTable:
    def __init__(self, table) -> None:
        self.regression = table


@pytest.fixture
def zr_alloys(make_table):
    # Two Zr alloys with Dmax 4 and 8 mm.
    problem = load_problem()
    at_frac = np.zeros((2, 52))
    at_frac[:, problem.element_index["Zr"]] = 0.6
    at_frac[:, problem.element_index["Cu"]] = (0.4, 0.3)
    at_frac[1, problem.element_index["Al"]] = 0.1
    values = np.full((2, 7), np.nan)
    values[:, 3] = (4.0, 8.0)
    from aimat_ray.data.alloy_table import AlloyTable

    table = AlloyTable(at_frac, values, np.ones(2), ("BMG", "BMG"), ("a", "b"), np.array([2, 3]))
    return OneTable(table)


def test_bounds_windows_and_directions_are_read(zr_alloys) -> None:
    goal = parse_goal("dmax_mm>=8, 900<=tl_k<=1100, trg >= 0.6", load_problem(), zr_alloys, "Zr")
    found = {o.quantity: (o.at_least, o.at_most) for o in goal.objectives}
    assert found == {"dmax_mm": (8.0, math.inf), "tl_k": (900.0, 1100.0), "trg": (0.6, math.inf)}


def test_maximize_asks_for_a_percentile_of_the_measured_rows(zr_alloys) -> None:
    # percentiles of (4, 8): 75 % lies at 7
    goal = parse_goal("maximize dmax_mm", load_problem(), zr_alloys, "Zr")
    assert goal.objectives[0].at_least == 7.0
    assert goal.objectives[0].n_rows == 2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("dmax>=8", "unknown property"),
        ("dmax_mm=>8", "can't be read"),
        ("dmax_mm>=8,dmax_mm<=4", "can't be at least 8"),
        (",", "asks for nothing"),
        ("maximize elongation_pct", "no alloy of base Zr"),
        ("dmax_mm>=big", "can't be read"),
    ],
    ids=["unknown-key", "wrong-sign", "empty-interval", "nothing", "no-evidence", "not-a-number"],
)
def test_goals_that_mean_nothing_are_refused(zr_alloys, text: str, word: str) -> None:
    with pytest.raises(ProblemError, match=word):
        parse_goal(text, load_problem(), zr_alloys, "Zr")


def test_a_name_is_not_taken_for_a_written_goal(zr_alloys) -> None:
    assert not is_user_goal("glass")
    with pytest.raises(ProblemError, match="unknown goal"):
        any_goal(load_problem(), zr_alloys, "Zr", "glas", None)
