"""Means over the bases of a sweep, and its variants beside each other with intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aimat_ray.report.facts import Facts, Rate
from aimat_ray.report.sweep_facts import SweepFacts, SweepRun, average, confirmed_rate, over_bases
from aimat_ray.rl.forms import LOOKAHEAD

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


def mean_rates(facts: SweepFacts) -> dict[str, tuple[Rate, int]]:
    """Rates of all methods averaged over the bases, by method, with the number of bases behind each."""
    by_base = {base: facts.of_base(base) for base in facts.bases}
    keys = list(dict.fromkeys(rate.key for found in by_base.values() for item in found for rate in item.rates))
    means = {key: mean_of(by_base, key) for key in keys}
    found = {key: (mean, n) for key, (mean, n) in means.items() if mean is not None}
    for run in facts.main_runs:  # a policy of several bases knows some rates only over all of them
        found |= {item.key: (item, len(run.by_base)) for item in run.facts.rates if item.key not in found}
    return found


def confirmed_mean(facts: SweepFacts) -> Rate | None:
    """Share of fresh starts that end in a confirmed design, averaged over bases; or over all starts of one policy."""
    by_base = {base: facts.of_base(base) for base in facts.bases}
    whole = [item for run in facts.main_runs if len(run.by_base) > 1 and (item := confirmed_rate(run.facts))]
    return over_bases(by_base, confirmed_rate)[0] or (average(whole) if whole else None)


def mean_of(by_base: Mapping[str, Sequence[Facts]], key: str) -> tuple[Rate | None, int]:
    """Rate of a method averaged over the bases that have it, and how many these are."""
    return over_bases(by_base, lambda facts: facts.rate(key))


def paired_rates(facts: SweepFacts, a: str, b: str) -> tuple[Rate, Rate, int] | None:
    """Rates of two methods averaged over the bases that have both, and how many these are; None where one is unknown.

    What is known only over all bases of one policy is taken as it is.
    """
    by_base = {base: facts.of_base(base) for base in facts.bases}
    both = {
        base: found for base, found in by_base.items() if mean_of({base: found}, a)[1] and mean_of({base: found}, b)[1]
    }
    if not both:
        means = mean_rates(facts)
        return (means[a][0], means[b][0], min(means[a][1], means[b][1])) if a in means and b in means else None
    (first, n), (second, _) = mean_of(both, a), mean_of(both, b)
    return (first, second, n) if first is not None and second is not None else None


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
