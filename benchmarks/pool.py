"""Size and exactness of the trusted pool of the published, uncleaned table (experience/pool-design.md).

AIMAT_DATA_DIR=DIR python benchmarks/pool.py
"""

from __future__ import annotations

import json
import os

import numpy as np
from _parts import DATA_VARIABLE, NEEDS_TABLE, entry

from aimat_ray.config import EnvSettings
from aimat_ray.data.composition import composition_key
from aimat_ray.data.sources import load_data
from aimat_ray.experience.pool import build_pool

TRANSITIONS, COMPOSITIONS, RESIDUAL = (4070, 4072), (861, 881), 1e-12
NAMES = ("pool_transitions", "pool_compositions", "pool_alloys", "pool_residual")


def main() -> list[dict]:
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        return [entry(name, None, "", None, None, NEEDS_TABLE) for name in NAMES]
    table = load_data(folder, clean=False).regression
    pool = build_pool(table, EnvSettings().max_step_at_pct / 100)
    rows = np.unique(pool.source_row)
    distinct = len(set(composition_key(table.at_frac[rows], 2)))
    residual = pool.max_abs_residual
    counts = (("rows of the table", len(rows)), ("distinct at 0.01 at%", distinct))
    return [
        entry("pool_transitions", len(pool), "", span(TRANSITIONS), inside(len(pool), TRANSITIONS), "uncleaned table"),
        *(
            entry(name, n, "", span(COMPOSITIONS), inside(n, COMPOSITIONS), detail)
            for name, (detail, n) in zip(NAMES[1:3], counts, strict=True)
        ),
        entry("pool_residual", residual, "", RESIDUAL, residual <= RESIDUAL, "max |s + a - s'|") | {"value": residual},
    ]


def span(bounds: tuple[int, int]) -> str:
    return f"{bounds[0]}..{bounds[1]}"


def inside(n: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= n <= bounds[1]


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
