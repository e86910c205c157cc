"""Swaps, rollbacks and bad versions under continuous load; for the serving benchmark."""

from __future__ import annotations

import copy
import json
import shutil
import time
from dataclasses import replace
from typing import Any

import numpy as np
from _parts import entry, say
from _serving import bodies, failed, load, n_replies, served_version

from aimat_ray.data.formulas import AlloyReader
from aimat_ray.errors import ArtifactError
from aimat_ray.problem import load_problem
from aimat_ray.registry.canary import canary_rows, write_canary
from aimat_ray.registry.files import seal_folder
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.surrogate.bundle import SurrogateBundle
from aimat_ray.surrogate.calibration import ClassCalibrator
from aimat_ray.surrogate.features import FeatureSpace

N_SWAPS, N_ROLLBACKS = 10, 2


def variant(bundle: SurrogateBundle, shift: float) -> SurrogateBundle:
    """A surrogate of its own version whose probabilities differ from the original's."""
    calibrator = ClassCalibrator(bundle._parts.class_calibrator.slope, shift)
    return renamed(bundle, class_calibrator=calibrator)


def renamed(bundle: SurrogateBundle, **parts: Any) -> SurrogateBundle:
    manifest = bundle.manifest.model_copy(update={"version": ""})
    return SurrogateBundle(replace(bundle._parts, **parts), manifest)


def bad_versions(bundle: SurrogateBundle, store: SurrogateStore) -> dict[str, str]:
    """Stored versions that must never answer, by what is wrong with them."""
    corrupt = store.put(variant(bundle, 5.0))
    largest = max((p for p in store.path(corrupt).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(content)

    ensemble = copy.copy(bundle._parts.ensemble)
    ensemble.space = FeatureSpace(ensemble.space.elements, tuple(reversed(ensemble.space.names)))
    reordered = with_files_of(store, variant(bundle, 6.0), renamed(bundle, ensemble=ensemble))
    not_numbers = np.full_like(bundle._parts.fallback, np.nan)
    calibrator = ClassCalibrator(float("nan"), 0.0)
    nan = with_files_of(store, variant(bundle, 7.0), renamed(bundle, class_calibrator=calibrator, fallback=not_numbers))
    return {"corrupt file": corrupt, "wrong feature order": reordered, "NaN output": nan}


def with_files_of(store: SurrogateStore, promised: SurrogateBundle, actual: SurrogateBundle) -> str:
    """A version with valid checksums whose reference answers are of one bundle and whose models are of another."""
    version = store.put(promised)
    folder = store.path(version)
    shutil.rmtree(folder)
    actual.save(folder)
    write_canary(folder, promised, canary_rows(len(promised.elements)))
    seal_folder(folder, promised.name, version)
    return version


def expected_answers(bundles: list[SurrogateBundle], texts: list[str]) -> dict[str, list[list[float]]]:
    reader = AlloyReader(load_problem().elements)
    rows = [reader.read(json.loads(text)["alloys"]) for text in texts]
    return {b.version: [b.predict(at_frac).p_feasible.tolist() for at_frac in rows] for b in bundles}


def swaps(base_url: str, hub: Any, store: SurrogateStore, bundle: SurrogateBundle) -> list[dict[str, Any]]:
    good = [variant(bundle, 0.1 * (i + 1)) for i in range(N_SWAPS)]
    bad = bad_versions(bundle, store)
    for one in good:
        store.put(one)
    texts = bodies(12, 3)
    expected = expected_answers([bundle, *good], texts)
    refused, times = [], []
    with load(
        url=f"{base_url}/v1/predict", bodies=texts, connections=8, seconds=600, rate=None, expected=expected,
        stop_file=str(store.root / "stop"),
    ) as outcome:  # fmt: skip
        time.sleep(1.0)
        for i, one in enumerate(good):
            times.append(swap_to(base_url, lambda one=one: hub.publish(one.version), one.version))
            say(f"  swap {i + 1}: served after {times[-1]:.1f} s")
            if i % 3 == 2:
                what, version = list(bad.items())[i // 3]
                refused.append(refuses(hub, store, version))
                say(f"  {what}: refused {refused[-1]}")
        for i in range(N_ROLLBACKS):
            swap_to(base_url, hub.rollback, good[-2 - i].version)
        time.sleep(1.0)
        (store.root / "stop").touch()
    n_lost, n_mixed, n_unknown = failed(outcome), outcome["mixed"], outcome["unknown"]
    n_versions = len(set(outcome["versions"]))
    detail = f"{n_replies(outcome)} requests from 8 connections during {N_SWAPS} swaps, {len(bad)} bad versions, "
    detail += f"{N_ROLLBACKS} rollbacks; {n_versions} versions answered; "
    detail += f"slowest reply {1e3 * max(outcome['times_s']):.0f} ms; "
    detail += (
        f"publication to first reply {min(times):.1f} to {max(times):.1f} s (check in a process of its own included)"
    )
    return [
        entry("serving_swaps_failed", n_lost, "requests", 0, n_lost == 0 and n_versions == N_SWAPS + 1, detail),
        entry("serving_swaps_mixed", n_mixed, "replies", 0, n_mixed == 0, "every value compared with its version's"),
        entry(
            "serving_bad_versions_served",
            n_unknown + refused.count(False),
            "replies",
            0,
            n_unknown == 0 and all(refused) and len(refused) == len(bad),
            f"{', '.join(bad)}: refused at publication, and by the replicas where published without a check",
        ),
    ]


def swap_to(base_url: str, change: Any, version: str) -> float:
    """Make a change and wait until it answers; seconds."""
    began = time.monotonic()
    change()
    while served_version(base_url) != version:
        if time.monotonic() - began > 120:
            raise RuntimeError(f"{version} was not served in time")
        time.sleep(0.05)
    return time.monotonic() - began


def refuses(hub: Any, store: SurrogateStore, version: str) -> bool:
    """Whether a bad version is refused when published, and taken back when the pointer is moved without a check."""
    before = hub.current().version
    try:
        hub.publish(version)
        return False
    except ArtifactError as error:
        say(f"    at publication: {error.message[:110]}")
    try:
        store.set_current(hub.channel, version)
    except ArtifactError:
        return hub.current().version == before  # a corrupt file can't even be pointed at
    deadline = time.monotonic() + 60
    while hub.current().version != before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
