"""The closed-form problem, on which every number of a contest is cheap."""

from __future__ import annotations

from typing import Any

import pytest

from aimat_ray.contest.arenas import reference_bench
from aimat_ray.contest.settings import ProblemSettings


@pytest.fixture(scope="session")
def formula_bench() -> Any:
    """The referee's workbench of the closed-form problem."""
    return reference_bench(ProblemSettings(kind="closed_form"))
