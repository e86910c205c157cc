"""A sweep with Ray Tune: all runs of the plan, on one machine or many, again and again until each has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from aimat_ray import __version__
from aimat_ray.data.sources import load_data
from aimat_ray.errors import RunError
from aimat_ray.problem import load_problem
from aimat_ray.registry.runtime import ray_running
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.prepare import BUNDLE_SEED, Say
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.sweep.plan import SweepPlan, make_plan
from aimat_ray.sweep.search import param_space, tune_config
from aimat_ray.sweep.settings import SweepSettings
from aimat_ray.sweep.storage import SWEEP_FILE, TUNE, SweepStorage
from aimat_ray.sweep.tracking import trackers
from aimat_ray.sweep.trial import run_trial
from aimat_ray.sweep.watch import Watch, out_of_time

if TYPE_CHECKING:
    from aimat_ray.surrogate.bundle import SurrogateBundle

SESSION_FILE = "session.json"
_MAY_CHANGE = {
    "cpus_per_trial",
    "max_concurrent",
    "surrogate_replicas",
    "trial_time_limit_s",
    "report_every_s",
    "max_failures",
    "track",
}  # when resumed
_STATE_EVERY_S = "5"  # Tune's own state; runs keep theirs in their folders


def run_sweep(
    settings: SweepSettings, storage: SweepStorage, say: Say, resume: bool = False, address: str | None = None
) -> dict[str, Any]:
    """Run a sweep to its end.

    Args:
        settings: What is swept.
        storage: Where it is stored.
        say: Told what happens, one line at a time.
        resume: Go on with the sweep that is stored there: finished runs stay as they are, interrupted ones continue
            from their last checkpoints, the others start.
        address: Of a Ray cluster; by default RAY_ADDRESS, else a local Ray with the cores of this machine.

    Returns:
        Counts: `cases`, `finished`, `failed`, `stopped_early`; `seconds`.

    Raises:
        BadInputError: The settings don't fit the data, or the folder holds another sweep.
    """
    shared = settings.design_for(settings.bases[0] if settings.bases != "all" else "Zr", settings.seeds[0])
    problem = load_problem(shared.problem)
    data = load_data(shared.data, problem)
    plan = make_plan(settings, problem, data)
    folder = _claim(plan, storage, data.checksum, resume)
    say(f"sweep of {len(plan.cases) if not plan.is_search else settings.search.samples} runs in {storage.root}")
    for base, reason in plan.no_goal.items():
        say(f"base {base} is left out: {reason}")
    store, bundles = SurrogateStore(), {}
    for name in dict.fromkeys((shared.bundle, "judge")):
        say(f"surrogate {name}: loading, or fitting if this data set is new")
        bundles[name] = store.get_or_fit(name, data, problem, BUNDLE_SEED, lambda text, share: say(f"  {text}"))
    began = time.monotonic()
    with ray_running(address=address):
        if shared.transport == "serve":
            _serve_all(bundles[shared.bundle], store, settings.surrogate_replicas)
        _note_session(folder)
        storage.keep(SESSION_FILE)
        outcome = tune_runs(plan, storage, say, resume)
    outcome["seconds"] = time.monotonic() - began
    folder.write_json("outcome.json", outcome)
    storage.keep("outcome.json")
    return outcome


def _serve_all(bundle: SurrogateBundle, store: SurrogateStore, n_replicas: int) -> None:
    """One surrogate service for all runs, started before trials take every core."""
    from aimat_ray.registry.deployment import ServiceOptions
    from aimat_ray.registry.shared import share_surrogate

    options = ServiceOptions(num_replicas=n_replicas, num_cpus=0.0)
    share_surrogate(store.root, bundle.manifest, bundle.version, options)


def _note_session(folder: RunDirectory) -> None:
    """Where the Ray of this attempt is, for those who want to look at it."""
    import ray
    from ray._private.worker import get_dashboard_url

    address = ray.get_runtime_context().gcs_address
    folder.write_json(SESSION_FILE, {"address": address, "dashboard": get_dashboard_url() or None})


def _claim(plan: SweepPlan, storage: SweepStorage, checksum: str, resume: bool) -> RunDirectory:
    """The folder of the sweep, with what the sweep is written into it.

    Raises:
        RunError: It holds another sweep, or one that was not to be continued.
    """
    storage.fetch(SWEEP_FILE)
    folder = RunDirectory(storage.root)
    document: dict[str, Any] = {
        "settings": plan.settings.model_dump(mode="json"),
        "cases": [vars(case) | {"name": case.name} for case in plan.cases],
        "no_goal": plan.no_goal,
        "data": checksum,
        "version": __version__,
    }
    if (folder / SWEEP_FILE).exists():
        if not resume:
            raise RunError(f"{storage.root} already holds a sweep; choose another --out, or continue it with --resume")
        before = folder.read_json(SWEEP_FILE)
        different = [] if _what(before["settings"]) == _what(document["settings"]) else ["settings"]
        different += [key for key in ("cases", "data") if before.get(key) != document[key]]
        if different:
            raise RunError(
                f"{storage.root} holds a sweep with other {' and '.join(different)}; "
                "resume it with the same file and data"
            )
    else:
        folder.write_json(SWEEP_FILE, document)
        storage.keep(SWEEP_FILE)
    return folder


def _what(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that say how the sweep is run rather than what it is."""
    return {key: value for key, value in settings.items() if key not in _MAY_CHANGE}


