"""What a comparison leaves in its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aimat_ray.comparison.cells import Cell, CellResult
from aimat_ray.comparison.figures import draw_all
from aimat_ray.comparison.scores import Bench
from aimat_ray.comparison.tables import markdown, score_rows
from aimat_ray.registry.files import write_atomically

NAME = "surrogate_benchmark"


def write_report(
    document: Mapping[str, Any], results: Mapping[Cell, CellResult], bench: Bench, folder: Path
) -> list[Path]:
    """Write the scores (JSON, parquet, Markdown) and the pictures.

    Args:
        document: What `summarise` made.
        results: All cells.
        bench: The rows.
        folder: Where to.

    Returns:
        The files.
    """
    import pandas as pd

    table = folder / f"{NAME}.parquet"
    pd.DataFrame(score_rows(dict(document))).to_parquet(table, index=False)
    page = folder / f"{NAME}.md"
    write_atomically(page, markdown(dict(document), bench.problem, "Surrogate benchmark"))
    scores = folder / f"{NAME}.json"
    write_atomically(scores, json.dumps(finite(document), indent=1) + "\n")
    return [scores, table, page, *draw_all(results, bench, folder)]


def finite(value: Any, digits: int = 6) -> Any:
    """Plain JSON: numbers to so many significant digits, null for those that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value
