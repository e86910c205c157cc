"""Agents trained for a benchmark, and how often they truly succeed on the synthetic world."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from _parts import say
from scipy import stats

from aimat_ray.config import DesignSettings
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.algorithm import build_algorithm
from aimat_ray.rl.labels import make_labeler, search_archive
from aimat_ray.rl.ledger import true_successes
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.prepare import BUNDLE_SEED, Workbench, read_inputs, without_dead_bases
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.train import train_agent


def quiet(line: str) -> None:
    """Says nothing."""


def workbench(settings: DesignSettings) -> Workbench:
    """What a run works with; the surrogate takes the judge's place too, which no number of these benchmarks needs."""
    inputs, store = read_inputs(settings, quiet), SurrogateStore()
    bundle = store.get_or_fit("default", inputs.data, inputs.problem, BUNDLE_SEED)
    client = SurrogateClient.stored(store.root, bundle.version)
    bench = Workbench(**vars(inputs), bundle=bundle, judge=bundle, predictor=client)
    return without_dead_bases(bench, say) if len(bench.goals) > 1 else bench


@contextmanager
def trained_policy(bench: Workbench) -> Iterator[Policy]:
    """The policy of an agent that was trained with the workbench's settings."""
    wants_archive = bench.settings.agent.labels != "none"
    archive = search_archive(bench, quiet) if wants_archive else None
    algorithm = build_algorithm(bench, make_labeler(bench, archive))
    try:
        with tempfile.TemporaryDirectory() as folder:
            train_agent(algorithm, bench, RunDirectory(Path(folder) / "run"), quiet, resume=False)
        yield Policy(bench.task, algorithm.actor())
    finally:
        algorithm.stop()


def walk_ends(bench: Workbench, policy: Policy, starts: Sequence[Any]) -> dict[str, float]:
    """Follow a policy from the given starts: share of walks that end truly at the goal, and related ones."""
    true, claimed, sure = [], [], []
    for start in starts:
        rng = np.random.default_rng(bench.settings.seed)
        end = run_episodes(bench.task, CountingPredictor(bench.predictor), start, policy, rng)
        true.append(true_successes(bench, end.final))
        claimed.append(end.goal)
        sure.append(end.final.prediction.in_domain)
    truth, claim = np.concatenate(true), np.concatenate(claimed)
    return {
        "true": float(truth.mean()),
        "claimed": float(claim.mean()),
        "claimed_and_true": float((claim & truth).mean()),
        "true_of_claimed": float(truth[claim].mean()) if claim.any() else float("nan"),
        "in_domain": float(np.concatenate(sure).mean()),
        "walks": len(truth),
    }


def mean_interval(values: Sequence[float], lowest: float = 0.0) -> str:
    """Mean and 95 % interval (Student's t over seeds), cut at `lowest` and 1."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return f"{mean:.3f} [{max(mean - half, lowest):.3f}, {min(mean + half, 1):.3f}]"
