"""What accompanies a training run from this layer: AMR watches and swaps, KBR adds knowledge to late rewards."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aimat_ray.config import DesignSettings
from aimat_ray.errors import ProblemError, ServiceError
from aimat_ray.refine.actor import Refinement, Status
from aimat_ray.refine.checks import check_settings
from aimat_ray.refine.swap import recompute
from aimat_ray.refine.triggers import Window, correlation, variance_ratios
from aimat_ray.refine.watch import Watch, spread_in_domain
from aimat_ray.refine.work import Work
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.algorithm import pool_experience, training_task, trusted_columns
from aimat_ray.rl.distil import refreshed
from aimat_ray.rl.hooks import Alone
from aimat_ray.rl.labels import make_labeler, search_archive
from aimat_ray.rl.prepare import Say, Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.td3 import TD3
from aimat_ray.search.archive import Archive
from aimat_ray.surrogate.changed import changed_property

logger = logging.getLogger(__name__)
CHECKS_PER_RUN = 10  # at most: neighbouring windows of a default run then share half of their steps
LEAST_STEPS_BETWEEN_CHECKS = 500
LOAD_TIMEOUT_S = 60.0
_POLL_S = 0.2
PHASES = ("idle", "proposing", "retraining", "publishing")


class AmrCompanion(Alone):
    """Watches the surrogate while agents train, has it refined, and swaps it under the training.

    Args:
        settings: Of the run.
        say: Told what happens.
        after_swap: Called when stored rewards have been recomputed.
    """

    def __init__(self, settings: DesignSettings, say: Say, after_swap: Callable[[TD3], None] | None = None) -> None:
        check_settings(settings)
        self._settings, self._say, self._after_swap = settings, say, after_swap
        self._hub: SurrogateHub | None = None
        self._refinement: Refinement | None = None
        self._n_versions = 0
        self._status: Status | None = None

    # ---------------------------------------------------------------- the run's calls
    def join(self, bench: Workbench, run: RunDirectory, resume: bool) -> Workbench:
        """Give the run a line of versions of its own, and let everything follow it."""
        store = SurrogateStore()
        name = f"{bench.settings.base.lower().replace(',', '_')[:20]}-{_digest(str(run.path.resolve()))}"
        self._hub = SurrogateHub.start(Channel.of(bench.bundle.manifest, run=name), store.root)
        current = self._hub.current()
        if not resume or current is None:
            current = self._hub.publish(bench.bundle.version, note="start of the run")
        self._first_version = bench.bundle.version
        bench = replace(bench, predictor=SurrogateClient.following(self._hub))
        if current.version != bench.bundle.version:
            bench = replace(bench, bundle=store.get(current.version, current.name))
            self._say(f"the run goes on with its refined surrogate {current.version}")
        work = Work(
            data=bench.data,
            problem=bench.problem,
            settings=self._settings.refine,
            llm=self._settings.llm,
            llm_folder=self._settings.llm.folder(run.path),
            store=store.root,
            bundle=bench.bundle.name,
        )
        watched = watched_properties(bench)
        self._refinement = Refinement.start(f"refinement/{name}", run.path, self._hub, work, watched)
        self._watched = watched
        return bench

    def start(self, algorithm: TD3, bench: Workbench, archive: Archive | None) -> None:
        """Begin to watch; after a resume, bring restored transitions to the current version."""
        self._bench, self._archive = bench, archive
        self._watch = Watch(bench.task, self._settings.refine, self._settings.agent.gamma)
        self._reference = spread_in_domain(bench.predictor, bench.data)
        self._measured = self._measure(None)
        algorithm.listeners.append(self._watch.see)
        self._interval = max(LEAST_STEPS_BETWEEN_CHECKS, self._settings.steps // CHECKS_PER_RUN)
        self._next_check = algorithm.env_steps + self._interval
        self._n_versions = len(self._live().status().versions)
        if len(algorithm.buffer) and bench.bundle.version != self._first_version:
            self._swap(algorithm)

    def after_iteration(self, algorithm: TD3) -> dict[str, Any]:
        """Send a window when one is due, and swap when a new version is current."""
        before, measured = self._bench.predictor.version, self._measured
        try:
            if algorithm.env_steps >= self._next_check:
                self._next_check = algorithm.env_steps + self._interval
                self._look(algorithm)
                measured = self._measured
            if self._settings.refine.wait:
                self._wait()
            self._take(self._live().poll())
            if self._due() and self._ready(algorithm):
                self._swap(algorithm)
        except ServiceError as error:  # a dead actor or hub comes back by itself; training does not wait for it
            self._say(f"WARNING refinement: {error.message}")
        # The row of a swap still shows the check that led to it.
        return measured | self._columns(swapped=self._bench.predictor.version != before)

    def finish(self, bench: Workbench, archive: Archive | None) -> tuple[Workbench, Archive | None]:
        """Evaluate the run with the version that it ended on; nothing follows the hub any more."""
        bench.predictor.stay()
        fixed = SurrogateClient.stored(SurrogateStore().root, self._bench.bundle.version)
        ended = replace(bench, bundle=self._bench.bundle, predictor=fixed, distilled=self._bench.distilled)
        self._bench = refreshed(ended, SurrogateStore(), self._say)
        return self._bench, self._archive

    def close(self) -> None:
        """End the actor and the hub; versions, pointer and log stay on disk."""
        if self._refinement is not None:
            self._refinement.stop("training ended")
        if self._hub is not None:
            self._hub.stop()

    # ---------------------------------------------------------------- parts
    def _live(self) -> Refinement:
        assert self._refinement is not None, "join() comes first"
        return self._refinement

    def _look(self, algorithm: TD3) -> None:
        window = self._watch.window(algorithm, self._bench.predictor.version)
        if window is None:
            return
        self._measured = self._measure(window)
        self._take(self._live().poll())
        self._live().observe(window, self._reference)

    def _wait(self) -> None:
        """Let training stand still until the loop is idle again."""
        while (status := self._live().poll(_POLL_S)) is None and self._live().waiting:
            continue
        self._take(status)
        while self._status is not None and not self._status.idle:
            time.sleep(_POLL_S)
            self._take(self._live().status())

    def _take(self, status: Status | None) -> None:
        if status is None:
            return
        before, self._status = self._status, status
        if before is None or (before.phase, before.refinement) != (status.phase, status.refinement):
            if status.phase != "idle":
                self._say(f"refinement {status.refinement}: {status.phase}")
            elif before is not None and before.phase != "idle" and status.versions == before.versions:
                self._say(f"refinement {status.refinement}: abandoned")

    def _due(self) -> bool:
        return self._status is not None and len(self._status.versions) > self._n_versions

    def _ready(self, algorithm: TD3) -> bool:
        """Whether everybody has loaded the current version, so that the swap exchanges references only."""
        current = self._require_hub().require_current().version
        until = time.monotonic() + (LOAD_TIMEOUT_S if self._settings.refine.wait else 0.0)
        while True:
            loaded = [self._bench.predictor.next_version, *algorithm.env_runner_group.foreach_env_runner(_next_version)]
            if all(version == current for version in loaded):
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)

    def _swap(self, algorithm: TD3) -> None:
        """Adopt the current version everywhere: runners, this process, stored transitions, pool, archive and labels."""
        began = time.monotonic()
        pauses = adopt_everywhere(algorithm)
        bench = self._bench
        bench.predictor.refresh()
        current = self._require_hub().require_current()
        bench = replace(bench, bundle=SurrogateStore().get(current.version, current.name))
        if bench.settings.agent.labels == "lookahead":  # labels would cost many true predictions without it
            bench = refreshed(bench, SurrogateStore(), self._say)
        self._archive = _new_archive(bench, self._archive)
        labeler = make_labeler(bench, self._archive)
        if labeler is not None:
            algorithm.env_runner_group.foreach_env_runner(lambda r: _set_labeler(r, labeler))
        done = recompute(
            algorithm.buffer, training_task(bench.task), bench.predictor, labeler, threads=os.cpu_count() or 1,
            changed=changed_property(self._bench.bundle, bench.bundle),
        )  # fmt: skip
        if algorithm.buffer.n_trusted:
            experience = pool_experience(bench)
            algorithm.set_trusted(trusted_columns(experience, labeler if _stores_labels(algorithm) else None))
        if self._after_swap is not None:
            self._after_swap(algorithm)
        self._bench = bench
        self._reference = spread_in_domain(bench.predictor, bench.data)
        self._watch.forget()
        self._measured = self._measure(None)
        self._n_versions = len(self._live().status().versions)
        self._say(
            f"refined surrogate {current.version} in use from {algorithm.env_steps:,} env steps: runners paused "
            f"{1e3 * max(pauses, default=0.0):.0f} ms, {done.rows:,} rewards recomputed in {done.seconds:.1f} s, "
            f"{time.monotonic() - began:.1f} s in all"
        )

    def _require_hub(self) -> SurrogateHub:
        assert self._hub is not None, "join() comes first"
        return self._hub

    def _columns(self, swapped: bool) -> dict[str, Any]:
        """Where the loop stands after this iteration; what the last check measured stands beside it until the next."""
        status = self._status
        return {
            "refine_phase": float(PHASES.index(status.phase if status else "idle")),
            "refine_refinements": float(status.refinement if status else 0),
            "refine_versions": float(self._n_versions),
            "refine_swapped": float(swapped),
        }

    def _measure(self, window: Window | None) -> dict[str, float]:
        if window is None:  # nothing was seen of this version yet
            return {f"refine_ratio_{key}": np.nan for key in self._watched} | {"refine_r": np.nan}
        ratios = variance_ratios(window.spread, self._reference)
        keys = self._bench.problem.property_keys
        by_key = {f"refine_ratio_{key}": float(ratios[keys.index(key)]) for key in self._watched}
        return by_key | {"refine_r": correlation(window.to_go, window.value)}


def watched_properties(bench: Workbench) -> tuple[str, ...]:
    """Properties behind the run's goal; a quantity that is derived stands for its two properties."""
    derived = {spec.key: (spec.numerator, spec.denominator) for spec in bench.problem.derived}
    asked = [objective.quantity for goal in bench.goals for objective in goal.objectives]
    keys = [key for quantity in asked for key in derived.get(quantity, (quantity,))]
    return tuple(dict.fromkeys(keys))


def adopt_everywhere(algorithm: TD3) -> list[float]:
    """Let every runner take the current version between two steps; how long each paused, in seconds.

    Raises:
        ServiceError: The hub does not answer.
    """
    results: Sequence[tuple[str, float]] = algorithm.env_runner_group.foreach_env_runner(_adopt)
    return [seconds for _, seconds in results]


def _next_version(runner: Any) -> str:
    return str(runner.env.unwrapped.predictor.next_version)


def _adopt(runner: Any) -> tuple[str, float]:
    began = time.monotonic()
    return runner.adopt(), time.monotonic() - began


def _set_labeler(runner: Any, labeler: Any) -> None:
    runner.env.unwrapped.labeler = labeler


def _stores_labels(algorithm: TD3) -> bool:
    return "label" in algorithm.buffer.schema


def _new_archive(bench: Workbench, archive: Archive | None) -> Archive | None:
    """Goal alloys under the current version; the old ones no longer are, in part."""
    if archive is None:
        return None
    try:
        return search_archive(bench, lambda line: None)
    except ProblemError as error:
        logger.warning("%s", error.message)
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
