"""The contest file of the project, its plan, and the cells' identities."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimat_ray.config import DesignSettings
from aimat_ray.contest.cells import DESIGNS, STARTS, content_of_run, plan
from aimat_ray.contest.selection import only
from aimat_ray.contest.settings import LEARNERS, CompareSettings, load_compare
from aimat_ray.errors import ConfigError

FILE = Path(__file__).parents[3] / "tune_configs" / "compare.yaml"


@pytest.fixture(scope="module")
def contest() -> CompareSettings:
    return load_compare(FILE)


def test_the_file_asks_a_question_and_names_every_kind_of_method(contest: CompareSettings) -> None:
    assert FILE.read_text().startswith("# Question: ")
    kinds = {method.kind for method in contest.methods.values()}
    assert {"random", "grid", "local", "greedy", "archive", "evolution", "nsga2", "cma_es", "bayes"} | set(
        LEARNERS
    ) == kinds
    assert contest.budget == 128_000


def test_the_plan_has_every_method_on_every_problem_and_seed(contest: CompareSettings) -> None:
    cells = plan(contest, FILE.parent)
    designs = [cell for cell in cells if cell.part == DESIGNS]
    assert len(designs) == len(contest.methods) * len(contest.problems) * contest.seeds
    assert len([cell for cell in cells if cell.part == STARTS]) == 5
    assert cells[0].seed == 0 and cells[-1].seed == contest.seeds - 1


def test_quick_keeps_every_method_and_a_problem_of_each_kind(contest: CompareSettings) -> None:
    quick = contest.at_quick_size()
    assert quick.methods == contest.methods
    kinds = [{(p.kind, p.data.partition(":")[0]) for p in c.problems.values()} for c in (contest, quick)]
    assert kinds[0] == kinds[1] and len(kinds[0]) == 3
    assert quick.budget < contest.budget and quick.seeds == 1
    assert quick.starts["any_goal"].set["steps"] < 5_000


def test_a_learner_is_asked_for_the_goal_of_the_problem_unless_it_brings_its_own(contest: CompareSettings) -> None:
    cells = plan(contest.at_quick_size(), FILE.parent)
    runs = {
        cell.method: DesignSettings.model_validate(content_of_run(cell))
        for cell in only(cells, ["td3", "td3_paper", "td3_paper_goal"], ["oracle-0-Zr"])
    }
    assert {name: (run.goal, run.bundle, run.env.mode) for name, run in runs.items()} == {
        "td3": (None, "default", "simplex"),
        "td3_paper": (None, "default", "paper"),
        "td3_paper_goal": ("paper", "default", "paper"),
    }
    assert {(run.data, run.base) for run in runs.values()} == {("oracle:0", "Zr")}


def test_the_key_follows_everything_that_matters(contest: CompareSettings) -> None:
    cells = only(plan(contest, FILE.parent), ["td3", "nsga2"], ["oracle-0-Zr", "oracle-0-Cu"])
    keys = [cell.key("sum") for cell in cells]
    assert len(set(keys)) == len(keys)
    assert cells[0].key("sum") != cells[0].key("other data")
    changed = load_compare(FILE, {"methods.td3.set": {"agent.gamma": 0.95}, "list_size": 8})
    again = only(plan(changed, FILE.parent), ["td3", "nsga2"], ["oracle-0-Zr", "oracle-0-Cu"])
    assert not set(keys) & {cell.key("sum") for cell in again}


def test_unknown_names_are_named(contest: CompareSettings) -> None:
    with pytest.raises(ConfigError, match=r"unknown method 'td4'.*td3"):
        only(plan(contest, FILE.parent), ["td4"], [])
