"""One self-contained page per run: opens offline, loads nothing, and says what it does not know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimat_ray.problem import DesignProblem
from aimat_ray.report.facts import Facts, compare, gather
from aimat_ray.report.headline import answer, cautions, material
from aimat_ray.report.markup import Html, clean, el
from aimat_ray.report.page import caution_list, contents, document, footer, synthetic_banner, tile, write_page
from aimat_ray.report.provenance import data_section, missing_section, provenance_section, reading_section
from aimat_ray.report.refinement_section import has_refinement, refinement_section
from aimat_ray.report.run_files import Document, Manifests, Missing, RunFiles, read_run, trains
from aimat_ray.report.sections import (
    candidates_section,
    goal_section,
    ledger_section,
    properties_section,
    success_section,
    training_section,
)
from aimat_ray.report.wording import count, percent

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData

FILE_NAME = "report.html"


def write_report(
    run_dir: Path, data: AlloyData | None, problem: DesignProblem, *, manifests: Mapping[str, Any] | None = None
) -> Path:
    """Write `report.html` into a run directory, complete or partial.

    Args:
        run_dir: The run directory.
        data: The measured (or synthetic) alloys of the run; None if they are not at hand. Data with another checksum
            than the run's are not drawn.
        problem: The design problem of the run.
        manifests: Manifests by role ("surrogate", "judge"): `BundleManifest` or its plain form. Their scores are shown.

    Returns:
        Path of the report.

    Raises:
        RunError: The folder is no run directory, or can't be written.
    """
    files = read_run(Path(run_dir))
    data, files = _matching(data, files)
    page = render(gather(files, problem), data, _plain(manifests or {}))
    return write_page(files.folder / FILE_NAME, page)


def render(facts: Facts, data: AlloyData | None, manifests: Manifests) -> str:
    """The page as text."""
    sections = [
        goal_section(facts),
        candidates_section(facts, data),
        properties_section(facts, data),
        success_section(facts),
        ledger_section(facts),
        training_section(facts) if trains(facts.files) else None,
        refinement_section(facts),
        data_section(facts, _cleaning(facts, data)),
        provenance_section(facts, manifests),
        missing_section(facts),
        reading_section(facts),
    ]
    banner = synthetic_banner() if facts.synthetic else None
    title = f"{_title(facts)} – {facts.files.run.get('run_id') or facts.files.folder.name}"
    return document(title, [banner, _header(facts, manifests), el("main", sections), footer("run")])


def _matching(data: AlloyData | None, files: RunFiles) -> tuple[AlloyData | None, RunFiles]:
    """The data if they are the run's; otherwise a note that they are not drawn."""
    stored = files.run.get("data")
    expected = stored.get("checksum") if isinstance(stored, dict) else None
    if data is None:
        reason = "not at hand"
    elif expected and expected != data.checksum:
        reason = f"not those of the run ({data.name} has another checksum)"
    else:
        return data, files
    return None, replace(files, missing=(*files.missing, Missing("data", reason)))


def _plain(manifests: Mapping[str, Any]) -> Manifests:
    return {
        role: manifest.model_dump(mode="json") if hasattr(manifest, "model_dump") else manifest
        for role, manifest in manifests.items()
        if manifest is not None
    }


def _cleaning(facts: Facts, data: AlloyData | None) -> Document | None:
    stored = facts.files.run.get("cleaning")
    if isinstance(stored, dict):
        return stored
    return data.cleaning.to_dict() if data is not None else None


def _title(facts: Facts) -> str:
    name = material(facts)
    return (name[0].upper() + name[1:]) + (f": {facts.short_title}" if facts.short_title else "")


def _header(facts: Facts, manifests: Manifests) -> Html:
    run = facts.files.run
    created = clean(run.get("created") or "")[:10]
    kicker = " · ".join(
        str(part)
        for part in (facts.problem.title, f"run {run.get('run_id') or facts.files.folder.name}", created)
        if part
    )
    return el(
        "header",
        el("p", kicker, class_="kicker"),
        el("h1", _title(facts)),
        el("div", [el("p", paragraph) for paragraph in answer(facts)], class_="lead", id="answer"),
        _tiles(facts),
        el("p", "Properties of candidates are predictions; none of them has been cast or measured.", class_="caption")
        if facts.candidates
        else None,
        caution_list(cautions(facts, manifests)),
        _contents(facts),
    )


def _contents(facts: Facts) -> Html:
    entries = {
        "goal": "What was asked",
        "candidates": "Candidates",
        "properties": "Among measured alloys",
        "success": "Success and its price",
        "ledger": "What is left",
        **({"training": "Training"} if trains(facts.files) else {}),
        **({"refinement": "Refinement"} if has_refinement(facts) else {}),
        "data": "Data",
        "provenance": "Provenance",
    }
    if facts.files.missing:
        entries["missing"] = "Missing"
    entries["reading"] = "How to read this"
    return contents(entries)


def _tiles(facts: Facts) -> Html | None:
    """The four numbers that a reader looks for first."""
    tiles = []
    if facts.files.candidates is not None:
        n, confirmed = len(facts.candidates), len(facts.confirmed)
        tiles.append(tile(count(n), "candidates at the goal, by the surrogate", "plain"))
        tiles.append(
            tile(
                f"{count(confirmed)} of {count(n)}",
                "confirmed by the independent judge",
                "good" if confirmed else "warm",
            )
        )
    subject = facts.subject
    if subject is not None:
        tiles.append(tile(percent(subject.mean), f"strict success of the {subject.method.label.lower()}"))
        control = facts.best_control(subject.method.price)
        if control is not None and math.isfinite(control.mean):
            better = compare(subject, control) == "above"
            words = f"best control of its price: {control.method.label.lower()}"
            tiles.append(tile(percent(control.mean), words, "good" if better else "warm"))
    return el("ul", tiles, class_="tiles") if tiles else None
