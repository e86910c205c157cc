"""Improving an alloy, with surrogate and judge that are formulas.

Surrogate: dmax 0.2 mm per at% Cu, yield 20 MPa per at% Al and 10 per at% Ni; feasible up to 20 at% Al. Judge: a yield
that only Al raises. Start: Zr70Cu15Al10Ni5, dmax 3 mm, yield 250 MPa.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from analytic_world import AnalyticPredictor, linear
from small_alloys import as_data

from aimat_ray.config import EnvSettings
from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.composition import parse_formula
from aimat_ray.data.improvement import parse_improvement
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.windows import compute_windows
from aimat_ray.errors import ConfigError, ProblemError
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.improve import Improvements, improve_alloy

START = "Zr70Cu15Al10Ni5"


@pytest.fixture(scope="session")
def data(problem: DesignProblem, make_table: Callable[..., AlloyTable]) -> AlloyData:
    measured = ["Zr70Cu15Al10Ni5", "Zr60Cu20Al10Ni10", "Zr55Cu30Al5Ni10", "Zr60Cu15Al25"]
    values = {key: [3.0] * 4 for key in problem.property_keys}
    table = make_table(measured, values)
    found = as_data(problem, table, table)
    return AlloyData(**{**vars(found), "windows": compute_windows(table, problem)})


def predictors(problem: DesignProblem) -> tuple[AnalyticPredictor, AnalyticPredictor]:
    al = problem.element_index["Al"]
    own = linear(problem, dmax_mm={"Cu": 0.2}, yield_strength_mpa={"Al": 20.0, "Ni": 10.0})
    other = linear(problem, dmax_mm={"Cu": 0.1}, yield_strength_mpa={"Al": 20.0})

    def feasible(at_frac: np.ndarray) -> np.ndarray:
        return np.where(at_frac[:, al] <= 0.2, 0.9, 0.1)

    return AnalyticPredictor(own, p_feasible=feasible), AnalyticPredictor(other, version="judge-1")


def ask(problem: DesignProblem, data: AlloyData, formula: str = START, **options: Any) -> Improvements:
    wish = options.pop("wish", None) or parse_improvement(problem, ["yield_strength_mpa=20%"], kept=["dmax_mm"])
    own, other = predictors(problem)
    judge = options.pop("judge", other)
    at_frac = parse_formula(formula, problem.elements)
    return improve_alloy(data, problem, own, judge, at_frac, wish, **{"budget": 3000, **options})


@pytest.mark.parametrize("method", ["evolution", "greedy", "local"])
def test_designs_fulfil_the_wish_within_the_allowed_change(
    problem: DesignProblem, data: AlloyData, method: str
) -> None:
    result = ask(problem, data, method=method)
    assert result.method == method
    assert result.base == "Zr"
    assert result.start.formula == START
    assert result.start.change_at_pct == 0
    assert result.nearest_miss is None
    assert 1 <= len(result.designs) <= 5
    start = parse_formula(START, problem.elements)
    for design in result.designs:
        at_pct = 100 * parse_formula(design.formula, problem.elements)
        al, ni, cu = (at_pct[problem.element_index[e]] for e in ("Al", "Ni", "Cu"))
        assert 20 * al + 10 * ni >= 300 - 1e-6  # 250 MPa and a fifth
        assert 0.2 * cu >= 3 * 0.98 - 1e-6
        assert al <= 20
        change = 50 * np.abs(at_pct / 100 - start).sum()
        assert change <= 8 + 1e-6
        assert design.change_at_pct == pytest.approx(change, abs=0.01)
        assert design.quantities["yield_strength_mpa"]["value"] == pytest.approx(20 * al + 10 * ni, abs=0.1)
        assert design.quantities["yield_strength_mpa"]["difference"] == pytest.approx(20 * al + 10 * ni - 250, abs=0.1)
        assert sum(design.moves.values()) == pytest.approx(0, abs=0.02)
        assert design.fulfils
        # The judge starts from its own 200 MPa and counts Al alone; its dmax falls with Cu in the same proportion.
        assert design.confirmed == (20 * al >= 240 - 1e-6)


def test_confirmed_designs_come_first(problem: DesignProblem, data: AlloyData) -> None:
    result = ask(problem, data, n_designs=50)
    flags = [design.confirmed for design in result.designs]
    assert flags == sorted(flags, reverse=True)
    assert flags[0] is True
    assert result.n_found == len(result.designs) or result.n_found > 50


def test_the_path_leads_from_start_to_design_in_steps_of_a_walk(problem: DesignProblem, data: AlloyData) -> None:
    wish = parse_improvement(problem, ["yield_strength_mpa=60%"], max_change_at_pct=20)
    (design, *_) = ask(problem, data, wish=wish).designs
    assert design.path[0] == START
    assert design.path[-1] == design.formula
    assert len(design.path) >= 3  # 150 MPa more are at least 7.5 at%, a step 5
    assert len(design.path_feasible) == len(design.path)
    steps = np.diff([parse_formula(text, problem.elements) for text in design.path], axis=0)
    assert np.abs(steps).max() <= 0.05 + 0.0011  # formulas are rounded to 0.1 at%


def test_an_impossible_wish_names_the_nearest_miss(problem: DesignProblem, data: AlloyData) -> None:
    wish = parse_improvement(problem, ["yield_strength_mpa=200%"], max_change_at_pct=4)
    result = ask(problem, data, wish=wish)
    assert result.designs == ()
    assert result.n_found == 0
    assert result.nearest_miss is not None
    assert not result.nearest_miss.fulfils
    assert result.nearest_miss.quantities["yield_strength_mpa"]["difference"] > 40  # 4 at% of Al would give 80
    assert result.as_dict()["nearest_miss"]["formula"] == result.nearest_miss.formula


def test_the_same_seed_gives_the_same_answer(problem: DesignProblem, data: AlloyData) -> None:
    assert ask(problem, data, seed=3).as_dict() == ask(problem, data, seed=3).as_dict()
    assert ask(problem, data, seed=3).as_dict() != ask(problem, data, seed=4).as_dict()


def test_without_a_judge_nothing_is_confirmed(problem: DesignProblem, data: AlloyData) -> None:
    result = ask(problem, data, judge=None)
    assert result.judge_version is None
    assert [design.confirmed for design in result.designs] == [None] * len(result.designs)
    assert "judge" not in result.designs[0].quantities["dmax_mm"]


def test_an_alloy_outside_its_window_widens_it(problem: DesignProblem, data: AlloyData) -> None:
    result = ask(problem, data, "Zr50Cu10Al10Ti30", wish=parse_improvement(problem, ["yield_strength_mpa=20%"]))
    assert result.designs
    assert all(design.confirmed for design in result.designs[:1])


def test_a_policy_walks_when_it_is_given(problem: DesignProblem, data: AlloyData) -> None:
    import torch

    al = problem.element_index["Al"]

    def actor(obs: torch.Tensor) -> torch.Tensor:
        action = torch.full((len(obs), len(problem.elements)), -0.05)
        action[:, al] = 0.5
        return action

    result = ask(problem, data, policy=actor)
    assert result.method == "policy"
    assert result.designs[0].moves["Al"] >= 2.4  # 50 MPa are 2.5 at% of Al
    assert result.designs[0].confirmed


# (formula, options, exception, words)
REFUSED = [
    ("Zr60Cu15Al25", {}, ProblemError, "does not see it as BMG"),
    ("Zr50Cu50", {}, ProblemError, "at least 3 elements, got 2"),
    ("Fe60Cu20Al20", {}, ProblemError, "its base Fe has no window in data 'small'; bases with a window: Zr"),
    (START, {"method": "magic"}, ConfigError, "unknown search method 'magic'"),
    (START, {"budget": 0}, ConfigError, "at least 1 prediction"),
    (START, {"settings": EnvSettings(mode="paper")}, ConfigError, "mode 'simplex'"),
]


@pytest.mark.parametrize(("formula", "options", "error", "words"), REFUSED)
def test_refused(
    problem: DesignProblem, data: AlloyData, formula: str, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ask(problem, data, formula, **options)
