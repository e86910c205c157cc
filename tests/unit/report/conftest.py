"""A small run directory made of clearly invented numbers, and alloys to go with it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from report_fake_run import CHECKSUM, MakeRun, whole_run, write

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.cleaning import CleaningReport
from aimat_ray.problem import DesignProblem, load_problem
from aimat_ray.report import scatter_figure, sections, training_figure
from aimat_ray.report.markup import Html, el


@pytest.fixture(scope="session")
def problem() -> DesignProblem:
    return load_problem()


@pytest.fixture(scope="session")
def data(problem: DesignProblem) -> Any:
    """Eighty invented alloys of Zr, Cu, Al and Ni; half of the values are missing."""
    rng = np.random.default_rng(0)
    n, elements = 80, problem.elements
    at_frac = np.zeros((n, len(elements)))
    at_frac[:, [problem.element_index[s] for s in ("Zr", "Cu", "Al", "Ni")]] = rng.dirichlet([6, 3, 1, 1], n)
    centre = np.array([650.0, 700.0, 1100.0, 5.0, 1700.0, 90.0, 2.0])
    values = centre * rng.lognormal(0.0, 0.15, (n, 7))
    values[rng.random(values.shape) < 0.5] = np.nan
    table = AlloyTable(
        at_frac, values, np.ones(n), ("BMG",) * n, tuple(f"Zr{i}Cu{100 - i}" for i in range(n)), np.arange(2, n + 2)
    )
    return SimpleNamespace(
        name="invented",
        checksum=CHECKSUM,
        synthetic=False,
        regression=table,
        cleaning=CleaningReport(),
        problem=problem,
    )


@pytest.fixture
def make_run(tmp_path: Path, problem: DesignProblem) -> MakeRun:
    """Writes a complete run directory; keyword arguments override parts of it (None leaves a file out)."""

    def make(**parts: Any) -> Path:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        content = whole_run(problem) | parts
        for name, document in content.items():
            write(folder, name.replace("__", "."), document)
        return folder

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the drawing, which takes nearly all of the time, where a test is about something else."""

    def stand_in(name: str, alt: str, *_: Any, **__: Any) -> Html:
        return el("div", alt)

    for module in (scatter_figure, sections, training_figure):
        monkeypatch.setattr(module, "picture", stand_in)
