"""What a sweep can be told; `tune_configs/*.yaml` that name `bases` hold values of these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from aimat_ray.config import Count, DesignSettings, Positive, Settings, assign, explain, read_mapping
from aimat_ray.errors import ConfigError


class Dimension(Settings):
    """One hyperparameter to search over: exactly one of the forms.

    Attributes:
        choice: Any of these values.
        uniform: Between two numbers.
        log_uniform: Between two positive numbers, equally likely in each decade.
        integers: Between two whole numbers, both included.
    """

    choice: tuple[Any, ...] | None = None
    uniform: tuple[float, float] | None = None
    log_uniform: tuple[Positive, Positive] | None = None
    integers: tuple[int, int] | None = None

    @property
    def form(self) -> str:
        """Name of the form in use."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(type(self).model_fields)}, got {given or 'none'}")
        values = getattr(self, given[0])
        if given[0] == "choice" and not values:
            raise ValueError("choice: expected at least one value")
        if given[0] != "choice" and values[0] >= values[1]:
            raise ValueError(f"{given[0]}: expected the smaller number first, got {values[0]:g} and {values[1]:g}")
        return self


class SearchSettings(Settings):
    """A search over hyperparameters of `design`.

    Attributes:
        space: Dimension by dotted key of the design settings.
        samples: Points of the space that are tried (population size with `pbt`).
        searcher: `random`, or `optuna` (tree-structured Parzen estimator).
        scheduler: `none`; `asha` ends bad trials early; `pbt` lets bad ones continue from good ones.
        grace_steps: Env steps that every trial may take (asha), or between two exchanges (pbt).
        reduction: asha keeps one trial in so many at each rung.
    """

    space: Mapping[str, Dimension] = Field(default_factory=dict)
    samples: Count = 1
    searcher: Literal["random", "optuna"] = "random"
    scheduler: Literal["none", "asha", "pbt"] = "none"
    grace_steps: Count = 5_000
    reduction: Annotated[int, Field(ge=2)] = 3


class TrackSettings(Settings):
    """Experiment trackers that are told about every run, beside the sweep's own folder.

    Attributes:
        mlflow: Tracking address of MLflow: `http://host:5000`, or `sqlite:///FILE`; None for none.
        wandb: Project of Weights & Biases; None for none.
        wandb_mode: `offline` keeps everything in files, for `wandb sync` later; `online` needs WANDB_API_KEY.
        wandb_dir: Where those files are; None for the folder of each trial.
    """

    mlflow: str | None = None
    wandb: str | None = None
    wandb_mode: Literal["offline", "online"] = "offline"
    wandb_dir: str | None = None


class SweepSettings(Settings):
    """Many design runs.

    Attributes:
        bases: Base elements, or `all` of the problem's; those without a goal in the data are named and left out.
        seeds: Each base is designed once with each seed.
        one_policy: One run over all bases together instead of a run for each.
        design: Settings that all runs share (`DesignSettings`, nested).
        variants: Further settings by name; every variant runs on every base and seed. Empty: no variants.
        search: Hyperparameters to search over.
        tuning_episodes: Strict episodes on tuning starts each time a run measures itself; 0 for never. The starts are
            other ones than those of the final evaluation.
        tuning_times: How often in a run.
        cpus_per_trial: Cores that Ray sets aside for each run; its remote runners come on top.
        surrogate_replicas: Processes that answer for all runs, with `design.transport: serve`. No cores are set aside
            for them: runs wait while they answer.
        max_concurrent: Runs at a time; None for as many as the cluster holds.
        trial_time_limit_s: A run that takes longer is ended and counted as failed.
        report_every_s: A run tells Tune how it goes at most this often, and whenever it has measured itself anew. Each
            report costs the driver 5 ms, which is what limits a sweep of thousands of runs (scale-design.md).
        max_failures: How often a run that fails, or whose machine does, is continued from its last checkpoint.
        track: Experiment trackers.
    """

    bases: Literal["all"] | tuple[str, ...] = "all"
    seeds: tuple[int, ...] = (0,)
    one_policy: bool = False
    design: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    search: SearchSettings = SearchSettings()
    tuning_episodes: Annotated[int, Field(ge=0)] = 32
    tuning_times: Count = 5
    cpus_per_trial: Positive = 1.0
    surrogate_replicas: Count = 1
    max_concurrent: Count | None = None
    trial_time_limit_s: Positive = 3_600.0
    report_every_s: Annotated[float, Field(ge=0)] = 5.0
    max_failures: Annotated[int, Field(ge=0)] = 2
    track: TrackSettings = TrackSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.seeds:
            raise ValueError("seeds: expected at least one")
        if self.bases == ():
            raise ValueError("bases: expected at least one")
        if self.search.space and not self.tuning_episodes:
            raise ValueError("tuning_episodes: a search compares strict rates on tuning starts; expected at least 1")
        for fixed in ("base", "seed"):
            if fixed in self.design:
                raise ValueError(f"design.{fixed}: a sweep sets it for each run; use {fixed}s instead")
        for overrides in ({}, *self.variants.values()):
            self.design_for("Zr", 0, overrides)
        steps = self.design_for("Zr", 0).steps
        if self.search.scheduler != "none" and self.search.grace_steps > steps:
            raise ValueError(
                f"search.grace_steps: expected at most design.steps ({steps}), got {self.search.grace_steps}"
            )
        for key in self.search.space:
            if key.partition(".")[0] in ("base", "seed", "data", "problem"):
                raise ValueError(f"search.space: {key} is not a hyperparameter")
        return self

    def design_for(self, base: str, seed: int, *overrides: dict[str, Any]) -> DesignSettings:
        """Settings of one run.

        Args:
            base: Base element, or several separated by commas.
            seed: Of the run.
            *overrides: Nested settings; later ones win.
        """
        tree: dict[str, Any] = {}
        for part in (self.design, *overrides, {"base": base, "seed": seed}):
            tree = _merged(tree, part)
        return DesignSettings.model_validate(tree)


def load_sweep(path: Path, overrides: dict[str, Any] | None = None) -> SweepSettings:
    """Read the YAML file of a sweep.

    Args:
        path: The file.
        overrides: Values by dotted key, for example `{"design.steps": 5000}`.

    Raises:
        ConfigError: The file can't be read, a key is unknown, or a value does not fit.
    """
    tree = read_mapping(path, "sweep file")
    if not tree:
        raise ConfigError(f"sweep file {path}: expected a mapping of keys, got nothing")
    for dotted, value in (overrides or {}).items():
        assign(tree, dotted, value)
    try:
        return SweepSettings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"sweep file {path}: {explain(error)}") from error


def _merged(tree: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A tree with the values of another one on top, group by group."""
    result = dict(tree)
    for key, value in other.items():
        before = result.get(key)
        result[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result
