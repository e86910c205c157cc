"""What a run says about itself: `run.json` and `settings.yaml`; and whether a run may be resumed with these inputs."""

from __future__ import annotations

import hashlib
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from aimat_ray import __version__
from aimat_ray.data.goals import BaseGoal
from aimat_ray.errors import RunError
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.prepare import Inputs, Workbench
from aimat_ray.rl.run_dir import RunDirectory

_LIBRARIES = ("ray", "torch", "gymnasium", "numpy", "pandas", "scikit-learn", "catboost")
# Settings that may differ between a run and its continuation: they change how long or where it works, not what it is.
_MAY_CHANGE = {"steps", "runners", "transport", "evaluation", "data"}


def start_record(run: RunDirectory, bench: Workbench) -> None:
    """Write the record of a new run."""
    run.write_yaml("settings.yaml", bench.settings.model_dump(mode="json"))
    run.write_json("run.json", describe(bench))


def describe(bench: Workbench) -> dict[str, Any]:
    """The record as a document."""
    settings = bench.settings.model_dump(mode="json")
    digest = hashlib.sha256(repr((settings, bench.data.checksum, bench.bundle.version)).encode()).hexdigest()
    return {
        "run_id": f"{bench.settings.base.lower()}-{digest[:10]}",
        "base": bench.settings.base,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "seed": bench.settings.seed,
        "versions": versions(),
        "data": data_document(bench),
        "cleaning": bench.data.cleaning.to_dict(),
        "surrogate": {"name": bench.bundle.name, "version": bench.bundle.version},
        "judge": {"name": bench.judge.name, "version": bench.judge.version},
        "goal": goals_document(bench.problem, bench.goals),
    }


def data_document(bench: Workbench) -> dict[str, Any]:
    """Which data, in the words of the output contract."""
    return {"name": bench.data.name, "checksum": bench.data.checksum, "synthetic": bench.data.synthetic}


def goals_document(problem: DesignProblem, goals: tuple[BaseGoal, ...]) -> dict[str, Any]:
    """The goal of a run; with several bases the first one's, and all of them under `per_base`."""
    document = goal_document(problem, goals[0])
    if len(goals) > 1:
        document["per_base"] = {goal.base: goal_document(problem, goal) for goal in goals}
    return document


def goal_document(problem: DesignProblem, goal: BaseGoal) -> dict[str, Any]:
    """The goal with its properties, thresholds and the rows behind them."""
    spec = problem.goals.get(goal.name)
    return {
        "name": goal.name,
        "title": spec.title if spec else goal.name,
        "properties": [objective.quantity for objective in goal.objectives],
        "thresholds": [
            {
                "quantity": objective.quantity,
                "at_least": objective.at_least,
                "at_most": objective.at_most,
                "n_rows": objective.n_rows,
                "source": objective.source,
            }
            for objective in goal.objectives
        ],
        "n_rows": {objective.quantity: objective.n_rows for objective in goal.objectives},
        "cautions": [problem.cautions[o.quantity] for o in goal.objectives if o.quantity in problem.cautions],
    }


def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {"aimat_ray": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in _LIBRARIES}


def check_folder(run: RunDirectory, inputs: Inputs, resume: bool) -> None:
    """Refuse to write a run over another one, or to continue one with other inputs.

    Raises:
        RunError: The folder holds a run already, or not the one to continue.
    """
    if resume:
        _check_same_inputs(run, inputs)
    elif (run / "run.json").exists():
        raise RunError(f"{run.path} already holds a run; choose another --out, or continue it with --resume")


def _check_same_inputs(run: RunDirectory, inputs: Inputs) -> None:
    record = run.read_json("run.json")
    if record["data"]["checksum"] != inputs.data.checksum:
        raise RunError(
            f"{run.path} was made with data {record['data']['name']!r} ({record['data']['checksum'][:12]}), not with "
            f"{inputs.data.name!r} ({inputs.data.checksum[:12]}); resume with the same --data, or start a new run"
        )
    before, now = record["settings"], inputs.settings.model_dump(mode="json")
    different = sorted(key for key in now if key not in _MAY_CHANGE and before.get(key) != now[key])
    if different:
        raise RunError(f"{run.path} was made with other settings ({', '.join(different)}); resume with the same ones")


def check_same_surrogate(run: RunDirectory, bench: Workbench) -> None:
    """Refuse to continue a run with another surrogate.

    Raises:
        RunError: The surrogate of these inputs is another one now.
    """
    version = run.read_json("run.json")["surrogate"]["version"]
    if version != bench.bundle.version:
        raise RunError(
            f"{run.path} was made with surrogate {version}, which is now {bench.bundle.version} "
            "(another release fits it differently); start a new run"
        )
