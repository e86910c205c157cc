"""A surrogate with a planted blind spot is noticed, mended and swapped while an agent trains (OracleWorld).

The world has a law that depends on the mixing enthalpy; the first surrogate sees no pair enthalpies, and nobody has
measured the property for alloys of the base where the agent works. What falls is the TRUE error: the world is known.
"""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
from _parts import entry, say
from _planted import BASE, PROPERTY, bench_of, folder, goal_k, lean_bundle, planted_data, settings_for, starts

from aimat_ray.config import VarianceTriggerSettings
from aimat_ray.refine.audit import FILE_NAME, read
from aimat_ray.refine.companion import AmrCompanion
from aimat_ray.refine.triggers import variance_ratios
from aimat_ray.refine.watch import spread_in_domain
from aimat_ray.registry.runtime import ray_running
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.algorithm import build_algorithm
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.train import train_agent
from aimat_ray.surrogate.refitting import property_rows, refit_property

DEFAULT = False  # a quarter of an hour
LIMIT = VarianceTriggerSettings().threshold
REGION = 500  # visited compositions at which variances are compared
STEPS = int(os.environ.get("AIMAT_BENCH_STEPS", "12000"))
ELSEWHERE = ("Cu", "Mg", "Ni", "La", "Ca", "Ce", "Pd", "Fe")


def main() -> list[dict]:
    data = planted_data()
    bundle = lean_bundle(data, say)
    goal = goal_k(data)
    # With the usual 1/16 update per step the critic has seen 200 batches of the new rewards when the run ends.
    loop = {"refine.adviser": "statistical", "refine.wait": True, "agent.updates_per_step": 0.25}
    settings = settings_for(goal, STEPS, seed=0, **loop)
    run = RunDirectory(folder("blind-spot"))
    bench = bench_of(data, bundle, settings)
    try:
        with ray_running(num_cpus=2):
            rows, visited = train(bench, run, settings)
        return report(data, bundle, rows, visited, read(run / FILE_NAME))
    finally:
        shutil.rmtree(run.path, ignore_errors=True)


def train(bench, run, settings):
    """Train with AMR; the rows of the metrics, and the compositions that were visited."""
    companion = AmrCompanion(settings, say)
    try:
        bench = companion.join(bench, run, resume=False)
        algorithm = build_algorithm(bench)
        try:
            train_agent(algorithm, bench, run, say, False, companion, None)
            where = bench.task.layout.blocks["at_frac"]
            at_frac = algorithm.buffer.column("next_obs")[:, where].astype(float)
            rows = run.read_table("metrics.parquet")
        finally:
            algorithm.stop()
    finally:
        companion.close()
    chosen = np.random.default_rng(0).permutation(len(at_frac))[:3000]
    return rows, at_frac[chosen]


