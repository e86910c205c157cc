"""The problems of a contest as workbenches: one for the referee, who knows the truth, and one for the methods."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aimat_ray.config import DesignSettings
from aimat_ray.contest.closed_form import closed_form_bench
from aimat_ray.contest.settings import MEASURED, ProblemSettings
from aimat_ray.data.sources import DATA_DIR_VARIABLE
from aimat_ray.data.upstream import TABLES, user_data_folder
from aimat_ray.prediction import Predictor
from aimat_ray.rl.prepare import Workbench, prepare, read_inputs

logger = logging.getLogger(__name__)
CLOSED_FORM_NOTE = "closed form"


def measured_folder() -> str | None:
    """The measured table: the folder that AIMAT_DATA_DIR names, or the fetched copy; None where there is neither."""
    if configured := os.environ.get(DATA_DIR_VARIABLE, ""):
        return configured
    fetched = user_data_folder()
    return str(fetched) if (fetched / TABLES["regression"]).is_file() else None


def data_of(spec: str) -> str | None:
    """Where the data of a problem are; None for measured data that nobody has here."""
    if spec == MEASURED:
        return measured_folder()
    return spec if spec.partition(":")[0] == "oracle" else str(Path(spec))


def problem_tree(problem: ProblemSettings) -> dict[str, Any]:
    """What a problem says to the settings of a run."""
    tree: dict[str, Any] = {"data": data_of(problem.data), "base": problem.base}
    return tree | ({} if problem.percentile is None else {"percentile": problem.percentile})


def reference_bench(problem: ProblemSettings) -> Workbench:
    """The referee's workbench: the problem's data, surrogates and goal, and the truth where it is known."""
    if problem.kind == "closed_form":
        return closed_form_bench(DesignSettings(base="Zr", data="closed-form"))
    return prepare(read_inputs(DesignSettings.model_validate(problem_tree(problem)), logger.info), logger.info)


def method_bench(reference: Workbench, settings: DesignSettings, predictor: Predictor) -> Workbench:
    """What a learner works with: its own settings on the same problem, a counted surrogate, and no truth.

    Args:
        reference: The referee's workbench.
        settings: The learner's settings, for the same data and base.
        predictor: Counted.
    """
    if isinstance(reference, SimpleNamespace):
        bench: Any = closed_form_bench(settings)
        bench.predictor, bench.data = predictor, None
        return bench
    inputs = read_inputs(settings, lambda line: None)
    bench = replace(reference, settings=settings, task=inputs.task, goals=inputs.goals)
    hidden: Any = {"predictor": predictor, "judge": None}
    return replace(bench, **hidden, data=replace(inputs.data, oracle=None))
