"""A small table of made-up alloys whose Tg follows the mixing enthalpy, and a surrogate that does not see it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from small_alloys import as_data

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.sources import AlloyData
from aimat_ray.descriptors import Descriptors
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.bundle import SurrogateBundle, fit_bundle

ELEMENTS = ("Zr", "Cu", "Ni", "Al", "Ti", "Ag", "Fe", "Nb", "La", "Mg")
SEEN = ("mass_mean", "volume_mean", "radius_mean")  # descriptors of the first surrogate
N_SYSTEMS, ROWS_PER_SYSTEM = 70, 5


def planted_small_data(problem: DesignProblem, law: float = 12.0, seed: int = 0) -> AlloyData:
    """Tg = 600 K + `law` K per kJ/mol of mixing enthalpy + 5 K of noise, for three- and four-element alloys."""
    rng = np.random.default_rng(seed)
    systems = [s for size in (3, 4) for s in combinations(ELEMENTS, size)]
    picked = [systems[i] for i in rng.permutation(len(systems))[:N_SYSTEMS]]
    at_frac = np.zeros((N_SYSTEMS * ROWS_PER_SYSTEM, len(problem.elements)))
    for i in range(len(at_frac)):
        columns = [problem.element_index[e] for e in picked[i // ROWS_PER_SYSTEM]]
        at_frac[i, columns] = rng.dirichlet(np.full(len(columns), 3.0))
    enthalpy = Descriptors(problem.elements, ["h_mix"]).transform(at_frac)[:, 0]
    values = np.full((len(at_frac), len(problem.properties)), np.nan)
    values[:, problem.property_keys.index("tg_k")] = 600.0 + law * enthalpy + rng.normal(0.0, 5.0, len(at_frac))
    glass = rng.random(len(at_frac)) < 0.6
    n = len(at_frac)
    table = AlloyTable(
        at_frac=at_frac, values=values, feasible=glass.astype(float), label=tuple("BMG" if g else "CRA" for g in glass),
        formula=tuple(f"row{i}" for i in range(n)), source_row=np.arange(2, n + 2),
    )  # fmt: skip
    data = as_data(problem, table, table.rows(np.arange(n)), checksum=f"{seed:x}{law:.0f}".ljust(64, "0"))
    return replace(data, name="planted")


def planted_bundle(data: AlloyData, problem: DesignProblem) -> SurrogateBundle:
    """The judge's recipe (forests: quick) on fractions and a few descriptors."""
    return fit_bundle(data, problem, "judge", 0, descriptors=SEEN)
