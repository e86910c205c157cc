"""A small table of made-up alloys with simple laws, for tests of the surrogates."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.cleaning import CleaningReport
from aimat_ray.data.sources import AlloyData
from aimat_ray.problem import DesignProblem

ELEMENTS = ("Zr", "Cu", "Ni", "Al", "Ti", "Ag", "Fe", "Nb")


def small_tables(problem: DesignProblem, n_rows: int = 160, seed: int = 0) -> tuple[AlloyTable, AlloyTable]:
    """Tables of three- and four-element alloys: tg linear in the fractions, some properties mostly missing.

    Half of the class rows (those with little Zr and Cu) are not feasible; a few of these have mechanical values.
    """
    rng = np.random.default_rng(seed)
    systems = [s for size in (3, 4) for s in combinations(ELEMENTS, size)]
    picked = [systems[i] for i in rng.permutation(len(systems))[: max(n_rows // 8, 4)]]
    at_frac = np.zeros((n_rows, len(problem.elements)))
    for i in range(n_rows):
        columns = [problem.element_index[e] for e in picked[i % len(picked)]]
        at_frac[i, columns] = rng.dirichlet(np.full(len(columns), 3.0))
    weight = np.zeros(len(problem.elements))
    weight[[problem.element_index[e] for e in ELEMENTS]] = np.linspace(400.0, 900.0, len(ELEMENTS))
    tg = at_frac @ weight + rng.normal(0.0, 5.0, n_rows)
    glass = at_frac[:, problem.element_index["Zr"]] + at_frac[:, problem.element_index["Cu"]] > 0.35
    values = np.full((n_rows, len(problem.properties)), np.nan)
    laws = {
        "tg_k": tg, "tx_k": tg + 50.0, "tl_k": 1.5 * tg + 150.0, "dmax_mm": np.exp(rng.normal(1.0, 0.6, n_rows)),
        "yield_strength_mpa": 2.5 * tg, "youngs_modulus_gpa": 0.15 * tg, "elongation_pct": 6000.0 / tg,
    }  # fmt: skip
    for key, law in laws.items():
        values[:, problem.property_keys.index(key)] = law
    mechanical = [problem.property_keys.index(k) for k in ("yield_strength_mpa", "elongation_pct")]
    thermal = [problem.property_keys.index(k) for k in ("tg_k", "tx_k", "tl_k", "dmax_mm")]
    values[np.ix_(rng.random(n_rows) < 0.5, mechanical)] = np.nan
    values[np.ix_(~glass, thermal)] = np.nan
    regression = _table(at_frac, values, glass)
    return regression, _table(at_frac, np.full_like(values, np.nan), glass)


def small_alloy_data(problem: DesignProblem, n_rows: int = 160, seed: int = 0) -> AlloyData:
    """`small_tables` as a data set."""
    return as_data(problem, *small_tables(problem, n_rows, seed), checksum=f"{seed:x}{n_rows:x}".ljust(64, "0"))


def as_data(
    problem: DesignProblem, regression: AlloyTable, classification: AlloyTable, checksum: str = "0" * 64
) -> AlloyData:
    """Tables as a data set without windows."""
    return AlloyData(
        name="small", checksum=checksum, synthetic=True, regression=regression, classification=classification,
        windows={}, cleaning=CleaningReport(), problem=problem,
    )  # fmt: skip


def _table(at_frac: np.ndarray, values: np.ndarray, glass: np.ndarray) -> AlloyTable:
    n = len(at_frac)
    return AlloyTable(
        at_frac=at_frac, values=values, feasible=glass.astype(float), label=tuple("BMG" if g else "CRA" for g in glass),
        formula=tuple(f"row{i}" for i in range(n)), source_row=np.arange(2, n + 2),
    )  # fmt: skip
