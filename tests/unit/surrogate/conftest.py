"""Fitted bundles that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aimat_ray.data.sources import AlloyData
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.bundle import BUNDLE_NAMES, SurrogateBundle, fit_bundle
from tests.small_alloys import small_alloy_data
from tests.small_recipes import small_recipes


@pytest.fixture(scope="package", autouse=True)
def _small_recipes() -> Iterator[None]:
    with small_recipes():
        yield


@pytest.fixture(scope="package")
def alloys(problem: DesignProblem) -> AlloyData:
    """A small table of made-up alloys."""
    return small_alloy_data(problem)


@pytest.fixture(scope="package")
def bundles(alloys: AlloyData, problem: DesignProblem) -> dict[str, SurrogateBundle]:
    """Every named bundle, with small models."""
    return {name: fit_bundle(alloys, problem, name, seed=0) for name in BUNDLE_NAMES}


@pytest.fixture(scope="package")
def bundle(bundles: dict[str, SurrogateBundle]) -> SurrogateBundle:
    """The default bundle, with small models."""
    return bundles["default"]
