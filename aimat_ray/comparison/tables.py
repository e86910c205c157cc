"""The comparison in words: rows of a parquet table, and one Markdown page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aimat_ray.comparison.plan import features_of
from aimat_ray.problem import DesignProblem
from aimat_ray.surrogate.recipes import RECIPES

Document = dict[str, Any]
SPLIT_WORDS = {"system": "unseen systems", "random": "random folds"}
_PART_WORDS = {"": "all", "_n4": "4 or more elements", "_n3": "up to 3 elements"}
_TARGET_HEAD = (
    "model", "R² unseen systems [95 %]", "over seeds", "R² random", "RMSE", "MAE", "MAPE %", "R² feasible", "R² rest",
    "90 % covers", "width", "n / systems",
)  # fmt: skip
_CLASS_HEAD = (
    "model", "AUC unseen systems [95 %]", "over seeds", "AUC random", "AUC ≥ 4 el.", "AUC ≤ 3 el.", "precision",
    "recall", "F1", "Brier", "n / systems",
)  # fmt: skip


def score_rows(document: Document) -> list[dict[str, Any]]:
    """One flat row per property (or class), model, split and kind of rows, for parquet."""
    rows = []
    for key, models in document["targets"].items():
        for model, entry in models.items():
            for split in (s for s in SPLIT_WORDS if s in entry):
                scores = entry[split]
                head = {"target": key, "model": model, "features": features_of(model), "split": split}
                for part in ("all", "feasible", "rest"):
                    part_scores = scores if part == "all" else scores[part]
                    numbers = {k: v for k, v in part_scores.items() if not isinstance(v, dict | list)}
                    if numbers:
                        rows.append(head | {"rows": part} | numbers)
    for model, by in document["classifier"].items():
        for name, scores in by.items():
            split, _, part = name.partition("_")
            words = _PART_WORDS["_" + part if part else ""]
            head = {"target": "class", "model": model, "features": features_of(model), "split": split, "rows": words}
            rows.append(head | scores)
    return rows


def ranked(models: dict[str, Any], main: str) -> list[str]:
    """Labels of models: best on unseen systems first, those never tested there last."""
    return sorted(models, key=lambda n: -models[n]["system"][main] if "system" in models[n] else float("inf"))


def target_table(document: Document, key: str, limit: int | None = None) -> tuple[tuple[str, ...], list[list[str]]]:
    """Head and cells of the table of a property; with a limit, the bundles and so many others."""
    models = document["targets"][key]
    return _TARGET_HEAD, [_target_cells(name, models[name]) for name in _limited(ranked(models, "r2"), limit)]


def class_table(document: Document, limit: int | None = None) -> tuple[tuple[str, ...], list[list[str]]]:
    """Head and cells of the table of the class."""
    models = document["classifier"]
    return _CLASS_HEAD, [_class_cells(name, models[name]) for name in _limited(ranked(models, "auc"), limit)]


def _limited(labels: list[str], limit: int | None) -> list[str]:
    if limit is None:
        return labels
    others = [label for label in labels if label not in RECIPES][:limit]
    return [label for label in labels if label in RECIPES or label in others]


def _target_cells(name: str, entry: dict[str, Any]) -> list[str]:
    main = entry.get("system") or entry["random"]
    return [
        name,
        _with_interval(entry.get("system"), "r2"),
        _over_seeds(entry.get("system"), "r2"),
        _number(entry.get("random", {}).get("r2"), ".3f"),
        *(_number(main.get(k), ".3g") for k in ("rmse", "mae", "mape")),
        *(_number(main[kind].get("r2"), ".3f") for kind in ("feasible", "rest")),
        _number(main["coverage_90"], ".3f"),
        _number(main["width_90"], ".3g"),
        f"{main['n']} / {main['n_systems']}",
    ]


def _class_cells(name: str, by: dict[str, Any]) -> list[str]:
    split = "system" if "system" in by else "random"
    main = by[split]
    return [
        name,
        _with_interval(by.get("system"), "auc"),
        _over_seeds(by.get("system"), "auc"),
        _number(by.get("random", {}).get("auc"), ".3f"),
        *(_number(by.get(split + part, {}).get("auc"), ".3f") for part in ("_n4", "_n3")),
        *(_number(main[k], ".3f") for k in ("precision", "recall", "f1", "brier")),
        f"{main['n']} / {main['n_systems']}",
    ]


def _with_interval(scores: dict[str, Any] | None, main: str) -> str:
    return "-" if scores is None else f"{scores[main]:.3f} [{scores['lower']:.2f}, {scores['upper']:.2f}]"


def _over_seeds(scores: dict[str, Any] | None, main: str) -> str:
    if scores is None or scores["seeds"] < 2:
        return "1 seed" if scores else "-"
    return f"{scores[main + '_min']:.3f} to {scores[main + '_max']:.3f} ({scores['seeds']})"


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)


def markdown(document: Document, problem: DesignProblem, title: str) -> str:
    """The whole comparison as one page."""
    return "\n".join(_lines(document, problem, title)) + "\n"


def _lines(document: Document, problem: DesignProblem, title: str) -> Iterator[str]:
    data, audit = document["data"], document["audit"]
    yield f"# {title}"
    yield ""
    yield f"Data {data['name']} ({'SYNTHETIC' if data['synthetic'] else 'measured'}, checksum {data['checksum'][:12]})."
    run = document.get("run", {})
    if run.get("cells", 0) < run.get("planned", 0):
        yield f"**Unfinished**: {run['cells']} of {run['planned']} planned cells; a dash is a missing score."
    yield from _reading()
    yield ""
    maps = audit["fold_maps"]
    yield f"Leakage audit: {len(maps)} sets of folds, {audit['leaks']} leaks ({'; '.join(maps)})."
    for key in document["targets"]:
        spec = problem.properties[problem.property_keys.index(key)]
        yield ""
        yield f"## {spec.label}, {key} ({spec.unit})"
        yield ""
        if key in problem.cautions:
            yield f"**Caution.** {problem.cautions[key]}"
            yield ""
        yield from _markdown_table(*target_table(document, key))
        yield from _interval_lines(document["targets"][key], document["chosen"].get(key))
    yield ""
    yield f"## Class, {problem.feasibility.key}"
    yield ""
    yield from _markdown_table(*class_table(document))
    yield from _setting_lines(document)


def _reading() -> Iterator[str]:
    yield (
        "R² and AUC are pooled out of fold; 95 % intervals come from bootstrap samples of whole chemical systems. "
        "Means over fold seeds, with the least and the largest beside them. RMSE, MAE, MAPE, coverage and width are "
        "those of unseen systems. Intervals and class probabilities of a fold are calibrated on the other folds, for "
        "every model alike. `family/inputs` is a single family with settings chosen in nested folds; names without "
        "inputs are bundles; `a+b` is the mean of families. Feasible rows are glasses, the rest mostly crystalline."
    )


def _markdown_table(head: tuple[str, ...], cells: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in cells:
        yield "| " + " | ".join(row) + " |"


def _interval_lines(models: dict[str, Any], chosen: str | None) -> Iterator[str]:
    """Coverage and width of the chosen model by distance and by base."""
    if chosen is None or "system" not in models[chosen]:
        return
    scores = models[chosen]["system"]
    yield ""
    yield f"Intervals of `{chosen}` on unseen systems, covered share (mean width, rows):"
    yield "by distance to the data: " + "; ".join(
        f"{band['from']:g} to {band['to']:g}: {_interval_words(band)}" for band in scores["bands"] if band["n"]
    )
    yield ""
    yield "by base: " + "; ".join(f"{base}: {_interval_words(entry)}" for base, entry in scores["bases"].items())


def _interval_words(entry: dict[str, Any]) -> str:
    return f"{entry['coverage_90']:.2f} ({entry['width_90']:.3g}, {entry['n']})"


def _setting_lines(document: Document) -> Iterator[str]:
    if not document["settings"]:
        return
    yield ""
    yield "## Settings that nested folds chose most often (unseen systems, first seed)"
    yield ""
    for label, by in document["settings"].items():
        yield f"- `{label}`: " + "; ".join(f"{key} {words[0]}" for key, words in by.items())
