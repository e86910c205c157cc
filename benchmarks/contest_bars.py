"""The contest's bars, from its stored tables: RESULTS.md in numbers. Nothing is run here but the arithmetic.

True different designs of our best TD3 against those of TD3 as published (bar: 3 times), and what a true design costs it
after training against NSGA-II (bar: a tenth), on OracleWorld at the last point of the budget.

    python benchmarks/contest_bars.py [--tables benchmarks/results/compare]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from _parts import entry

from aimat_ray.contest.bars import cost_bar, hits_bar
from aimat_ray.contest.tables import read_tables

DEFAULT = True
TABLES = Path(__file__).parent / "results" / "compare"


def main() -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, default=TABLES)
    results = read_tables(parser.parse_args().tables)
    entries = []
    hits = hits_bar(results)
    if hits is not None:
        detail = {
            "ours": vars(hits.ours),
            "published": vars(hits.published),
            "method": hits.method,
            "published_as": hits.other,
        }
        entries.append(entry("contest_true_designs", hits.ratio, "times TD3 as published", 3.0, hits.met, detail))
    cost = cost_bar(results)
    if cost is not None:
        detail = {
            "ours": vars(cost.ours), "nsga2": vars(cost.theirs), "method": cost.method,
            "nsga2_cheapest": vars(cost.cheapest) | {"point": cost.cheapest_point},
        }  # fmt: skip
        entries.append(
            entry("contest_cost_of_a_design", cost.ratio, "times cheaper than NSGA-II", 10.0, cost.met, detail)
        )
    return entries


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
