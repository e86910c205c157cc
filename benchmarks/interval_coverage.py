"""Do nominal 90 % intervals hold where nothing was calibrated? OracleWorld against the truth, foreign data.

Per world a surrogate is fitted on its table and asked about alloys that are not in it:
- truth: alloys of chemical systems that the table does not have, from another draw of the world, against their true
  values (without the errors of measurement that the intervals were calibrated on);
- foreign: a table of another shape (glasses drawn uniformly from the windows of the bases, not in series around known
  ones), measured by other laboratories, every property of every alloy.
Only alloys that the surrogate itself calls inside its domain count.

    python benchmarks/interval_coverage.py [--worlds 0 1 2]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from typing import Any

import numpy as np
from _parts import entry, say

from aimat_ray.data.composition import system_key
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.data.synthetic_tables import LAB, NOISE, RELATIVE
from aimat_ray.env.legality import Limits
from aimat_ray.env.start import sample_starts
from aimat_ray.problem import DesignProblem, load_problem
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.surrogate.bundle import SurrogateBundle

Counts = tuple[np.ndarray, np.ndarray]
BARS = {"truth": 0.87, "foreign": 0.85}
N_FOREIGN = 1200
DRAW = 1_000  # seed of the other draw of a world's table
PER_LAB = 20  # alloys that one other laboratory measures


def inside(bundle: SurrogateBundle, at_frac: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether values [N, P] lie in their intervals [N, P], and whether the surrogate calls the alloys in domain [N]."""
    answer = bundle.predict(at_frac)
    return (values >= answer.lower) & (values <= answer.upper), answer.in_domain


def truth_coverage(bundle: SurrogateBundle, data: AlloyData, problem: DesignProblem) -> Counts:
    """Covered rows and rows per property, for alloys of unseen systems; the properties that the other draw measures."""
    assert data.oracle is not None
    table = data.oracle.sample_tables(DRAW + data.oracle.seed)[0]
    known = set(system_key(data.regression.at_frac, problem.elements).tolist())
    new = np.array([key not in known for key in system_key(table.at_frac, problem.elements).tolist()])
    rows = table.rows(new)
    hit, in_domain = inside(bundle, rows.at_frac, data.oracle.truth(rows.at_frac))
    counted = in_domain[:, None] & np.isfinite(rows.values)
    return (hit & counted).sum(axis=0), counted.sum(axis=0)


def foreign_coverage(bundle: SurrogateBundle, data: AlloyData, problem: DesignProblem) -> Counts:
    """Covered rows and rows per property, of other laboratories' table of glasses."""
    assert data.oracle is not None
    rng = np.random.default_rng([DRAW, data.oracle.seed])
    at_frac = window_alloys(data, problem, rng)
    at_frac = at_frac[data.oracle.feasible(at_frac)]
    hit, in_domain = inside(bundle, at_frac, measured_elsewhere(data.oracle.truth(at_frac), problem, rng))
    return hit[in_domain].sum(axis=0), np.full(hit.shape[1], in_domain.sum())


def window_alloys(data: AlloyData, problem: DesignProblem, rng: np.random.Generator) -> np.ndarray:
    """Alloys drawn uniformly from the windows of random bases, up to N_FOREIGN of them, [N, E]."""
    bases = [base for base in problem.bases if base in data.windows]
    drawn = [data.windows[base] for base in rng.choice(bases, N_FOREIGN)]
    limits = Limits(
        lower=np.stack([window.lower for window in drawn]),
        upper=np.stack([window.upper for window in drawn]),
        base=np.array([problem.element_index[window.base] for window in drawn], dtype=np.intp),
        max_elements=np.array([max(window.max_elements, 3) for window in drawn], dtype=np.intp),
    )
    return sample_starts(limits, rng)[0]


def measured_elsewhere(truth: np.ndarray, problem: DesignProblem, rng: np.random.Generator) -> np.ndarray:
    """What other laboratories report, each with an offset and a scatter of the world's own size, [N, P]."""
    values = truth.copy()
    lab = np.arange(len(truth)) // PER_LAB
    for p, key in enumerate(problem.property_keys):
        offset = LAB[key] * rng.standard_normal(int(lab.max()) + 1)[lab]
        error = offset + NOISE[key] * rng.standard_normal(len(truth))
        values[:, p] = truth[:, p] * np.exp(error) if key in RELATIVE else truth[:, p] + error
    return values


def main() -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    problem, store = load_problem(), SurrogateStore()
    sums: dict[str, list[Counts]] = {"truth": [], "foreign": []}
    for world in options.worlds:
        say(f"world {world}: fitting, or loading")
        data = load_data(f"oracle:{world}", problem)
        bundle = store.get_or_fit("default", data, problem, seed=0)
        sums["truth"].append(truth_coverage(bundle, data, problem))
        sums["foreign"].append(foreign_coverage(bundle, data, problem))
    return [verdict(kind, counts, problem, options.worlds) for kind, counts in sums.items()]


def verdict(kind: str, counts: list[Counts], problem: DesignProblem, worlds: list[int]) -> dict[str, Any]:
    """The least covered property of a kind of data, over all worlds, with all of them in the detail."""
    hits, rows = (np.sum([pair[i] for pair in counts], axis=0) for i in (0, 1))
    share = hits / np.maximum(rows, 1)
    detail = {
        key: {"covered": round(float(share[p]), 3), "n": int(rows[p])} for p, key in enumerate(problem.property_keys)
    }
    least, bar = float(share.min()), BARS[kind]
    name = f"interval_coverage_{kind}"
    return entry(name, least, "share, least covered property", bar, least >= bar, {"worlds": worlds} | detail)


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
