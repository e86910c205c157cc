"""One self-contained page per run: opens offline, loads nothing, and says what it does not know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimat_ray.errors import RunError
from aimat_ray.problem import DesignProblem
from aimat_ray.report.facts import Facts, compare, gather
from aimat_ray.report.headline import Caution, answer, cautions, material
from aimat_ray.report.markup import Html, clean, el, join
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
from aimat_ray.report.style import SCRIPT, STYLE, script_hash
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
    target = files.folder / FILE_NAME
    temporary = target.with_name(f".{FILE_NAME}.part")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise RunError(f"{target} can't be written: {error.strerror or error}") from error
    return target


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
    body = join(
        el("a", "Skip to the answer", href="#answer", class_="skip"),
        _banner(facts),
        _header(facts, manifests),
        el("main", sections),
        el(
            "footer",
            "Written by aimat report from the files of the run. This page is complete in itself and loads nothing.",
        ),
        el("script", Html(SCRIPT)),
    )
    page = el("html", _head(facts), el("body", body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


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


def _head(facts: Facts) -> Html:
    # The policy makes "loads nothing" a fact: no address may be opened, and no script but ours may run.
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{script_hash()}'"
    )
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", f"{_title(facts)} – {facts.files.run.get('run_id') or facts.files.folder.name}"),
        el("style", Html(STYLE)),
    )


def _title(facts: Facts) -> str:
    name = material(facts)
    return (name[0].upper() + name[1:]) + (f": {facts.short_title}" if facts.short_title else "")


def _banner(facts: Facts) -> Html | None:
    if not facts.synthetic:
        return None
    return el("div", "SYNTHETIC DATA: nothing on this page describes a real alloy", class_="banner", role="note")


def _header(facts: Facts, manifests: Manifests) -> Html:
    run = facts.files.run
    created = clean(run.get("created") or "")[:10]
    kicker = " · ".join(
        str(part)
        for part in (facts.problem.title, f"run {run.get('run_id') or facts.files.folder.name}", created)
        if part
    )
    found = cautions(facts, manifests)
    return el(
        "header",
        el("p", kicker, class_="kicker"),
        el("h1", _title(facts)),
        el("div", [el("p", paragraph) for paragraph in answer(facts)], class_="lead", id="answer"),
        _tiles(facts),
        el("p", "Properties of candidates are predictions; none of them has been cast or measured.", class_="caption")
        if facts.candidates
        else None,
        el("h2", "Before you use this") if found else None,
        el("ul", [_caution(item) for item in found], class_="cautions") if found else None,
        _contents(facts),
    )


def _caution(item: Caution) -> Html:
    return el("li", el("b", item.title), item.detail, class_=item.severity)


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
    links = [el("li", el("a", words, href=f"#{name}")) for name, words in entries.items()]
    return el("nav", el("ul", links), aria_label="Sections of this report")


def _tiles(facts: Facts) -> Html | None:
    """The four numbers that a reader looks for first."""
    tiles = []
    if facts.files.candidates is not None:
        n, confirmed = len(facts.candidates), len(facts.confirmed)
        tiles.append(_tile(count(n), "candidates at the goal, by the surrogate", "plain"))
        tiles.append(
            _tile(
                f"{count(confirmed)} of {count(n)}",
                "confirmed by the independent judge",
                "good" if confirmed else "warm",
            )
        )
    subject = facts.subject
    if subject is not None:
        tiles.append(_tile(percent(subject.mean), f"strict success of the {subject.method.label.lower()}"))
        control = facts.best_control(subject.method.price)
        if control is not None and math.isfinite(control.mean):
            better = compare(subject, control) == "above"
            words = f"best control of its price: {control.method.label.lower()}"
            tiles.append(_tile(percent(control.mean), words, "good" if better else "warm"))
    return el("ul", tiles, class_="tiles") if tiles else None


def _tile(value: str, words: str, kind: str = "") -> Html:
    return el("li", el("b", value), el("span", words), class_=f"tile {kind}".strip())
