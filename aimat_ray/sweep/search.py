"""A sweep in Tune's words: its runs as a space, its search as a searcher and a scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aimat_ray.sweep.plan import Case, SweepPlan
from aimat_ray.sweep.settings import Dimension
from aimat_ray.sweep.trial import TUNING_RATE, run_name


def _trial_name(plan: SweepPlan, trial: Any) -> str:
    return run_name(Case(**trial.config["case"]), trial.trial_id if plan.is_search else None)


def _trial_folder(plan: SweepPlan, trial: Any) -> str:
    """Of Tune's own files: each attempt of a sweep has other trials."""
    return run_name(Case(**trial.config["case"]), trial.trial_id)


def param_space(plan: SweepPlan, cases: Sequence[Case]) -> dict[str, Any]:
    """What Tune's trials differ in.

    Args:
        plan: The sweep.
        cases: Those of its runs that are to be tried; of a search, its only one.
    """
    from ray import tune

    fields = [vars(case) for case in cases]
    space = {key: _domain(dimension) for key, dimension in plan.settings.search.space.items()}
    return {"case": fields[0] if plan.is_search else tune.grid_search(fields), **space}


def _domain(dimension: Dimension) -> Any:
    from ray import tune

    value = getattr(dimension, dimension.form)
    if dimension.form == "choice":
        return tune.choice(list(value))
    if dimension.form == "integers":
        return tune.randint(value[0], value[1] + 1)
    return tune.uniform(*value) if dimension.form == "uniform" else tune.loguniform(*value)


def _mutations(dimension: Dimension) -> Any:
    """A list steps to its neighbours; Tune would multiply the values of a `choice`."""
    return list(dimension.choice) if dimension.choice is not None else _domain(dimension)


def within(space: Mapping[str, Dimension], point: dict[str, Any]) -> dict[str, Any]:
    """A point moved back into its space: population-based training multiplies values by .8 or 1.2, over any bound."""
    moved = dict(point)
    for key, dimension in space.items():
        if dimension.choice is None:
            least, largest = getattr(dimension, dimension.form)
            moved[key] = type(least)(min(max(point[key], least), largest))
    return moved


def tune_config(plan: SweepPlan) -> Any:
    """How Tune chooses and compares trials: its `TuneConfig`."""
    from ray import tune

    search = plan.settings.search
    steps = plan.design(plan.cases[0]).steps
    options: dict[str, Any] = {
        "num_samples": search.samples if plan.is_search else 1,
        "max_concurrent_trials": plan.settings.max_concurrent,
        "reuse_actors": True,
        "trial_name_creator": partial(_trial_name, plan),
        "trial_dirname_creator": partial(_trial_folder, plan),
    }
    if plan.is_search:
        options |= {"metric": TUNING_RATE, "mode": "max"}
    if search.searcher == "optuna":
        from ray.tune.search.optuna import OptunaSearch

        options["search_alg"] = OptunaSearch(seed=plan.settings.seeds[0])
    if search.scheduler == "asha":
        # Trials end by themselves, after their evaluation; ASHA by default ends them at `max_t`, which is before it.
        options["scheduler"] = tune.schedulers.ASHAScheduler(
            time_attr="env_steps",
            max_t=steps,
            grace_period=search.grace_steps,
            reduction_factor=search.reduction,
            stop_last_trials=False,
        )
    if search.scheduler == "pbt":
        options["scheduler"] = tune.schedulers.PopulationBasedTraining(
            time_attr="env_steps",
            perturbation_interval=search.grace_steps,
            hyperparam_mutations={key: _mutations(dimension) for key, dimension in search.space.items()},
            custom_explore_fn=partial(within, search.space),
        )
    return tune.TuneConfig(**options)
