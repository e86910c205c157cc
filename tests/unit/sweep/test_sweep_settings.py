"""Sweep files: what they may say, and which runs follow from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aimat_ray.config import DesignSettings
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.errors import ConfigError, ProblemError
from aimat_ray.problem import DesignProblem
from aimat_ray.sweep.pace import Pace
from aimat_ray.sweep.plan import make_plan
from aimat_ray.sweep.search import within
from aimat_ray.sweep.settings import Dimension, SweepSettings, load_sweep

FOLDER = Path(__file__).parents[3] / "tune_configs"
SWEEPS = sorted(path for path in FOLDER.glob("*.yaml") if {"bases", "search"} & set(yaml.safe_load(path.read_text())))


@pytest.fixture(scope="module")
def oracle(problem: DesignProblem) -> AlloyData:
    return load_data("oracle", problem)


def test_the_sweeps_that_the_readme_names_are_there() -> None:
    expected = {"bases", "smoke", "one_policy", "hyperparameters", "population", "ablation"}
    assert expected <= {path.stem for path in SWEEPS}


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_file_fits_and_has_a_plan(path: Path, problem: DesignProblem, oracle: AlloyData) -> None:
    plan = make_plan(load_sweep(path), problem, oracle)
    names = [case.name for case in plan.cases]
    assert names and len(set(names)) == len(names)
    for case in plan.cases:
        assert isinstance(plan.design(case), DesignSettings)
    for key, dimension in plan.settings.search.space.items():
        value = getattr(dimension, dimension.form)[0]
        design: Any = plan.design(plan.cases[0], {key: value})
        for part in key.split("."):
            design = getattr(design, part)
        assert design == value


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_file_says_what_it_asks_and_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# Question: ")
    assert f"# Run: aimat sweep tune_configs/{path.name} " in text


def test_cases_are_bases_times_seeds_times_variants(problem: DesignProblem, oracle: AlloyData) -> None:
    settings = SweepSettings(
        bases=("Zr", "Cu"), seeds=(0, 1), variants={"full": {}, "raw": {"agent": {"critic": "raw"}}}
    )
    plan = make_plan(settings, problem, oracle)
    assert [case.name for case in plan.cases] == [
        "full-Zr-s0", "full-Zr-s1", "full-Cu-s0", "full-Cu-s1", "raw-Zr-s0", "raw-Zr-s1", "raw-Cu-s0", "raw-Cu-s1",
    ]  # fmt: skip
    assert plan.design(plan.cases[-1]).agent.critic == "raw"
    assert (plan.design(plan.cases[-1]).base, plan.design(plan.cases[-1]).seed) == ("Cu", 1)


def test_one_policy_has_one_run_per_seed(problem: DesignProblem, oracle: AlloyData) -> None:
    plan = make_plan(SweepSettings(bases=("Zr", "Cu"), seeds=(3, 4), one_policy=True), problem, oracle)
    assert [(case.name, case.base) for case in plan.cases] == [("all-s3", "Zr,Cu"), ("all-s4", "Zr,Cu")]


def test_bases_without_a_goal_are_named(problem: DesignProblem, oracle: AlloyData) -> None:
    plan = make_plan(SweepSettings(), problem, oracle)
    left_out = set(problem.bases) - {case.base for case in plan.cases}
    assert set(plan.no_goal) == left_out
    assert all(plan.no_goal.values())


def test_a_search_over_several_runs_is_refused(problem: DesignProblem, oracle: AlloyData) -> None:
    space = {"agent.gamma": Dimension(uniform=(0.8, 0.9))}
    settings = SweepSettings.model_validate({"bases": ("Zr", "Cu"), "search": {"space": space}})
    with pytest.raises(ConfigError, match="one base and one seed, or set one_policy"):
        make_plan(settings, problem, oracle)


def test_an_unknown_base_is_refused(problem: DesignProblem, oracle: AlloyData) -> None:
    with pytest.raises(ProblemError, match="Xx"):
        make_plan(SweepSettings(bases=("Xx",)), problem, oracle)


# (content of the file, words of the message)
BAD: list[tuple[str, str]] = [
    ("- 1\n", "expected a mapping"),
    ("bas: all\n", "unknown setting 'bas'"),
    ("design: {stepz: 5}\n", "stepz"),
    ("design: {base: Zr}\n", "use bases instead"),
    ("seeds: []\n", "at least one"),
    ("bases: []\n", "at least one"),
    ("variants: {a: {agent: {gama: 1}}}\n", "gama"),
    ("search: {space: {agent.gamma: {uniform: [0.9, 0.8]}}}\n", "smaller number first"),
    ("search: {space: {agent.gamma: {uniform: [0.8, 0.9], choice: [0.8]}}}\n", "exactly one of"),
    ("search: {space: {agent.gamma: {}}}\n", "exactly one of"),
    ("search: {space: {seed: {choice: [1, 2]}}}\n", "not a hyperparameter"),
    ("max_failures: -1\n", "max_failures"),
]


@pytest.mark.parametrize(("content", "words"), BAD, ids=[words for _, words in BAD])
def test_a_sweep_file_that_does_not_fit_is_refused(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        load_sweep(path)


def test_a_hyperparameter_that_is_no_setting_is_refused(problem: DesignProblem, oracle: AlloyData) -> None:
    space = {"agent.gama": Dimension(uniform=(0.8, 0.9))}
    plan = make_plan(SweepSettings.model_validate({"bases": ("Zr",), "search": {"space": space}}), problem, oracle)
    with pytest.raises(ConfigError, match="gama"):
        plan.design(plan.cases[0], {"agent.gama": 0.85})


def test_a_population_stays_in_its_space() -> None:
    space = {
        "agent.gamma": Dimension(uniform=(0.8, 0.98)),
        "agent.actor_lr": Dimension(log_uniform=(1e-4, 1e-2)),
        "agent.policy_delay": Dimension(integers=(1, 3)),
        "agent.noise_clip": Dimension(choice=(0.3, 0.5)),
    }
    moved = {"agent.gamma": 1.176, "agent.actor_lr": 8e-5, "agent.policy_delay": 3.6, "agent.noise_clip": 0.5}
    assert within(space, moved | {"case": "x"}) == {
        "agent.gamma": 0.98,
        "agent.actor_lr": 1e-4,
        "agent.policy_delay": 3,
        "agent.noise_clip": 0.5,
        "case": "x",
    }


def test_the_first_rung_is_within_the_run() -> None:
    with pytest.raises(ValueError, match=r"grace_steps: expected at most design\.steps \(1000\), got 5000"):
        SweepSettings.model_validate({"design": {"steps": 1000}, "search": {"scheduler": "asha"}})


def test_reports_keep_their_distance_and_urgent_ones_go_at_once() -> None:
    pace = Pace(5.0)
    asked = [(0.0, False), (4.9, False), (4.95, True), (9.9, False), (9.96, False), (10.0, False)]
    # The second is too early; the third is urgent and moves the next one to 9.95, so the fourth is too early again.
    assert [pace.due(now, urgent) for now, urgent in asked] == [True, False, True, False, True, False]
