"""The sections that say where everything comes from: data, cleaning, surrogates, versions, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aimat_ray.report.facts import Facts
from aimat_ray.report.markup import Child, Html, el, join
from aimat_ray.report.run_files import Document, Manifests, dig, flag, listed, number
from aimat_ray.report.sections import absent, section
from aimat_ray.report.wording import DASH, count, duration, fixed, percent, plural, spec_of

ROWS_SHOWN = 40


def data_section(facts: Facts, cleaning: Document | None) -> Html:
    """What is measured, what is imputed or synthetic, and what the cleaning did."""
    return section("data", "Data: measured, imputed, cleaned", _origin(facts), _pool(facts), cleaning_block(cleaning))


def _origin(facts: Facts) -> Html:
    if facts.synthetic:
        words = "The alloys of this run are synthetic: invented by formulas, with a known truth."
    elif facts.synthetic is False:
        words = "The alloys of this run were measured. Properties of candidates are always predictions."
    else:
        words = "The run does not say whether its alloys were measured or synthetic."
    return el("p", words)


def _pool(facts: Facts) -> Html:
    pool = facts.files.pool
    n = number(pool.get("n_transitions"))
    title = el("h3", "Trusted experience pool")
    if math.isnan(n):
        return join(title, absent("This run has no record of its pool."))
    words = f"{count(n)} steps between measured alloys ({count(number(pool.get('n_compositions')))} compositions). "
    reward = dig(pool, "reward")
    if isinstance(reward, dict) and math.isfinite(number(reward.get("mean"))):
        low, high = (fixed(number(reward.get(key)), 2) for key in ("p5", "p95"))
        words += f"Reward: mean {fixed(number(reward.get('mean')), 2)}, 5–95 % {low} to {high}. "
    shares = dig(pool, "share_measured")
    known = [
        (spec.label[0].upper() + spec.label[1:], number(share))
        for key, share in (shares.items() if isinstance(shares, dict) else ())
        if (spec := spec_of(facts.problem, str(key))) and math.isfinite(number(share))
    ]
    rows = [
        el(
            "tr",
            el("th", label, scope="row"),
            el(
                "td",
                el("div", class_="small-bar", style=f"width:{100 * min(max(share, 0), 1):.1f}%"),
                class_="plot",
                aria_hidden="true",
            ),
            el("td", percent(share), class_="number"),
        )
        for label, share in known
    ]
    table = el(
        "table",
        el("caption", "Share of these steps with the property measured at both ends; the surrogate fills in the rest"),
        el("tbody", rows),
        class_="funnel",
    )
    return join(title, el("p", words), table if rows else None)


def cleaning_block(cleaning: Document | None) -> Html:
    """What the cleaning of the tables did."""
    title = el("h3", "Cleaning")
    if not cleaning:
        return join(title, absent("The run does not say how its data were cleaned."))
    if flag(cleaning.get("applied")) is False:
        return join(title, el("p", "The tables were used as they are; nothing was cleaned."))
    actions = [action for action in listed(cleaning.get("actions")) if isinstance(action, dict)]
    if not actions:
        summary = str(cleaning.get("summary") or "")
        return join(title, el("p", summary or "The declared rules found nothing to clean."))
    rows = [_action(action) for action in actions]
    touched = sum(len(listed(action.get("source_rows"))) for action in actions if action.get("action") != "noted")
    head = el("tr", [el("th", words, scope="col") for words in ("Rule", "Table", "Rows", "Action", "Why")])
    table = el("div", el("table", el("thead", head), el("tbody", rows), class_="stack"), class_="scroll")
    return join(
        title,
        el(
            "p",
            f"{plural(len(actions), 'declared rule')} found something; {plural(touched, 'row')} changed or dropped.",
        ),
        el("details", el("summary", "All actions of the cleaning"), table),
    )


def _action(action: Document) -> Html:
    rows = [str(row) for row in listed(action.get("source_rows"))]
    shown = ", ".join(rows[:ROWS_SHOWN]) + (f" and {len(rows) - ROWS_SHOWN} more" if len(rows) > ROWS_SHOWN else "")
    columns = ", ".join(str(name) for name in listed(action.get("columns")))
    return el(
        "tr",
        el(
            "th",
            str(action.get("rule", "")).replace("_", " "),
            el("div", columns, class_="fine") if columns else None,
            scope="row",
        ),
        el("td", str(action.get("table", "")), data_label="Table"),
        el("td", count(number(action.get("count", len(rows)))), el("div", shown, class_="fine"), data_label="Rows"),
        el("td", str(action.get("action", "")), data_label="Action"),
        el("td", str(action.get("detail", "")), data_label="Why"),
    )


def provenance_section(facts: Facts, manifests: Manifests) -> Html:
    """Everything needed to repeat the run."""
    run, document = facts.files.run, facts.files.evaluation
    known: list[tuple[str, Child]] = [
        ("Run", run.get("run_id")),
        ("Folder", facts.files.folder.name),
        ("Made", str(run.get("created") or "").replace("T", " ").replace("+00:00", " UTC")),
        ("Time", _time(number(run.get("seconds")), number(dig(document, "train", "seconds")))),
        ("Base element", facts.base),
        ("Seed", run.get("seed")),
        ("Evaluation", _evaluation(facts)),
        ("Data", _data(facts)),
        ("Surrogate", _model(dig(run, "surrogate"), document.get("surrogate_version"))),
        ("Judge", _model(dig(run, "judge"), None)),
        ("Versions", version_words(dig(run, "versions"))),
    ]
    items = [join(el("dt", name), el("dd", value)) for name, value in known if value not in (None, "")]
    settings = (
        el("details", el("summary", "Resolved settings (settings.yaml)"), el("pre", el("code", facts.files.settings)))
        if facts.files.settings
        else absent("settings.yaml is missing.")
    )
    scores = [score_block(facts, role, manifest) for role, manifest in manifests.items()]
    return section("provenance", "Provenance", el("dl", items, class_="facts") if items else None, scores, settings)


def _time(whole: float, training: float) -> str:
    parts = [f"{duration(whole)} in all"] if math.isfinite(whole) else []
    if math.isfinite(training):
        parts.append(f"{duration(training)} of training")
    return ", ".join(parts)


def _evaluation(facts: Facts) -> str:
    mode, seeds = facts.evaluation.get("mode"), number(facts.evaluation.get("seeds"))
    parts = [f"environment mode {mode}"] if mode else []
    if facts.subject is not None and math.isfinite(facts.subject.episodes):
        parts.append(plural(int(facts.subject.episodes), "episode"))
    if math.isfinite(seeds):
        parts.append(plural(int(seeds), "seed"))
    return ", ".join(parts)


def _data(facts: Facts) -> Html | None:
    data = dig(facts.files.run, "data") or dig(facts.files.evaluation, "data")
    if not isinstance(data, dict):
        return None
    kind = {True: "synthetic", False: "measured", None: "origin unknown"}[facts.synthetic]
    checksum = str(data.get("checksum") or "")
    return join(
        f"{data.get('name', '')} ({kind})",
        el("div", "sha256 ", el("code", checksum), class_="fine") if checksum else None,
    )


def _model(model: Any, version: Any) -> Html | None:
    name, version = dig(model, "name"), dig(model, "version") or version
    if not (name or version):
        return None
    return join(str(name or ""), " ", el("code", str(version or "")))


def version_words(versions: Any) -> str:
    """Versions of the libraries as one line."""
    return ", ".join(f"{name} {value}" for name, value in versions.items()) if isinstance(versions, dict) else ""


def score_block(facts: Facts, role: str, manifest: Mapping[str, Any]) -> Html:
    """Scores of a model out of fold; never a score without its split, its number of rows and its interval."""
    document = dict(manifest)
    targets = document.get("targets")
    rows = [
        _score_row(facts, str(key), record)
        for key, record in (targets.items() if isinstance(targets, dict) else ())
        if isinstance(record, dict)
    ]
    scores = listed(dig(document, "classifier", "scores")) or list(dig(document, "classifier", "scores") or ())
    rows += [_class_row(facts, score) for score in scores if isinstance(score, dict)]
    if not rows:
        return Html()
    heads = ("Property", "Model", "Measured", "Score out of fold (95 %)", "Split", "90 % interval covers")
    head = el("tr", [el("th", words, scope="col") for words in heads])
    chosen = str(document.get("chosen_by") or "")
    return join(
        el("h3", f"How well the {role} predicts"),
        el("p", f"{document.get('name', '')}: {document.get('families', '')}. {chosen}".strip(), class_="caption"),
        el("div", el("table", el("thead", head), el("tbody", rows), class_="stack"), class_="scroll"),
    )


def _score_row(facts: Facts, key: str, record: Document) -> Html:
    spec, score = spec_of(facts.problem, key), record.get("score")
    shown = _interval("R²", score, "r2")
    if spec is not None and isinstance(score, dict):
        shown += f"; mean error {fixed(number(score.get('mae')), spec.decimals)} {spec.unit}"
    own = record.get("feasible_score")  # many measured alloys are not of the wanted class
    rows = f"{facts.problem.feasibility.positive} rows only ({count(number(dig(own, 'n')))})"
    words = f"{rows}: {_interval('R²', own, 'r2')}"
    fine = el("div", words, class_="fine") if isinstance(own, dict) else None
    return el(
        "tr",
        el("th", f"{spec.label[0].upper()}{spec.label[1:]}" if spec else key, scope="row"),
        el(
            "td",
            ", ".join(str(name).replace("_", " ") for name in record.get("members") or ()) or "too few values",
            data_label="Model",
        ),
        el("td", count(number(record.get("n_rows"))), data_label="Measured"),
        el("td", shown, fine, data_label="Score"),
        el("td", _split(score), data_label="Split"),
        el("td", percent(number(record.get("coverage_90"))), data_label="90 % interval covers"),
    )


def _class_row(facts: Facts, score: Document) -> Html:
    return el(
        "tr",
        el("th", facts.problem.feasibility.label, el("div", str(score.get("rows", "")), class_="fine"), scope="row"),
        el("td", "classifier", data_label="Model"),
        el("td", count(number(score.get("n"))), data_label="Measured"),
        el("td", _interval("AUC", score, "auc"), data_label="Score"),
        el("td", _split(score), data_label="Split"),
        el("td", DASH, data_label="90 % interval covers"),
    )


def _interval(name: str, score: Any, key: str) -> str:
    value, lower, upper = (number(dig(score, part)) for part in (key, "lower", "upper"))
    if math.isnan(value):
        return DASH
    ends = f" ({fixed(lower, 2)} to {fixed(upper, 2)})" if math.isfinite(lower) and math.isfinite(upper) else ""
    return f"{name} {fixed(value, 2)}{ends}"


def _split(score: Any) -> str:
    split = str(dig(score, "split") or DASH)
    words = {"system": "unseen alloy systems", "random": "random folds"}.get(split, split.replace("_", " "))
    systems = number(dig(score, "n_systems"))
    return f"{words} ({count(systems)})" if math.isfinite(systems) and split == "system" else words


def missing_section(facts: Facts) -> Html | None:
    """Files that were absent or unreadable, and what the reader does not get without them."""
    missing = facts.files.missing
    if not missing:
        return None
    items = [el("li", el("code", item.file), f" {item.reason}: {item.consequence}.") for item in missing]
    return section("missing", "Missing from this report", el("ul", items))


def reading_section(facts: Facts) -> Html:
    """The words of the report, one meaning each."""
    spec = facts.problem.feasibility
    words = {
        "Surrogate": "the model that predicts properties from composition; the method of this run learned from it",
        "Judge": "another kind of model, trained apart, used only to confirm designs; it is no measurement either",
        "In domain": "near enough to measured alloys for the surrogate’s intervals to hold",
        spec.key: f"{spec.label} ({spec.positive}); {spec.threshold:g} or more counts as feasible",
        "90 % interval": "range that should hold nine of ten measured values, inside the domain",
        "95 % interval": "range of a success rate, from the number of episodes",
        "at% away": "share of atoms that would have to be exchanged to get the other alloy",
        "Confirmed": "at the goal for the surrogate, in domain, and at the goal for the judge",
        "Measured, imputed, synthetic": "from an experiment; filled in by a model; invented by formulas",
    }
    return section(
        "reading",
        "How to read this",
        el("dl", [join(el("dt", k), el("dd", v)) for k, v in words.items()], class_="facts"),
    )
