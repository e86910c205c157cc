"""Cells as Ray tasks: in parallel on the cores of this machine or of a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from aimat_ray.comparison.cache import CellCache
from aimat_ray.comparison.cells import Cell, CellResult, run_cell
from aimat_ray.data.sources import AlloyData
from aimat_ray.errors import AimatError, TrainingError
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.runtime import ray_running

Progress = Callable[[int, int, str], None]
_TICK_S = 5.0


def run_cells(
    cells: Sequence[Cell],
    data: AlloyData,
    problem: DesignProblem,
    cache: CellCache,
    progress: Progress,
    num_cpus: int | None = None,
) -> dict[Cell, CellResult]:
    """Compute what is not in the cache yet.

    Args:
        cells: What to compute; started in this order.
        data: The alloys.
        problem: The design problem.
        cache: Takes every result as soon as it is there.
        progress: Told (cells done, cells in all, the latest or a running cell).
        num_cpus: Cores of a local Ray; all by default.

    Raises:
        TrainingError: A cell failed; those that were finished stay in the cache.
    """
    keys = {cell: cell.key(data) for cell in cells}
    results = finished_cells(cells, data, cache)
    missing = [cell for cell in cells if cell not in results]
    progress(len(results), len(cells), "from an earlier run" if results else "starting")
    if missing:
        with ray_running(num_cpus=num_cpus):
            _run_missing(missing, data, problem, cache, keys, results, progress)
    return {cell: results[cell] for cell in cells}


def finished_cells(cells: Sequence[Cell], data: AlloyData, cache: CellCache) -> dict[Cell, CellResult]:
    """What is in the cache already."""
    return {cell: kept for cell in cells if (kept := cache.load(cell.key(data))) is not None}


def _run_missing(
    missing: list[Cell],
    data: AlloyData,
    problem: DesignProblem,
    cache: CellCache,
    keys: dict[Cell, str],
    results: dict[Cell, CellResult],
    progress: Progress,
) -> None:
    import ray

    total = len(results) + len(missing)
    task = ray.remote(num_cpus=1, max_retries=1)(_run_in_task)
    shared = ray.put((replace(data, oracle=None), problem))  # the truth of a synthetic world stays here
    open_ = {task.remote(cell, shared): cell for cell in missing}
    try:
        while open_:
            ready, _ = ray.wait(list(open_), num_returns=1, timeout=_TICK_S)
            for reference in ready:
                cell = open_.pop(reference)
                results[cell] = _result(reference, cell)
                cache.save(keys[cell], results[cell])
                progress(len(results), total, f"{cell.label}, {cell.split} folds, seed {cell.seed}")
    finally:
        for reference in open_:
            ray.cancel(reference, force=True)


def _run_in_task(cell: Cell, shared: tuple[AlloyData, DesignProblem]) -> CellResult:
    return run_cell(cell, *shared)


def _result(reference: Any, cell: Cell) -> CellResult:
    import ray

    where = f"comparison: {cell.label} on {cell.split} folds, seed {cell.seed}"
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, AimatError):
            raise cause from error
        raise TrainingError(f"{where} failed: {cause!r}") from error
    except ray.exceptions.RayError as error:
        raise TrainingError(f"{where}: its process was lost ({error}); start again to continue") from error


def cpu_seconds(results: dict[Cell, CellResult]) -> float:
    """CPU time of all cells, whenever they were computed."""
    return sum(result.seconds for result in results.values())


def timer() -> Callable[[], float]:
    """Seconds since this call."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
