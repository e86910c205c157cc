"""From cells to one document: scores averaged over fold seeds, the models that are used, and the audit of the folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aimat_ray.comparison.candidates import COMBINATIONS
from aimat_ray.comparison.cells import Cell, CellResult
from aimat_ray.comparison.scores import Bench, mean_of, score_classes, score_targets
from aimat_ray.data.splits import SplitKind
from aimat_ray.errors import DataError
from aimat_ray.surrogate.recipes import RECIPES

CHOSEN = "default"  # the bundle that designs are made with; a combination of members of its own per property
CLASS = "classifier"
Scores = dict[str, Any]


def combined(results: Mapping[Cell, CellResult]) -> dict[Cell, CellResult]:
    """The results with the declared combinations of families added, where all members are there."""
    extended = dict(results)
    for name, members in COMBINATIONS.items():
        firsts = [cell for cell in results if cell.kind == "regressor" and cell.model == members[0]]
        for cell in firsts:
            others = [Cell("regressor", m, cell.features, cell.split, cell.seed) for m in members]
            if all(other in results for other in others):
                whole = Cell("regressor", name, cell.features, cell.split, cell.seed)
                extended[whole] = mean_of([results[other] for other in others])
    return extended


def summarise(results: Mapping[Cell, CellResult], bench: Bench) -> dict[str, Any]:
    """Score every cell and average over seeds.

    Args:
        results: All cells.
        bench: The rows that they predict.

    Returns:
        The document of `aimat surrogate benchmark --json`: `targets`, `classifier`, `chosen`, `audit` ...

    Raises:
        DataError: Rows that must share a fold do not.
    """
    audit = audit_folds(results, bench)
    targets: dict[str, dict[str, dict[str, list[Scores]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    classes: dict[str, dict[str, list[Scores]]] = defaultdict(lambda: defaultdict(list))
    choices: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for cell, result in combined(results).items():
        folds, bundle = bench.folds(cell.split, cell.seed), cell.model if cell.kind == "bundle" else ""
        if "mean" in result.arrays:
            for key, scores in score_targets(bench, result, folds, bundle).items():
                targets[key][cell.label][cell.split].append(scores)
        if "class_p" in result.arrays:
            for part, scores in score_classes(bench, result, folds, bundle).items():
                classes[cell.label][cell.split + part].append(scores)
        for key, words in result.chosen.items():
            if cell.split == "system":
                choices[cell.label][key].append(words)
    document = {
        "data": {"name": bench.data.name, "checksum": bench.data.checksum, "synthetic": bench.data.synthetic},
        "targets": {key: {label: _entry(by) for label, by in models.items()} for key, models in targets.items()},
        "classifier": {label: {split: over_seeds(s) for split, s in by.items()} for label, by in classes.items()},
        "settings": {label: dict(by) for label, by in choices.items()},
        "audit": audit,
    }
    return document | {"chosen": _chosen(document), "best_single": _best_single(document)}


def audit_folds(results: Mapping[Cell, CellResult], bench: Bench) -> dict[str, Any]:
    """Check every set of folds that was used.

    Raises:
        DataError: A leak, with an example.
    """
    maps = sorted({(cell.split, cell.seed) for cell in results})
    for split, seed in maps:
        if found := bench.leaks(bench.folds(split, seed)):
            raise DataError(
                f"comparison: {len(found)} pairs of rows leak across {split} folds of seed {seed}, for example "
                f"{found[0]}; the scores would be too good, so nothing is reported"
            )
    return {"fold_maps": [f"{split}, seed {seed}" for split, seed in maps], "leaks": 0}


def _entry(by_split: Mapping[SplitKind | str, list[Scores]]) -> Scores:
    means = {split: over_seeds(scores) for split, scores in by_split.items()}
    return {
        **means,
        "coverage_90": {split: mean["coverage_90"] for split, mean in means.items()},
        "width_90": {split: mean["width_90"] for split, mean in means.items()},
    }


def over_seeds(scores: Sequence[Scores]) -> Scores:
    """Mean of every number over fold seeds, with `seeds`, and the least and largest `r2` (or `auc`)."""
    merged: Scores = _mean(list(scores))
    main = "r2" if "r2" in merged else "auc"
    values = [score[main] for score in scores]
    return merged | {"seeds": len(scores), f"{main}_min": min(values), f"{main}_max": max(values)}


def _mean(items: list[Any]) -> Any:
    """Element-wise mean of equal structures; a key that some lack is averaged over the others; counts stay whole."""
    if isinstance(items[0], dict):
        keys = dict.fromkeys(key for item in items for key in item)
        return {key: _mean([item[key] for item in items if key in item]) for key in keys}
    if isinstance(items[0], list):
        return [_mean(list(column)) for column in zip(*items, strict=True)]
    known = [item for item in items if item is not None and np.isfinite(item)]
    if not known:
        return items[0]  # infinity, or nothing to average
    mean = float(np.mean(known))
    return round(mean) if all(isinstance(item, int) for item in known) else mean


def _chosen(document: Scores) -> dict[str, str]:
    """Model used per property and for the class: the bundle, where it was compared."""
    chosen = {key: CHOSEN for key, models in document["targets"].items() if CHOSEN in models}
    return chosen | ({CLASS: CHOSEN} if CHOSEN in document[CLASS] else {})


def _best_single(document: Scores) -> dict[str, Scores]:
    """The best model on unseen systems beside the bundles, per property and for the class."""
    best = {}
    for key, models in [*document["targets"].items(), (CLASS, document[CLASS])]:
        main = "auc" if key == CLASS else "r2"
        scored = {n: m["system"][main] for n, m in models.items() if n not in RECIPES and "system" in m}
        if scored:
            name = max(scored, key=lambda n: scored[n])
            best[key] = {"model": name, main: scored[name]}
    return best