def tune_runs(
    plan: SweepPlan, storage: SweepStorage, say: Say, resume: bool, trial: Callable[..., None] = run_trial
) -> dict[str, Any]:
    """Let Tune run what is not finished. Ray must be running.

    Searches go on with Tune's own record, which holds their points. Of the others the folders are the whole truth:
    what Tune believed when it was killed is seconds old, and a run that it gave up on would never be tried again.

    Args:
        plan: The sweep.
        storage: Where it is stored.
        say: Told what happens.
        resume: Whether this continues an earlier attempt.
        trial: What a trial does; called with its config, `plan` and `storage`.

    Returns:
        Counts: `cases`, `finished`, `failed`, `stopped_early`.
    """
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", _STATE_EVERY_S)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its boxes go to stdout, whatever `verbose` says
    from ray import tune

    ended = set() if plan.is_search else storage.finished_runs([case.name for case in plan.cases])
    cases = [case for case in plan.cases if case.name not in ended]
    if resume and ended:
        say(f"{len(ended)} of {len(plan.cases)} runs are finished already")
    if not cases:
        return {"cases": len(ended), "finished": len(ended), "failed": 0, "stopped_early": 0}
    trainable = tune.with_resources(partial(trial, plan=plan, storage=storage), _resources(plan))
    space = param_space(plan, cases)
    if plan.is_search and resume and tune.Tuner.can_restore(storage.tune_url):
        tuner = tune.Tuner.restore(
            storage.tune_url, trainable=trainable, resume_unfinished=True, restart_errored=True, param_space=space
        )
    else:
        tuner = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune_config(plan),
            run_config=tune.RunConfig(
                name=TUNE,
                storage_path=storage.url if storage.is_remote else str(storage.root),
                failure_config=tune.FailureConfig(max_failures=plan.settings.max_failures),
                stop={"trial_seconds": plan.settings.trial_time_limit_s},
                callbacks=[Watch(plan, say, len(ended)), *trackers(plan.settings.track, storage.name)],
                verbose=0,
            ),
        )
    results = tuner.fit()
    limit = plan.settings.trial_time_limit_s
    finished = sum(bool((result.metrics or {}).get("finished")) for result in results) + len(ended)
    late = sum(result.error is None and out_of_time(result.metrics or {}, limit) for result in results)
    total, failed = len(results) + len(ended), len(results.errors) + late
    return {"cases": total, "finished": finished, "failed": failed, "stopped_early": total - finished - failed}


def _resources(plan: SweepPlan) -> Any:
    from ray import tune

    runners = plan.design(plan.cases[0]).runners
    return tune.PlacementGroupFactory([{"CPU": plan.settings.cpus_per_trial}] + [{"CPU": 1}] * runners)
