"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.composition import parse_formulas
from aimat_ray.data.sources import DATA_DIR_VARIABLE, AlloyData, load_data
from aimat_ray.problem import DesignProblem, load_problem

TableMaker = Callable[..., AlloyTable]

# The same examples in every run of CI: a change must not fail by the luck of the draw. Locally they vary.
hypothesis_settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis_settings.load_profile("ci")


# These share one Ray in the process of the tests; the other tests with Ray start commands that have a Ray of their own.
_ONE_RAY = (
    "test_comparison", "test_http_service", "test_notebook_service", "test_refinement", "test_registry",
    "test_shared_service", "test_td3", "test_time_limit", "test_web_page",
)  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n 2`: tests around one Ray in one process, whole commands in the other, the rest where there is room."""
    from xdist.scheduler import LoadScopeScheduling

    class TwoKindsOfRay(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if not nodeid.startswith(("tests/ray/", "tests/learning/")):
                return nodeid
            return "one ray" if Path(nodeid.partition("::")[0]).stem in _ONE_RAY else "commands"

    return TwoKindsOfRay(config, log)


@pytest.fixture(scope="session")
def problem() -> DesignProblem:
    """The built-in design problem."""
    return load_problem()


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """Folder of the measured tables; the test is skipped without AIMAT_DATA_DIR."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        pytest.skip(f"{DATA_DIR_VARIABLE} is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def real_data(real_data_dir: Path, problem: DesignProblem) -> AlloyData:
    """The measured tables, cleaned."""
    return load_data(real_data_dir, problem)


@pytest.fixture(scope="session")
def raw_real_data(real_data_dir: Path, problem: DesignProblem) -> AlloyData:
    """The measured tables as they are."""
    return load_data(real_data_dir, problem, clean=False)


@pytest.fixture(scope="session")
def make_table(problem: DesignProblem) -> TableMaker:
    """Builds an AlloyTable from formulas, and values per property key (None where not measured)."""

    def make(
        formulas: Sequence[str],
        values: Mapping[str, Sequence[float | None]] | None = None,
        feasible: Sequence[float] | None = None,
        label: Sequence[str] | None = None,
        **columns: Any,
    ) -> AlloyTable:
        n = len(formulas)
        measured = np.full((n, len(problem.properties)), np.nan)
        for key, column in (values or {}).items():
            measured[:, problem.property_keys.index(key)] = [np.nan if v is None else v for v in column]
        return AlloyTable(
            at_frac=parse_formulas(formulas, problem.elements),
            values=measured,
            feasible=np.array(feasible if feasible is not None else [1.0] * n),
            label=tuple(label or [problem.feasibility.positive] * n),
            formula=tuple(formulas),
            source_row=np.arange(2, n + 2),
            **columns,
        )

    return make


@pytest.fixture
def alloy_rows(problem: DesignProblem) -> Callable[..., list[dict[str, Any]]]:
    """Builds rows of a table with one column per element (at%), for writing to CSV."""

    def build(formulas: Sequence[str], **columns: Sequence[Any]) -> list[dict[str, Any]]:
        at_pct = 100 * parse_formulas(formulas, problem.elements)
        rows = []
        for i, formula in enumerate(formulas):
            row: dict[str, Any] = {"source_row": i + 2, "formula_raw": formula}
            row |= dict(zip(problem.elements, np.round(at_pct[i], 6).tolist(), strict=True))
            row |= dict.fromkeys(problem.property_keys, "")
            row |= {key: column[i] for key, column in columns.items()}
            rows.append(row)
        return rows

    return build
