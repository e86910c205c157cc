"""Start-relative wishes: what they mean in numbers, and which ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from aimat_ray.data.improvement import Amount, parse_improvement
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem


def test_amounts_are_relative_or_absolute(problem: DesignProblem) -> None:
    wish = parse_improvement(
        problem, ["yield_strength_mpa=10%", "dmax_mm = 2"], ["tl_k=50"], ["youngs_modulus_gpa", "trg=5%"], 8
    )
    start = np.zeros((2, len(problem.quantities)))
    values = {"yield_strength_mpa": 1500.0, "dmax_mm": 4.0, "tl_k": 1000.0, "youngs_modulus_gpa": 100.0, "trg": 0.6}
    for key, value in values.items():
        start[:, problem.quantity_index(key)] = value
    at_least, at_most = wish.bounds(problem, start)

    def low(key: str) -> float:
        return float(at_least[0, problem.quantity_index(key)])

    assert low("yield_strength_mpa") == pytest.approx(1650)  # 1500 + 10 %
    assert low("dmax_mm") == pytest.approx(6)  # 4 + 2 mm
    assert at_most[1, problem.quantity_index("tl_k")] == pytest.approx(950)
    assert low("youngs_modulus_gpa") == pytest.approx(98)  # kept within 2 %
    assert low("trg") == pytest.approx(0.57)  # kept within 5 %
    asked = np.isfinite(at_least) | np.isfinite(at_most)
    assert asked.sum(axis=1).tolist() == [5, 5]
    assert wish.describe() == (
        "raise yield_strength_mpa by 10 %, raise dmax_mm by 2, lower tl_k by 50, keep youngs_modulus_gpa within 2 %, "
        "keep trg within 5 %, change at most 8 at%"
    )


def test_what_should_be_small_is_kept_from_growing(problem: DesignProblem) -> None:
    small_is_good = next(spec.key for spec in problem.quantities if spec.direction == "minimize")
    other = next(spec.key for spec in problem.quantities if spec.key != small_is_good)
    wish = parse_improvement(problem, [f"{other}=1%"], kept=[f"{small_is_good}=10%"])
    start = np.full((1, len(problem.quantities)), 200.0)
    at_least, at_most = wish.bounds(problem, start)
    q = problem.quantity_index(small_is_good)
    assert at_most[0, q] == pytest.approx(220)
    assert at_least[0, q] == -np.inf


def test_percentages_are_shares_of_the_size() -> None:
    assert Amount(0.1).of(np.array([-50.0]))[0] == pytest.approx(5)


# (raised, lowered, kept, largest change, words of the message)
REFUSED = [
    ([], [], [], 8, "nothing shall improve"),
    ([], [], ["dmax_mm"], 8, "nothing shall improve"),
    (["hardness=10%"], [], [], 8, "unknown property 'hardness'"),
    (["dmax_mm"], [], [], 8, "raise 'dmax_mm' can't be read"),
    (["dmax_mm=-10%"], [], [], 8, "can't be read"),
    (["dmax_mm=10 percent"], [], [], 8, "can't be read"),
    (["dmax_mm=0%"], [], [], 8, "must be above 0"),
    (["dmax_mm=5%", "dmax_mm=10%"], [], [], 8, "given twice"),
    (["dmax_mm=5%"], ["dmax_mm=5%"], [], 8, "raise dmax_mm and lower dmax_mm contradict"),
    (["dmax_mm=5%"], [], ["dmax_mm"], 8, "raise dmax_mm and keep dmax_mm contradict"),
    ([], ["tl_k=100%"], [], 8, "nothing would remain"),
    (["dmax_mm=5%"], [], [], 0, "above 0 and up to 50 at%, got 0"),
    (["dmax_mm=5%"], [], [], 80, "got 80"),
    (["dmax_mm=5%"], [], [], float("nan"), "got nan"),
]


@pytest.mark.parametrize(("raised", "lowered", "kept", "change", "words"), REFUSED)
def test_refused(
    problem: DesignProblem, raised: list[str], lowered: list[str], kept: list[str], change: float, words: str
) -> None:
    with pytest.raises(ProblemError, match=words.replace("(", r"\(")):
        parse_improvement(problem, raised, lowered, kept, change)
