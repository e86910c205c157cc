"""What a contest consists of: methods, problems, budgets and seeds, read from one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from aimat_ray.config import Count, DesignSettings, Settings, Share, assign, explain, read_mapping
from aimat_ray.errors import ConfigError

MethodKind = Literal[
    "random", "grid", "local", "greedy", "archive", "evolution", "nsga2", "cma_es", "bayes", "td3", "sac", "ppo", "dqn"
]  # fmt: skip
LEARNERS: tuple[MethodKind, ...] = ("td3", "sac", "ppo", "dqn")
MEASURED = "measured"  # data of a problem: the table that AIMAT_DATA_DIR names, or the fetched copy


class MethodSettings(Settings):
    """One contestant.

    `config` and `set` are settings of a design run (`aimat design`); searches read the part `env` alone.
    """

    kind: MethodKind
    title: str
    config: str | None = None  # a file beside the contest's own
    set: dict[str, Any] = Field(default_factory=dict)
    own_goal: bool = False  # trained for the goal of its own settings; judged like all others
    problems: tuple[str, ...] = ()  # only these; all of them by default


class ProblemSettings(Settings):
    """One problem: a base of a data set with the goal of that base, or a formula with a known optimum."""

    kind: Literal["alloys", "closed_form"] = "alloys"
    data: str = MEASURED
    base: str = "Zr"
    percentile: float | None = None


class StartsSettings(Settings):
    """Tasks that memory can't hold: one goal-conditioned policy beside searches, success per start."""

    data: str = MEASURED
    config: str = "any_goal.yaml"
    set: dict[str, Any] = Field(default_factory=dict)
    seeds: Count = 1
    starts: Count = 232  # fresh starts of each task
    longest_search: Count = 2_048  # predictions per start up to which the local search may go on


class QuickSettings(Settings):
    """What `--quick` puts in place: the same contest at a size that shows that everything runs."""

    points: tuple[Count, ...] = (1_000, 8_000)
    seeds: Count = 1
    list_size: Count = 16
    bayes_evaluations: Count = 24
    problems: tuple[str, ...] = ()  # all by default
    starts_set: dict[str, Any] = Field(default_factory=dict)
    starts: Count = 16
    longest_search: Count = 64


class CompareSettings(Settings):
    """A contest (contest/contest-design.md)."""

    points: tuple[Count, ...] = (1_000, 4_000, 16_000, 64_000, 128_000)  # predictions at which lists are handed in
    list_size: Count = 256
    seeds: Count = 5
    walk_share: Share = 0.25  # of each point's budget is kept for the walks of a trained policy
    archive_share: Share = 0.06  # of the whole budget goes into the archive behind a learner's labels
    bayes_evaluations: Count = 256  # a Gaussian process is cubic in them
    methods: dict[str, MethodSettings]
    problems: dict[str, ProblemSettings]
    starts: dict[str, StartsSettings] = Field(default_factory=dict)
    quick: QuickSettings = QuickSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for points in (self.points, self.quick.points):
            if list(points) != sorted(set(points)):
                raise ValueError(f"points: expected growing numbers of predictions, got {list(points)}")
        named = [("quick.problems", self.quick.problems)]
        named += [(f"methods.{name}.problems", method.problems) for name, method in self.methods.items()]
        for where, problems in named:
            for problem in problems:
                if problem not in self.problems:
                    raise ValueError(f"{where}: unknown problem {problem!r}; there are {', '.join(self.problems)}")
        return self

    @property
    def budget(self) -> int:
        """Predictions of a whole cell."""
        return self.points[-1]

    def at_quick_size(self) -> CompareSettings:
        """The contest that `--quick` runs."""
        quick = self.quick
        names = quick.problems or tuple(self.problems)
        starts = {
            name: entry.model_copy(
                update={"seeds": 1, "starts": quick.starts, "longest_search": quick.longest_search,
                        "set": entry.set | quick.starts_set}
            )
            for name, entry in self.starts.items()
        }  # fmt: skip
        changed = {
            "points": quick.points,
            "seeds": quick.seeds,
            "list_size": quick.list_size,
            "bayes_evaluations": quick.bayes_evaluations,
            "problems": {name: self.problems[name] for name in names},
            "starts": starts,
        }
        return self.model_copy(update=changed)


def load_compare(path: Path, overrides: dict[str, Any] | None = None) -> CompareSettings:
    """Read the YAML file of a contest and check the run settings that it names.

    Args:
        path: The file; `config` entries are looked for beside it.
        overrides: Values by dotted key.

    Raises:
        ConfigError: The file, a key, a value or a named file does not fit.
    """
    tree = read_mapping(path, "contest file")
    for dotted, value in (overrides or {}).items():
        assign(tree, dotted, value)
    try:
        settings = CompareSettings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    for method in settings.methods.values():
        run_settings(method, path.parent)
    for entry in settings.starts.values():
        _merged(entry.config, entry.set, path.parent)
    return settings


def run_settings(method: MethodSettings, folder: Path) -> dict[str, Any]:
    """Settings of a learner's run as a plain tree that is valid.

    Raises:
        ConfigError: They are not.
    """
    return _merged(method.config, method.set, folder)


def starts_settings(entry: StartsSettings, folder: Path) -> dict[str, Any]:
    """Settings of the goal-conditioned run as a plain tree."""
    return _merged(entry.config, entry.set, folder)


def _merged(config: str | None, changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    tree = {} if config is None else read_mapping(folder / config, "settings file")
    for dotted, value in changes.items():
        assign(tree, dotted, value)
    try:
        DesignSettings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"settings {config or ''} {changes}: {explain(error)}") from error
    return tree
