"""The part of the report on refinement and knowledge: what fired, what was proposed, what was accepted, and why."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from aimat_ray.errors import RunError
from aimat_ray.refine.audit import FILE_NAME, Entry, read
from aimat_ray.refine.replay import describe
from aimat_ray.report.facts import Facts
from aimat_ray.report.markup import Html, el
from aimat_ray.report.run_files import Document, dig, number
from aimat_ray.report.sections import absent, section
from aimat_ray.report.training_figure import Panel, curves
from aimat_ray.report.wording import count, percent

if TYPE_CHECKING:
    import pandas as pd

KNOWLEDGE = "knowledge.json"
_RATIO = "refine_ratio_"


def has_refinement(facts: Facts) -> bool:
    """Whether the run watched its surrogate or used knowledge."""
    metrics = facts.files.metrics
    watched = metrics is not None and "refine_r" in metrics
    return watched or (facts.files.folder / FILE_NAME).is_file() or (facts.files.folder / KNOWLEDGE).is_file()


def refinement_section(facts: Facts) -> Html | None:
    """The section; None for a run without AMR and KBR."""
    if not has_refinement(facts):
        return None
    return section("refinement", "Refinement and knowledge", *_refinement(facts), *_knowledge(facts))


def _refinement(facts: Facts) -> list[Html | None]:
    metrics = facts.files.metrics
    if metrics is None or "refine_r" not in metrics:
        return []
    try:
        entries = read(facts.files.folder / FILE_NAME)
    except RunError as error:
        return [absent(f"The refinement log can't be read: {error.message}")]
    drawn = curves("refinement", metrics, _panels(metrics, facts), (), _alt)
    figure = None
    if drawn is not None:
        caption = (
            "Left: squared disagreement of the surrogate’s models where the agent walks, relative to the median base. "
            "Right: correlation of the critic’s values with the rewards that followed. Measured a few times per run; "
            "after a swap (dotted) anew."
        )
        figure = el("figure", drawn, el("figcaption", caption))
    return [el("p", _summary(entries)), figure, _story(entries) if entries else None]


def _panels(metrics: pd.DataFrame, facts: Facts) -> tuple[Panel, ...]:
    symbols = {spec.key: spec.symbol for spec in facts.problem.properties}
    ratios = [str(name) for name in metrics.columns if str(name).startswith(_RATIO)]
    columns = {name: symbols.get(name.removeprefix(_RATIO), name.removeprefix(_RATIO)) for name in ratios}
    return (
        Panel("Variance where the agent walks", columns),
        Panel("Critic against surrogate", {"refine_r": "correlation"}),
    )


def _alt(metrics: pd.DataFrame) -> str:
    r = metrics["refine_r"].dropna()
    words = "Variance ratios and correlation over environment steps"
    return f"{words}; correlation {r.iloc[0]:.2f} at first, {r.iloc[-1]:.2f} at last" if len(r) else words


def _summary(entries: list[Entry]) -> str:
    kinds = [entry.event["type"] for entry in entries]
    told = [i["type"] for entry in entries for i in entry.instructions]
    if not entries:
        return "No trigger fired: the surrogate was as sure where the agent walked as in its domain."
    cost = [number(dig(entry.event, "proposal", "cost", "usd")) for entry in entries]
    usd = sum(value for value in cost if math.isfinite(value))
    money = f" The adviser cost {usd:.4f} US dollars." if usd > 0 else ""
    return (
        f"Triggers fired: {kinds.count('triggered')}. Surrogates retrained: {kinds.count('retrained')}; accepted and "
        f"published: {kinds.count('published')}; refinements abandoned: {told.count('abandoned')}.{money}"
    )


def _story(entries: list[Entry]) -> Html:
    """Every event and what followed from it."""
    rows = []
    for entry in entries:
        decisions = [i for i in entry.instructions if i["type"] in ("decided", "abandoned", "publish")]
        reasons = [reason for i in decisions for reason in dig(i, "verdict", "reasons") or ()]
        rows.append(
            el(
                "li",
                describe(entry.event),
                [el("div", el("b", _followed(entry, i)), class_="caption") for i in decisions],
                el("ul", [el("li", reason) for reason in reasons], class_="caption") if reasons else None,
            )
        )
    return el("details", el("summary", f"The log, {count(len(entries))} events"), el("ol", rows), open=len(rows) <= 12)


def _followed(entry: Entry, instruction: Document) -> str:
    """What followed from an event, without the reason where the event has just told it."""
    words = describe(instruction)
    kind, _, reason = words.partition(": ")
    return kind if reason and describe(entry.event).endswith(reason) else words


def _knowledge(facts: Facts) -> list[Html | None]:
    path = facts.files.folder / KNOWLEDGE
    if not path.is_file():
        return []
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return [absent(f"{KNOWLEDGE} can't be read.")]
    weight, share = number(dig(document, "settings", "weight")), number(dig(document, "settings", "last_share"))
    words = (
        f"In the last {percent(share)} of the training, expert knowledge (scorer: "
        f"{dig(document, 'settings', 'scorer')}) entered the reward with a weight of {weight:g} per unit of score. "
        f"{_agreement(dig(document, 'agreement', 'score'), dig(document, 'agreement', 'dmax_rank_correlation'))}"
    )
    return [el("h3", "Knowledge"), el("p", words), _rules(dig(document, "agreement", "rules"))]


def _agreement(score: Any, dmax: Any) -> str:
    auc = number(dig(score, "auc"))
    if not math.isfinite(auc):
        return "How far the rules agree with measurements could not be computed."
    said = (
        f"Against the measured classes the rules reach an AUC of {auc:.2f} [{number(dig(score, 'lower')):.2f}, "
        f"{number(dig(score, 'upper')):.2f}] ({count(number(dig(score, 'n')))} alloys; 0.5 would be chance)"
    )
    r = number(dig(dmax, "r"))
    return f"{said}; rank correlation with the casting diameter {r:.2f}." if math.isfinite(r) else f"{said}."


def _rules(rules: Any) -> Html | None:
    if not isinstance(rules, dict) or not rules:
        return None
    rows = []
    for rule in rules.values():
        auc = number(dig(rule, "auc"))
        shown = f"{auc:.2f}" if math.isfinite(auc) else "–"
        rows.append(
            el("tr", el("td", dig(rule, "words")), el("td", f"{number(dig(rule, 'weight')):.2f}"), el("td", shown))
        )
    head = el("tr", el("th", "Rule"), el("th", "weight"), el("th", "AUC alone"))
    return el("table", el("thead", head), el("tbody", rows))
