"""One self-contained page per sweep: opens offline, loads nothing, and says what it does not know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from aimat_ray.problem import DesignProblem
from aimat_ray.report.candidate_table import SHOWN, Listed, alloy_table
from aimat_ray.report.html import FILE_NAME
from aimat_ray.report.markup import Child, Html, clean, el, join
from aimat_ray.report.page import caution_list, contents, document, footer, synthetic_banner, write_page
from aimat_ray.report.provenance import cleaning_block, score_block, version_words
from aimat_ray.report.run_files import dig, number
from aimat_ray.report.sections import absent, section
from aimat_ray.report.sweep_facts import SweepFacts, SweepRun, gather_sweep, ranked_candidates
from aimat_ray.report.sweep_figures import MAX_PANELS, learning_curves
from aimat_ray.report.sweep_headline import answer, cautions, tiles
from aimat_ray.report.sweep_search import search_section, variants_section
from aimat_ray.report.sweep_sections import (
    bases_section,
    fronts_section,
    goals_section,
    ledger_section,
    outcome,
    rates_section,
    row,
    table,
)
from aimat_ray.report.sweep_style import SWEEP_STYLE
from aimat_ray.report.wording import DASH, count, duration, plural
from aimat_ray.sweep.results import SweepResults

if TYPE_CHECKING:
    from pathlib import Path

    from aimat_ray.data.sources import AlloyData

OPEN_ROWS = 12  # longer tables are folded away


def write_sweep_page(
    results: SweepResults,
    data: AlloyData | None,
    problem: DesignProblem,
    manifests: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write `report.html` into the folder of a sweep, complete or not.

    Args:
        results: The sweep as tables.
        data: Its measured (or synthetic) alloys; None if they are not at hand. Data with another checksum than the
            sweep's are not drawn.
        problem: What was designed.
        manifests: Manifests of surrogate and judge by role; their scores are shown.

    Returns:
        Path of the page.

    Raises:
        RunError: The folder can't be written.
    """
    expected, reason = results.document.get("data"), ""
    if data is None:
        reason = "not at hand"
    elif expected and expected != data.checksum:
        reason = f"not that of the sweep ({data.name} has another checksum)"
        data = None
    page = render(gather_sweep(results, problem), data, reason, manifests or {})
    return write_page(results.folder / FILE_NAME, page)


