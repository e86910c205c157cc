"""A synthetic world with a planted blind spot: a law that the first surrogate can't see, in a region agents visit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _parts import say

from aimat_ray.config import DesignSettings, load_settings
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.data.synthetic import BlindSpot, OracleWorld
from aimat_ray.descriptors import DESCRIPTOR_CATALOGUE
from aimat_ray.env.legality import Limits
from aimat_ray.env.start import sample_starts
from aimat_ray.prediction import Prediction
from aimat_ray.problem import DesignProblem, load_problem
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.prepare import Workbench, read_inputs
from aimat_ray.surrogate.bundle import SurrogateBundle, fit_bundle

BASE, PROPERTY = "Zr", "tg_k"
DRAWS = 400  # starts
# Tg rises by 600 K from weakly to strongly attracting alloys, most of it between -15 and -35 kJ/mol.
# Alloys are measured on both sides: who sees the enthalpy can learn it, and agents walk onto the plateau, not beyond.
# The offset keeps it where a Tg can lie (200 to 1,600 K): intervals can't cover what lies outside.
SPOT = BlindSpot(PROPERTY, "enthalpy", size=-300.0, centre=-25.0, width=10.0, offset=250.0)
# Everything that is made of pair enthalpies: what a surrogate without Miedema's table could not know.
UNSEEN = (
    "h_mix", "h_mix_repulsive", "omega", "g_mix", "h_over_cohesion", "pair_spread", "attractive_pairs", "strong_pairs",
    "local_enthalpy_min", "local_enthalpy_spread", "order_tendency", "size_chemistry", "ionic_share",
)  # fmt: skip

SMALL = {
    "agent.n_envs_per_runner": 64, "agent.labels": "none", "agent.bc_weight": 0.0, "pool.mode": "off",
    "archive.budget_per_base": 500, "search.budget_per_base": 500,
}  # fmt: skip


def planted_data(seed: int = 0, blind: bool = True) -> AlloyData:
    """Tables of a world with the law (or without); nobody has measured the property for alloys of the base."""
    problem = load_problem()
    world = OracleWorld(seed, problem, SPOT if blind else None)
    regression, classes = world.sample_tables(seed)
    data = load_data(f"oracle:{seed}", problem)
    if blind:
        values = np.array(regression.values)
        of_base = regression.at_frac.argmax(axis=1) == problem.element_index[BASE]
        values[of_base, problem.property_keys.index(PROPERTY)] = np.nan
        regression = replace(regression, values=values)
    checksum = hashlib.sha256(f"{data.checksum} {SPOT if blind else None}".encode()).hexdigest()
    return replace(
        data, name=f"planted-{seed}" if blind else f"unplanted-{seed}", checksum=checksum, regression=regression,
        classification=classes, oracle=world,
    )  # fmt: skip


def lean_bundle(data: AlloyData, say: Callable[[str], None] = say) -> SurrogateBundle:
    """The first surrogate: the usual recipe without any descriptor of pair enthalpies."""
    names = [name for name in DESCRIPTOR_CATALOGUE if name not in UNSEEN]

    def fit(data: AlloyData, problem: DesignProblem, name: str, seed: int, progress: Any = None) -> SurrogateBundle:
        return fit_bundle(data, problem, name, seed, progress=progress, descriptors=names)

    return SurrogateStore().get_or_fit(
        "default", data, load_problem(), 0, progress=lambda text, share: say(text), fit=fit
    )


def bench_of(data: AlloyData, bundle: SurrogateBundle, settings: DesignSettings) -> Workbench:
    """What a run works with, for data that no `--data` names."""
    inputs = replace(read_inputs(settings, lambda line: None), data=data)
    client = SurrogateClient.stored(SurrogateStore().root, bundle.version)
    return Workbench(**vars(inputs), bundle=bundle, judge=bundle, predictor=client)


def settings_for(threshold_k: float, steps: int, seed: int, **overrides: Any) -> DesignSettings:
    """A run that asks for a high Tg of the base."""
    values = SMALL | {
        "base": BASE, "data": "oracle:0", "goal": f"{PROPERTY}>={threshold_k:.0f}", "steps": steps, "seed": seed,
    }  # fmt: skip
    return load_settings(None, values | overrides)


def starts(data: AlloyData, bundle: SurrogateBundle, base: str) -> Prediction:
    """Predictions for feasible starts of a base."""
    window, rng = data.windows[base], np.random.default_rng(1)
    limits = Limits(
        np.tile(window.lower, (DRAWS, 1)), np.tile(window.upper, (DRAWS, 1)),
        np.full(DRAWS, data.problem.element_index[base]), np.full(DRAWS, max(3, window.max_elements)),
    )  # fmt: skip
    prediction = bundle.predict(sample_starts(limits, rng)[0])
    return prediction.rows(prediction.p_feasible >= 0.5)


def goal_k(data: AlloyData | None = None) -> float:
    """A demanding goal: what the first surrogate predicts for the best hundredth of the starts."""
    data = data or planted_data()
    p = data.problem.property_keys.index(PROPERTY)
    return float(np.percentile(starts(data, lean_bundle(data), BASE).mean[:, p], 99))


def folder(name: str) -> Path:
    """A fresh folder for a run."""
    import tempfile

    return Path(tempfile.mkdtemp(prefix=f"aimat-{name}-"))
