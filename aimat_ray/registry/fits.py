"""Which inputs gave which version, so that nobody waits twice for the same fit."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

from aimat_ray.errors import ArtifactError
from aimat_ray.registry.channel import check_name
from aimat_ray.registry.files import write_atomically

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from aimat_ray.data.sources import AlloyData
    from aimat_ray.problem import DesignProblem
    from aimat_ray.registry.store import SurrogateStore
    from aimat_ray.surrogate.bundle import SurrogateBundle

Fit = Callable[..., "SurrogateBundle"]
_LIBRARIES = ("catboost", "imbalanced-learn", "numpy", "scikit-learn")
_SOURCES = (
    "surrogate",
    "descriptors.py",
    "data/composition.py",
    "data/elements.py",
    "data/splits.py",
    "data/tables",
)

log = logging.getLogger(__name__)


def recipe_fingerprint() -> str:
    """Identity of the code that fits: package and library versions and the source text of the fitting layers.

    The source text is in it because a changed recipe with an unchanged version number would otherwise
    silently keep serving models of the old recipe.
    """
    return source_fingerprint(_SOURCES, ("aimat-ray", *_LIBRARIES))


@lru_cache(maxsize=8)
def source_fingerprint(sources: tuple[str, ...], libraries: tuple[str, ...]) -> str:
    """Identity of code: versions of libraries and the text of this package's files and folders."""
    digest = hashlib.sha256()
    for library in libraries:
        digest.update(f"{library}=={_installed(library)}\n".encode())
    for name in sources:
        for label, text in _source_texts(resources.files("aimat_ray") / name, name):
            digest.update(f"{label}\n".encode() + text)
    return digest.hexdigest()


def _installed(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "absent"


def _source_texts(entry: Traversable, label: str) -> list[tuple[str, bytes]]:
    if entry.is_dir():
        children = sorted(entry.iterdir(), key=lambda child: child.name)
        return [pair for child in children for pair in _source_texts(child, f"{label}/{child.name}")]
    kept = entry.is_file() and entry.name.endswith((".py", ".csv", ".yaml"))
    return [(label, entry.read_bytes())] if kept else []


def fit_key(name: str, data: AlloyData, problem: DesignProblem, seed: int) -> str:
    """Identity of a fit: everything that its result depends on. The data's checksum is of the cleaned tables."""
    inputs = {
        "name": name,
        "data": data.checksum,
        "problem": problem.model_dump(mode="json"),
        "seed": seed,
        "recipe": recipe_fingerprint(),
    }
    text = json.dumps(inputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def get_or_fit(
    store: SurrogateStore,
    name: str,
    data: AlloyData,
    problem: DesignProblem,
    seed: int,
    progress: Any = None,
    fit: Fit | None = None,
) -> SurrogateBundle:
    """See `SurrogateStore.get_or_fit`. Two processes with the same inputs fit once: the second waits."""
    key = fit_key(check_name("bundle name", name), data, problem, seed)
    record = store.root / name / "fits" / f"{key}.json"
    if (bundle := _fitted(store, record, name)) is not None:
        return bundle
    with store.lock(name, f"fit-{key}", timeout_s=-1):
        if (bundle := _fitted(store, record, name)) is not None:
            return bundle
        bundle = (fit or _default_fit())(data, problem, name, seed, progress=progress)
        version = store.put(bundle)
        write_atomically(record, json.dumps({"version": version, "name": name, "seed": seed}) + "\n")
    return store.get(version, name)  # what later runs will load, so that the first run equals them to the bit


def fitted(
    store: SurrogateStore, name: str, data: AlloyData, problem: DesignProblem, seed: int
) -> SurrogateBundle | None:
    """The bundle that an earlier `get_or_fit` with these inputs left in the store; None where there is none."""
    key = fit_key(check_name("bundle name", name), data, problem, seed)
    return _fitted(store, store.root / name / "fits" / f"{key}.json", name)


def _default_fit() -> Fit:
    from aimat_ray.surrogate.bundle import fit_bundle

    return fit_bundle


def _fitted(store: SurrogateStore, record: Any, name: str) -> SurrogateBundle | None:
    """The bundle that a record points to; None if there is no record or its version is no longer sound."""
    try:
        version = str(json.loads(record.read_text(encoding="utf-8"))["version"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        log.warning("%s can't be read; the surrogate is fitted again", record)
        return None
    try:
        return store.get(version, name)
    except ArtifactError as error:
        log.warning("the stored surrogate can't be used and is fitted again: %s", error.message)
        return None
