"""What a search over hyperparameters, or a comparison of variants, has to say."""

from __future__ import annotations

import math

from aimat_ray.report.importance import MIN_SAMPLES, Sample, importance, samples_of
from aimat_ray.report.markup import Child, Html, clean, el, join
from aimat_ray.report.run_files import dig
from aimat_ray.report.sections import absent, section
from aimat_ray.report.sweep_facts import SweepFacts
from aimat_ray.report.sweep_figures import parallel_coordinates
from aimat_ray.report.sweep_sections import row, table
from aimat_ray.report.sweep_statistics import MEASURES, Estimate, common_bases, compare_variants
from aimat_ray.report.wording import DASH, MINUS, SPACE, count, fixed, listing, percent, plural, rate

OBJECTIVE = "Tuning rate"
CHANGING = (
    "The settings of a population change while it trains; those shown are the ones that each member began with, and "
    "their importance is not computed."
)


def search_samples(facts: SweepFacts) -> list[Sample]:
    """The samples of a search that were measured."""
    points = []
    for run in facts.runs:
        settings = dig(run.facts.files.run, "settings")
        point = {clean(key): dig(settings, *str(key).split(".")) for key in facts.space}
        points.append((run.name, point, run.tuning_rate))
    return samples_of(points)


def search_section(facts: SweepFacts) -> Html:
    """Importance of the hyperparameters, parallel coordinates and the samples."""
    title = "What the search found"
    samples = search_samples(facts)
    if not samples:
        return section("search", title, absent("No sample has been measured yet."))
    drawn = parallel_coordinates(samples, OBJECTIVE)
    caption = (
        "Each line is a sample; blue: the best quarter. The tuning rate is the last strict goal rate on starts that "
        "are not those of the final evaluation; samples that were stopped early keep the rate that they had."
    )
    figure = el("figure", drawn, el("figcaption", caption)) if drawn else None
    changing = dig(facts.document, "settings", "search", "scheduler") == "pbt"
    ranking = absent(CHANGING) if changing else _importance(samples)
    return section("search", title, figure, ranking, _samples(facts, samples))


def _importance(samples: list[Sample]) -> Html:
    title = el("h3", "Which settings mattered")
    found = importance(samples)
    if found is None:
        words = f"Not computed: it takes {MIN_SAMPLES} measured samples that differ in what they reach."
        return join(title, absent(f"{words} There are {len(samples)}."))
    trust = f"A forest predicts {percent(max(found.r2, 0.0))} of the variance between samples that it has not seen. "
    if found.r2 <= 0.1:
        trust += "That is next to nothing: the search is too small, or the settings matter too little, to rank them."
    else:
        trust += "The bars are what it loses of that when it no longer sees the setting."
    top = max(max(mean for mean, _ in found.loss.values()), 1e-9)
    rows = [
        el(
            "tr",
            el("th", el("code", key), scope="row"),
            el("td", el("div", class_="bar", style=f"width:{100 * max(mean, 0) / top:.1f}%"), class_="plot"),
            el("td", f"{fixed(round(100 * mean) + 0.0, 0)} ± {fixed(100 * spread, 0)}{SPACE}%", class_="number"),
        )
        for key, (mean, spread) in found.loss.items()
    ]
    heads = ("Setting", "", "Variance lost (± sd over folds)")
    head = el("tr", [el("th", words, scope="col", class_="number" if "±" in words else None) for words in heads])
    return join(title, el("p", trust), el("table", el("thead", head), el("tbody", rows), class_="funnel stack"))


def _samples(facts: SweepFacts, samples: list[Sample]) -> Html:
    runs = {run.name: run for run in facts.runs}
    keys = list(samples[0].point)
    rows = []
    for sample in sorted(samples, key=lambda sample: -sample.value):
        run = runs[sample.name]
        subject = run.facts.subject
        final = rate(subject.mean, subject.lower, subject.upper) if subject is not None else DASH
        cells: list[tuple[str, Child, bool]] = [
            (OBJECTIVE, el("b", percent(sample.value)), True),
            ("Final rate", final, True),
            ("Steps", count(run.env_steps), True),
        ]
        values = [sample.point[key] for key in keys]
        cells += [
            (key, f"{value:.3g}" if isinstance(value, float) else str(value), True)
            for key, value in zip(keys, values, strict=True)
        ]
        rows.append(row(sample.name, cells, None if run.finished else "stopped"))
    heads = [
        ("Sample", False),
        (OBJECTIVE, True),
        ("Final rate", True),
        ("Steps", True),
        *((key, True) for key in keys),
    ]
    stopped = len(samples) - sum(runs[sample.name].finished for sample in samples)
    words = f"{plural(len(samples), 'sample')}, best first; {count(stopped)} stopped early or unfinished"
    return el("details", el("summary", words), table(heads, rows, words))


def variants_section(facts: SweepFacts) -> Html:
    """Variants beside the first one, with intervals over seeds."""
    title = "What each variant changes"
    bases = common_bases(facts)
    compared = compare_variants(facts)
    if not bases or all(math.isnan(item.rates["Goal rate"].mean) for item in compared):
        return section("variants", title, absent("No base is finished for every variant yet."))
    first = facts.variants[0]
    rows = []
    for item in compared:
        cells: list[tuple[str, Child, bool]] = []
        for name in MEASURES:
            difference = item.differences.get(name)
            against = el("div", f"{_signed(difference)} against {first}", class_="fine") if difference else None
            cells.append((name, join(_estimate(item.rates[name]), against), True))
        cells.append(("Seeds", count(item.rates["Goal rate"].n), True))
        missing = f"{plural(item.n_missing, 'run')} not finished" if item.n_missing else None
        title_cell = join(el("b", item.name), el("div", missing, class_="fine") if missing else None)
        rows.append(row(title_cell, cells))
    heads = [("Variant", False), *((name, True) for name in MEASURES), ("Seeds", True)]
    words = (
        f"Means over the {plural(len(bases), 'base')} {listing(bases)} that all variants have finished. In brackets "
        "the 95 % interval over training seeds (Student’s t); differences are paired by seed. An interval of a "
        "difference that holds 0 shows no effect."
    )
    return section("variants", title, table(heads, rows), el("p", words, class_="caption"))


def _estimate(found: Estimate) -> str:
    """A mean rate; ends of its interval beyond 0 and 100 % mean nothing."""
    if math.isnan(found.lower):
        return percent(found.mean)
    return rate(found.mean, max(found.lower, 0.0), min(found.upper, 1.0))


def _signed(found: Estimate) -> str:
    """A difference in percentage points."""
    if math.isnan(found.mean):
        return DASH
    ends = "" if math.isnan(found.lower) else f" ({_points(found.lower)} to {_points(found.upper)})"
    return f"{_points(found.mean)}{SPACE}points{ends}"


def _points(value: float) -> str:
    return f"{round(100 * value) + 0:+d}".replace("-", MINUS).replace("+0", "0")