def report(data, bundle, rows, visited, entries):
    p = data.problem.property_keys.index(PROPERTY)
    visited = visited / visited.sum(axis=1, keepdims=True)
    fired = [e.event["trigger"] for e in entries if e.event["type"] == "triggered"]
    published = [e.event["version"] for e in entries if e.event["type"] == "published"]
    proposals = [e.event["proposal"] for e in entries if e.event["type"] == "proposed"]
    for e in entries:
        say(f"{e.seq} {e.event['type']} {[i['type'] for i in e.instructions]}")
    variance_here = next((t for t in fired if t["kind"] == "variance"), None)
    other = elsewhere(data, bundle)
    out = [
        entry("amr_variance_trigger_fires", bool(variance_here), "", True, bool(variance_here),
              f"{BASE}/{PROPERTY}: ratio {variance_here['value']:.1f} at {variance_here['env_steps']} env steps"
              if variance_here else "no variance trigger"),
        entry("amr_highest_ratio_elsewhere", max(other.values()), "", LIMIT, max(other.values()) <= LIMIT,
              "same property, other bases: " + ", ".join(f"{b} {r:.1f}" for b, r in other.items())),
    ]  # fmt: skip
    if not published:
        missing = [e.instructions[-1].get("reason") for e in entries if e.instructions]
        return [*out, entry("amr_true_error_falls", None, "", 0.5, False, f"nothing was published: {missing}")]
    after = SurrogateStore().get(published[-1])
    truth = data.oracle.truth(visited)[:, p]
    said = [b.predict(visited) for b in (bundle, after)]
    mse = [float(np.mean((s.mean[:, p] - truth) ** 2)) for s in said]
    spread = [float(np.mean(s.spread[:, p] ** 2)) for s in said]
    r_before, r_after = correlations(rows)
    names = "; ".join(", ".join(x["descriptors"]) for x in proposals)
    compared = next(
        e.event["comparison"]["variance"] for e in entries
        if e.event["type"] == "retrained" and e.event["comparison"]["version"] == published[0]
    )  # fmt: skip
    at_trigger = 1 - compared["after"] / compared["before"]
    variance = variances(data, bundle, after, visited)
    over_systems = 1 - variance[1] / variance[0]
    falls = [1 - mse[1] / mse[0], 1 - spread[1] / spread[0]]
    return [
        *out,
        entry("amr_true_error_falls", falls[0], "", 0.5, falls[0] >= 0.5,
              f"mean squared true error where the agent walks: {mse[0]:.0f} to {mse[1]:.0f} K^2; proposed: {names}"),
        entry("amr_variance_falls", min(over_systems, at_trigger), "", 0.6, min(over_systems, at_trigger) >= 0.6,
              f"variance between models of different systems, the worse of two: where the agent walks "
              f"{variance[0]:.0f} to {variance[1]:.0f} K^2; at the 48 compositions that the first trigger kept "
              f"{compared['before']:.0f} to {compared['after']:.0f} K^2"),
        entry("amr_member_spread_falls", falls[1], "", None, True,
              f"mean squared spread of the members where the agent walks: {spread[0]:.0f} to {spread[1]:.0f} K^2"),
        entry("amr_correlation_before", r_before, "", 0.5, r_before < 0.5,
              "mean of the last three checks before the swap"),
        entry("amr_correlation_after", r_after, "", 0.75, r_after > 0.75,
              f"mean of the last three checks; all checks: {course(rows)}"),
    ]  # fmt: skip


def variances(data, first, last, at_frac):
    """Variance between models that have seen different systems, at compositions [N, E], of two versions."""
    rows = property_rows(first, data, data.problem, PROPERTY)
    picks = last.manifest.recipe["refined"][PROPERTY]
    refit = refit_property(first, data.problem, rows, picks, at_frac[:REGION])
    return refit.variance_before, refit.variance_after


def correlations(rows):
    """Mean r of the last three checks before the first swap, and of the last three of the run."""
    swap = next(i for i, row in enumerate(rows) if row["refine_swapped"])
    sides = (checks(rows[: swap + 1]), checks(rows[swap + 1 :]))
    return tuple(float(np.mean(side[-3:])) if side else float("nan") for side in sides)


def checks(rows):
    """What was measured at each check; a row repeats it until the next."""
    found = [row["refine_r"] for row in rows if np.isfinite(row["refine_r"])]
    return [r for i, r in enumerate(found) if i == 0 or r != found[i - 1]]


def course(rows):
    """Each check's r in order; a stroke where the surrogate was swapped."""
    words, last = [], None
    for row in rows:
        if np.isfinite(row["refine_r"]) and row["refine_r"] != last:
            last = row["refine_r"]
            words.append(f"{last:.2f}")
        if row["refine_swapped"]:
            words.append("|")
    return " ".join(words)


def elsewhere(data, bundle):
    """Variance ratios of the property at starts of other bases."""
    p = data.problem.property_keys.index(PROPERTY)
    reference = spread_in_domain(bundle, data)
    return {b: float(variance_ratios(starts(data, bundle, b).spread, reference)[p]) for b in ELSEWHERE}


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
