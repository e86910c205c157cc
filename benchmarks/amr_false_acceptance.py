"""Refinements forced on surrogates without a blind spot: how many are accepted although the TRUE error does not fall.

Small tables of OracleWorlds (a new world each time) and the quick recipe of the judge. A trigger is forced, as a
false alarm would; adviser, retraining and verdict are the real ones.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from _parts import entry, say

from aimat_ray.config import LlmSettings, RefineSettings
from aimat_ray.data.composition import format_formula
from aimat_ray.data.sources import load_data
from aimat_ray.problem import load_problem
from aimat_ray.refine.records import Seen, Trigger
from aimat_ray.refine.state import State, Triggered, advance
from aimat_ray.refine.work import Work, propose, retrain
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.surrogate.bundle import fit_bundle

DEFAULT = False  # a quarter of an hour
RUNS = int(os.environ.get("AIMAT_BENCH_RUNS", "20"))
ROWS, TESTED = 400, 600
KEYS = ("tg_k", "tl_k", "youngs_modulus_gpa", "dmax_mm")
MOST_FALSE = 1  # in 20


def main() -> list[dict]:
    outcomes = [run(seed) for seed in range(RUNS)]
    accepted = [change for change in outcomes if change is not None]
    false = sum(change >= 0 for change in accepted)
    detail = f"{RUNS} forced refinements, {len(accepted)} accepted; change of the true squared error: " + (
        ", ".join(f"{change:+.1%}" for change in accepted) or "-"
    )
    allowed = MOST_FALSE * RUNS / 20
    return [
        entry("amr_false_acceptances", false, f"of {RUNS}", allowed, false <= allowed if RUNS >= 20 else None, detail)
    ]


def run(seed):
    """One forced refinement; the relative change of the true squared error where it was accepted, else None."""
    problem, rng = load_problem(), np.random.default_rng(seed)
    data = load_data(f"oracle:{seed}", problem)
    key = KEYS[seed % len(KEYS)]
    p = problem.property_keys.index(key)
    order = rng.permutation(np.flatnonzero(np.isfinite(data.regression.values[:, p])))
    regression = data.regression.rows(order[:ROWS])
    classes = data.classification.rows(rng.permutation(len(data.classification))[:ROWS])
    data = replace(data, regression=regression, classification=classes)
    fresh = load_data(f"oracle:{seed}", problem).regression
    tested = np.array(fresh.at_frac[rng.permutation(len(fresh))[:TESTED]])
    store = SurrogateStore(Path(tempfile.mkdtemp(prefix="aimat-false-")))
    bundle = fit_bundle(data, problem, "judge", 0)
    version = store.put(bundle)
    settings = RefineSettings(adviser="statistical")
    work = Work(data, problem, settings, LlmSettings(), store.root, store.root, "judge", seed)
    seen = Seen(compositions=tuple(format_formula(x, problem.elements) for x in tested[:48]))
    trigger = Trigger(
        kind="variance", property_key=key, env_steps=1, value=9.0, threshold=3.0, version=version, seen=seen
    )
    state, orders = advance(State(), Triggered(trigger=trigger), settings)
    while state.phase in ("proposing", "retraining"):
        event = propose(work, orders[-1]) if orders[-1].type == "propose" else retrain(work, orders[-1])
        state, orders = advance(state, event, settings)
        say(f"run {seed} {key}: {event.type} {getattr(event, 'reason', '')}")
    if state.phase != "publishing":
        return None
    truth = data.oracle.truth(tested)[:, p]
    errors = [
        np.mean((b.predict(tested).mean[:, p] - truth) ** 2) for b in (bundle, store.get(state.candidate, "judge"))
    ]
    return float(errors[1] / errors[0] - 1)


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
