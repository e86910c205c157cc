"""The search ceiling: for which starts does an evolutionary search find a composition at the goal? Cached on disk."""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.episodes import CountingPredictor
from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, limits_of
from aimat_ray.prediction import Predictor
from aimat_ray.search.evolution import EvolutionSettings, evolve

_METHOD = "evolution-1"  # part of every cache key: raise it when the search itself changes


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What evolutionary search reaches from a set of starts.

    Attributes:
        goal: Whether a composition at the goal was found, [B].
        at_frac: The best composition found for each start, [B, E].
        predictions: Predictions spent per start, [B].
        version: Version of the surrogate.
        cached: Whether it was read from the cache.
    """

    goal: BoolArray
    at_frac: FloatArray
    predictions: NDArray[np.intp]
    version: str
    cached: bool = False

    @property
    def rate(self) -> float:
        """Share of starts with a composition at the goal."""
        return float(self.goal.mean())


def ceiling(
    task: DesignTask,
    predictor: Predictor,
    start: WalkState,
    seed: int = 0,
    settings: EvolutionSettings | None = None,
    cache: Path | None = None,
) -> Ceiling:
    """Search for every start, or read the answer of an earlier search of exactly the same.

    Args:
        task: What is designed, in `simplex` mode.
        predictor: The surrogate.
        start: Fresh walks.
        seed: Seed of the search.
        settings: Size of the search.
        cache: Folder of earlier answers; None keeps none.
    """
    settings = settings or EvolutionSettings()
    path = None
    if cache is not None:
        path = cache / f"ceiling-{ceiling_key(task, predictor.version, start, seed, settings)}.npz"
        found = _read(path, predictor.version, len(start))
        if found is not None:
            return found
    counter = CountingPredictor(predictor)
    evolved = evolve(task, counter, start, np.random.default_rng(seed), settings)
    result = Ceiling(evolved.goal, evolved.best.at_frac, evolved.predictions, predictor.version)
    if path is not None:
        _write(path, result)
    return result


def ceiling_key(task: DesignTask, version: str, start: WalkState, seed: int, settings: EvolutionSettings) -> str:
    """Content hash of everything that the answer depends on."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        content = part.tobytes() + repr((part.shape, part.dtype.str)).encode() if isinstance(part, np.ndarray) else part
        content = content if isinstance(content, bytes) else repr(content).encode()
        digest.update(f"{len(content)}:".encode() + content)

    limits = limits_of(task, start.base)
    add((_METHOD, version, seed, sorted(asdict(settings).items())))
    add(task.problem.model_dump_json())
    add(task.settings.model_dump_json())
    for array in (
        start.start,
        start.goals.at_least,
        start.goals.at_most,
        start.goals.max_change,
        limits.lower,
        limits.upper,
        limits.base.astype(np.int64),
        limits.max_elements.astype(np.int64),
    ):
        add(np.ascontiguousarray(array))
    return digest.hexdigest()[:32]


def _read(path: Path, version: str, n: int) -> Ceiling | None:
    """An earlier answer; None when there is none, or it can't be read (it is made again then)."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            result = Ceiling(stored["goal"], stored["at_frac"], stored["predictions"], version, cached=True)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return result if len(result.goal) == n else None


def _write(path: Path, result: Ceiling) -> None:
    """Store an answer; a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, goal=result.goal, at_frac=result.at_frac, predictions=result.predictions
    )
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as staging:
        staging.write(buffer.getvalue())
    Path(staging.name).replace(path)
