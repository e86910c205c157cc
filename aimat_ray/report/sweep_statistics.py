"""Variants of a sweep beside each other: means over bases and seeds, with intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aimat_ray.report.facts import LOOKAHEAD, Facts, Rate
from aimat_ray.report.sweep_facts import SweepFacts, SweepRun, confirmed_rate

Pick = Callable[[Facts], Rate | None]
MEASURES: dict[str, Pick] = {
    "Goal rate": lambda facts: facts.subject,
    "with lookahead": lambda facts: facts.rate(LOOKAHEAD),
    "Confirmed rate": confirmed_rate,
}


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval; NaN ends with fewer than two seeds."""

    mean: float
    lower: float
    upper: float
    n: int


@dataclass(frozen=True)
class VariantRow:
    """One variant.

    Attributes:
        name: Of the variant.
        rates: Mean over the common bases, by name of the measure.
        differences: From the first variant, paired by seed; empty for the first one.
        n_missing: Runs of the variant that are not finished.
    """

    name: str
    rates: dict[str, Estimate]
    differences: dict[str, Estimate]
    n_missing: int


def common_bases(facts: SweepFacts) -> list[str]:
    """Bases that every variant has finished with every seed that it has finished anything with."""
    groups: dict[tuple[str, int], set[str]] = {}
    for run in facts.finished:
        groups.setdefault((run.variant, run.seed), set()).update(run.by_base)
    shared = set.intersection(*groups.values()) if groups else set()
    return [base for base in facts.bases if base in shared]


def compare_variants(facts: SweepFacts) -> list[VariantRow]:
    """The variants over the bases that all of them have finished."""
    bases = common_bases(facts)
    planned = [str(case.get("variant") or "") for case in facts.document["cases"]]
    first = {name: _per_seed(facts, facts.variants[0], bases, pick) for name, pick in MEASURES.items()}
    rows = []
    for variant in facts.variants:
        values = {name: _per_seed(facts, variant, bases, pick) for name, pick in MEASURES.items()}
        paired = {
            name: [found[seed] - first[name][seed] for seed in found if seed in first[name]]
            for name, found in values.items()
        }
        differences = {} if variant == facts.variants[0] else {name: over_seeds(d) for name, d in paired.items()}
        done = sum(run.variant == variant for run in facts.finished)
        rates = {name: over_seeds(list(found.values())) for name, found in values.items()}
        rows.append(VariantRow(variant, rates, differences, planned.count(variant) - done))
    return rows


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean with the 95 % interval of Student's t."""
    from scipy.stats import t

    n = len(values)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def _per_seed(facts: SweepFacts, variant: str, bases: Sequence[str], pick: Pick) -> dict[int, float]:
    """Mean over the bases, by seed; a seed counts when every base has the measure."""
    found: dict[int, float] = {}
    runs: dict[int, list[SweepRun]] = {}
    for run in facts.finished:
        if run.variant == variant:
            runs.setdefault(run.seed, []).append(run)
    for seed, group in runs.items():
        rates = [pick(run.by_base[base]) for run in group for base in bases if base in run.by_base]
        means = [rate.mean for rate in rates if rate is not None and math.isfinite(rate.mean)]
        if bases and len(means) == len(bases):
            found[seed] = float(np.mean(means))
    return found
