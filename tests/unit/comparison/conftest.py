"""A finished comparison on a small table, computed once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aimat_ray.comparison.cells import Cell, CellResult, run_cell
from aimat_ray.comparison.scores import Bench
from aimat_ray.data.sources import AlloyData
from aimat_ray.problem import DesignProblem
from tests.small_alloys import small_alloy_data
from tests.small_recipes import small_recipes

CELLS = (
    *(Cell("bundle", "default", "both", "system", seed) for seed in (0, 1)),
    *(Cell("bundle", "judge", "both", split, 0) for split in ("system", "random")),
    *(Cell("regressor", name, "both", split, 0) for name in ("ridge", "knn") for split in ("system", "random")),
    *(Cell("classifier", name, "fractions", "system", 0) for name in ("gaussian_nb", "svc")),
)


@pytest.fixture(scope="package", autouse=True)
def _small_recipes() -> Iterator[None]:
    with small_recipes():
        yield


@pytest.fixture(scope="package")
def alloys(problem: DesignProblem) -> AlloyData:
    """A small table of made-up alloys."""
    return small_alloy_data(problem)


@pytest.fixture(scope="package")
def bench(alloys: AlloyData, problem: DesignProblem) -> Bench:
    """The rows of it."""
    return Bench(alloys, problem)


@pytest.fixture(scope="package")
def results(alloys: AlloyData, problem: DesignProblem) -> dict[Cell, CellResult]:
    """Every cell of `CELLS`."""
    return {cell: run_cell(cell, alloys, problem) for cell in CELLS}
