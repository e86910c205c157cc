"""Cells as Ray tasks, on the cores of this machine or of a cluster; every result is kept as soon as it is there."""

from __future__ import annotations

import datetime
import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import ray

from aimat_ray.contest.cache import CellCache
from aimat_ray.contest.cells import DESIGNS, Cell, checksums, content_of_run, data_spec
from aimat_ray.contest.play import Rules, play
from aimat_ray.contest.settings import ProblemSettings
from aimat_ray.errors import AimatError, TrainingError
from aimat_ray.registry.runtime import ray_running

Progress = Callable[[int, int, str], None]
_TICK_S = 5.0
_references: dict[str, Any] = {}  # workbenches of this process, by problem: loading one takes seconds


def run_cells(
    cells: Sequence[Cell], cache: CellCache, progress: Progress, cpus: int | None = None
) -> tuple[dict[Cell, dict[str, Any]], list[str]]:
    """Compute what is not in the cache yet.

    Args:
        cells: What to compute; started in this order.
        cache: Takes every result as soon as it is there.
        progress: Told (cells done, cells in all, the latest cell).
        cpus: Cells at a time; one per core by default.

    Returns:
        Results by cell, and what could not be done here, in words. Cells with equal content run once: of such twins one
        may be missing here, `finished_cells` has both.

    Raises:
        TrainingError: A cell failed; those that were finished stay in the cache.
    """
    results, missing, keys, notes = finished_cells(cells, cache)
    progress(len(results), len(results) + len(missing), "from an earlier run" if results else "starting")
    if missing:
        n = cpus or os.cpu_count() or 1
        with ray_running(num_cpus=n + 1):  # one more for what cells start themselves: the refits of AMR
            _run_missing(missing, n, cache, keys, results, progress)
    return results, notes


def finished_cells(
    cells: Sequence[Cell], cache: CellCache
) -> tuple[dict[Cell, dict[str, Any]], list[Cell], dict[Cell, str], list[str]]:
    """Results in the cache, cells that are missing, keys of both, and notes on cells whose data are not here."""
    here = [cell for cell in cells if data_spec(cell) is not None]
    sums = checksums(here)
    keys = {cell: cell.key(sums[data_spec(cell) or ""]) for cell in here}
    results = {cell: kept for cell in here if (kept := cache.load(keys[cell])) is not None}
    missing = list({keys[cell]: cell for cell in here if cell not in results}.values())  # twins run once
    absent = sorted({cell.problem or cell.method for cell in cells} - {cell.problem or cell.method for cell in here})
    notes = [f"{', '.join(absent)}: no measured data here (AIMAT_DATA_DIR, or aimat data fetch)"] if absent else []
    return results, missing, keys, notes


def _run_missing(
    missing: list[Cell],
    at_once: int,
    cache: CellCache,
    keys: dict[Cell, str],
    results: dict[Cell, dict[str, Any]],
    progress: Progress,
) -> None:
    total, waiting = len(results) + len(missing), list(missing)
    task = ray.remote(num_cpus=1, max_retries=1)(run_cell)
    open_: dict[Any, Cell] = {}
    failures: list[str] = []
    try:
        while waiting or open_:
            while waiting and len(open_) < at_once:
                cell = waiting.pop(0)
                open_[task.remote(cell)] = cell
            ready, _ = ray.wait(list(open_), num_returns=1, timeout=_TICK_S)
            for reference in ready:
                cell = open_.pop(reference)
                try:
                    results[cell] = _result(reference, cell)
                except TrainingError as error:  # one method's failure does not stop the others
                    failures.append(error.message)
                    progress(len(results), total, f"FAILED {error.message}")
                    continue
                cache.save(keys[cell], results[cell])
                progress(len(results), total, f"{cell.label}: {results[cell]['seconds']:.0f} s")
    finally:
        for reference in open_:
            ray.cancel(reference, force=True)
    if failures:
        raise TrainingError(f"{len(failures)} cells failed, the others are kept; the first: {failures[0]}")


def run_cell(cell: Cell) -> dict[str, Any]:
    """Compute a cell in this process."""
    warnings.simplefilter("ignore")  # libraries' notes about their own future; nobody reads a worker's terminal
    import torch

    torch.set_num_threads(1)
    wall, cpu = time.monotonic(), time.process_time()
    if cell.part == DESIGNS:
        rules = Rules(**cell.content["rules"])
        played = play(cell.content["kind"], _reference(cell), content_of_run(cell), rules, cell.seed)
        tables = {"scores": played.scores, "curves": played.curves, "clouds": played.clouds}
    else:
        from aimat_ray.contest.starts import play_starts

        tables = {"scores": play_starts(content_of_run(cell), cell.content, cell.seed), "curves": [], "clouds": []}
    return tables | {
        "seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "cores": os.cpu_count(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _reference(cell: Cell) -> Any:
    from aimat_ray.contest.arenas import reference_bench

    name = repr(sorted(cell.content["problem"].items()))
    if name not in _references:
        _references.clear()  # one at a time: cells come problem by problem
        _references[name] = reference_bench(ProblemSettings.model_validate(cell.content["problem"]))
    return _references[name]


def _result(reference: Any, cell: Cell) -> dict[str, Any]:
    try:
        return dict(ray.get(reference))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, AimatError) and cause.exit_code != TrainingError.exit_code:
            raise cause from error  # bad input: nothing else would work either
        message = cause.message if isinstance(cause, AimatError) else repr(cause)
        raise TrainingError(f"{cell.label} failed: {message}") from error
    except ray.exceptions.RayError as error:
        raise TrainingError(f"{cell.label}: its process was lost ({error}); start again to continue") from error