def render(facts: SweepFacts, data: AlloyData | None, reason: str, manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """The page as text; `reason` says why there are no data."""
    sections = {
        "bases": ("Base by base", bases_section(facts)),
        "rates": ("Success and its price", rates_section(facts)),
        "candidates": ("Candidates", candidates_section(facts, data)),
        "fronts": ("Among measured alloys", fronts_section(facts, data)),
        "goals": ("What was asked", goals_section(facts)),
        "ledger": ("What is left", ledger_section(facts)),
        "training": ("Training", training_section(facts)),
        "provenance": ("Provenance and cost", provenance_section(facts, manifests)),
    }
    if facts.space:
        sections = {"search": ("What the search found", search_section(facts)), **sections}
    if len(facts.variants) > 1:
        sections = {"variants": ("Variants", variants_section(facts)), **sections}
    head = el(
        "header",
        el("p", f"{facts.problem.title} · sweep {clean(facts.results.folder.name)}", class_="kicker"),
        el("h1", _title(facts)),
        el("div", [el("p", paragraph) for paragraph in answer(facts)], class_="lead", id="answer"),
        tiles(facts),
        el("p", "Properties of candidates are predictions; none of them has been cast or measured.", class_="caption"),
        caution_list(cautions(facts, reason)),
        contents({name: words for name, (words, _) in sections.items()}),
    )
    banner = synthetic_banner() if facts.synthetic else None
    main = el("main", [content for _, content in sections.values()])
    title = f"{_title(facts)} – {clean(facts.results.folder.name)}"
    return document(title, [banner, head, main, footer("sweep")], SWEEP_STYLE)


def _title(facts: SweepFacts) -> str:
    if facts.space:
        return f"A search over {plural(len(facts.space), 'setting')} of the agent"
    if len(facts.variants) > 1:
        return f"{plural(len(facts.variants), 'variant')} side by side"
    return f"Alloys of {plural(len(facts.bases), 'base element')}"


def candidates_section(facts: SweepFacts, data: AlloyData | None) -> Html:
    """The best candidates of all runs."""
    found = ranked_candidates(facts.runs)
    if not found:
        return section("candidates", "Candidates", absent("No run has reached its goal, so the list is empty."))
    seen = {own.base for _, own, _ in found[:SHOWN]}
    first: dict[str, int] = {}
    for i, (_, own, _) in enumerate(found):
        first.setdefault(own.base, i)
    places = [*range(min(SHOWN, len(found))), *sorted(i for base, i in first.items() if base not in seen)]
    listed = [Listed(found[i][1], found[i][2], i + 1, found[i][0].name) for i in places]
    keys = list(dict.fromkeys(key for item in listed for key in item.facts.goal_keys))
    words = (
        "The best over all bases, and the best of every base: confirmed ones first, then by margin; an alloy that "
        "several runs found stands once. "
        "candidates.csv and candidates.parquet hold all of them with every column."
    )
    shown = alloy_table(listed, keys, data, len(found) - len(listed))
    return section("candidates", "Candidates", el("p", words, class_="caption"), shown)


def training_section(facts: SweepFacts) -> Html:
    """Learning curves."""
    by_variant = len(facts.variants) > 1
    panels: dict[str, list[SweepRun]] = {}
    for run in facts.runs:
        name = run.name if facts.space else (", ".join(run.by_base) if len(run.by_base) == 1 else "all bases")
        panels.setdefault(name, []).append(run)
    drawn = learning_curves(panels, by_variant)
    if drawn is None:
        return section("training", "Training", absent("No metrics were recorded, so there is no learning curve."))
    words = (
        "Share of training episodes that end at the goal. They explore with noise, so this is not the success rate. "
        "Diamonds: strict rate on tuning starts."
    )
    if len(panels) > MAX_PANELS:
        words += f" Only the first {MAX_PANELS} are drawn."
    return section("training", "Training", el("figure", drawn, el("figcaption", words)))


def provenance_section(facts: SweepFacts, manifests: Mapping[str, Mapping[str, Any]]) -> Html:
    """What every run cost, and everything needed to repeat the sweep."""
    ended = outcome(facts)
    first = facts.runs[0].facts.files.run if facts.runs else {}
    known: list[tuple[str, Child]] = [
        ("Sweep", clean(facts.results.folder.name)),
        ("Version", f"aimat-ray {clean(facts.document.get('version') or '')}"),
        ("Time", f"{duration(number(ended.get('seconds')))} in the last session" if ended else "not ended"),
        (
            "Data",
            join(
                clean(dig(first, "data", "name") or ""),
                el("div", "sha256 ", el("code", clean(facts.document.get("data") or "")), class_="fine"),
            ),
        ),
        ("Surrogate", _version(first, "surrogate")),
        ("Judge", _version(first, "judge")),
        ("Versions", version_words(first.get("versions"))),
    ]
    items = [join(el("dt", name), el("dd", value)) for name, value in known if value not in (None, "")]
    settings = yaml.safe_dump(facts.document.get("settings"), sort_keys=False, allow_unicode=True)
    scores = (
        [score_block(facts.runs[0].facts, role, manifest) for role, manifest in manifests.items()] if facts.runs else []
    )
    return section(
        "provenance",
        "Provenance and cost",
        el("dl", items, class_="facts"),
        _costs(facts),
        el("details", el("summary", "How well surrogate and judge predict"), scores) if scores else None,
        cleaning_block(first.get("cleaning")),
        el("details", el("summary", "Settings of the sweep"), el("pre", el("code", clean(settings)))),
    )


def _version(record: Mapping[str, Any], role: str) -> Html | None:
    version = dig(record, role, "version")
    return join(clean(dig(record, role, "name") or ""), " ", el("code", clean(version))) if version else None


def _costs(facts: SweepFacts) -> Html:
    rows = []
    spent = _attempts_of(facts)
    for run in facts.runs:
        attempts, core_seconds = spent.get(run.name, (math.nan, math.nan))
        cells = [
            ("State", "finished" if run.finished else "not finished", False),
            ("Env steps", count(run.env_steps), True),
            ("Training", duration(run.train_seconds), True),
            ("Attempts", count(attempts), True),
            ("Core time", duration(core_seconds), True),
            ("Search for goal alloys", count(number(dig(run.facts.evaluation, "archive", "predictions"))), True),
            ("Evaluation", count(evaluation_predictions(run)), True),
            ("Surrogate", el("code", clean(run.facts.files.evaluation.get("surrogate_version") or DASH)), False),
        ]
        rows.append(row(el("b", run.name), cells))
    rows += [row(el("b", name), [("State", reason, False)]) for name, reason in facts.missing.items()]
    seconds = [run.train_seconds for run in facts.runs if math.isfinite(run.train_seconds)]
    steps = [run.env_steps for run in facts.runs if math.isfinite(run.env_steps)]
    total = f"{count(sum(steps))} environment steps and {duration(sum(seconds))} of training in all"
    cores = sum(core_seconds for _, core_seconds in spent.values() if math.isfinite(core_seconds))
    total += f"; {duration(cores)} of core time." if cores else "."
    heads = [
        ("Run", False),
        ("State", False),
        ("Env steps", True),
        ("Training", True),
        ("Attempts", True),
        ("Core time", True),
        ("Search for goal alloys", True),
    ]
    heads += [("Evaluation", True), ("Surrogate", False)]
    words = (
        "What every run cost. Core time: the cores set aside for it, from start to end of all its attempts. One "
        "environment step takes one surrogate prediction; search and evaluation are counted in predictions, those of "
        "all controls included."
    )
    shown = table(heads, rows, words)
    many = len(rows) > OPEN_ROWS
    return join(
        el("h3", "Cost"),
        el("p", total),
        el("details", el("summary", f"All {plural(len(rows), 'run')}"), shown) if many else shown,
    )


def _attempts_of(facts: SweepFacts) -> dict[str, tuple[float, float]]:
    """Attempts and core seconds by run; a run that was not started by a sweep has signed none."""
    rows = facts.results.runs.to_dict("records")
    return {str(row["run"]): (number(row.get("attempts")), 3600.0 * number(row.get("core_hours"))) for row in rows}


def evaluation_predictions(run: SweepRun) -> float:
    """Surrogate predictions of the strict evaluation, over all methods; NaN where not known."""
    known = [rate.predictions * rate.episodes for rate in run.facts.rates]
    known = [value for value in known if math.isfinite(value)]
    return sum(known) if known else math.nan
