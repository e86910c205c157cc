"""Which runs a sweep consists of. Decided before anything starts, so that a resumed sweep has the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aimat_ray.config import DesignSettings, assign
from aimat_ray.data.goals import BaseGoal
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.user_goals import any_goal
from aimat_ray.errors import ConfigError, ProblemError
from aimat_ray.problem import DesignProblem
from aimat_ray.sweep.settings import SweepSettings

ONE_POLICY = "all"


@dataclass(frozen=True)
class Case:
    """One run of a sweep.

    Attributes:
        base: Base element, or several separated by commas.
        seed: Of the run.
        variant: Name of the variant; empty where the sweep has none.
    """

    base: str
    seed: int
    variant: str = ""

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        base = ONE_POLICY if "," in self.base else self.base
        return "-".join(part for part in (self.variant, base, f"s{self.seed}") if part)


@dataclass(frozen=True)
class SweepPlan:
    """The runs of a sweep.

    Attributes:
        settings: Of the sweep.
        cases: Its runs; a search tries every one of its samples on the only case.
        no_goal: Bases that were asked for and have no goal in the data, with the reason.
    """

    settings: SweepSettings
    cases: tuple[Case, ...]
    no_goal: dict[str, str]

    @property
    def is_search(self) -> bool:
        """Whether hyperparameters are searched over."""
        return bool(self.settings.search.space)

    def design(self, case: Case, point: dict[str, Any] | None = None) -> DesignSettings:
        """Settings of a run.

        Args:
            case: The run.
            point: Hyperparameters by dotted key.

        Raises:
            ConfigError: A hyperparameter is not a setting, or its value does not fit.
        """
        chosen: dict[str, Any] = {}
        for key, value in (point or {}).items():
            assign(chosen, key, value)
        try:
            return self.settings.design_for(case.base, case.seed, self.settings.variants.get(case.variant, {}), chosen)
        except ValueError as error:
            raise ConfigError(f"run {case.name} with {point}: {error}") from error


def make_plan(settings: SweepSettings, problem: DesignProblem, data: AlloyData) -> SweepPlan:
    """Decide on the runs.

    Raises:
        ProblemError: A base is unknown, or no base has a goal.
        ConfigError: A search has more than one case.
    """
    asked = problem.bases if settings.bases == "all" else tuple(dict.fromkeys(settings.bases))
    shared = settings.design_for(asked[0], settings.seeds[0])
    no_goal: dict[str, str] = {}
    bases = []
    for base in asked:
        problem.check_base(base)
        if base not in data.windows:
            no_goal[base] = "no measured alloy of the feasible class has it as majority element"
        elif _goal(problem, data, base, shared) is None:
            no_goal[base] = "too few measured rows of this base and of its chemical group"
        else:
            bases.append(base)
    if not bases:
        raise ProblemError(f"data {data.name!r} support no goal for any of the bases {' '.join(asked)}")
    groups = [",".join(bases)] if settings.one_policy else bases
    cases = tuple(
        Case(base, seed, variant)
        for variant in settings.variants or ("",)
        for base in groups
        for seed in settings.seeds
    )
    if settings.search.space and len(cases) > 1:
        raise ConfigError(
            f"a search over hyperparameters tries each sample on one run, but there are {len(cases)}: "
            "name one base and one seed, or set one_policy"
        )
    return SweepPlan(settings, cases, no_goal)


def _goal(problem: DesignProblem, data: AlloyData, base: str, design: DesignSettings) -> BaseGoal | None:
    return any_goal(problem, data, base, design.goal, design.percentile)
