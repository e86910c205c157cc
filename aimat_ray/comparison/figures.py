"""Pictures of a comparison: ROC curves, reliability of the class probability, parity of the properties.

Parity pictures show every measured row; they belong to whoever holds the data, beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.comparison.cells import Cell, CellResult
from aimat_ray.comparison.scores import Bench, calibrated_class_p, cell_intervals
from aimat_ray.surrogate.recipes import RECIPES
from aimat_ray.surrogate.validation import auc

FloatArray = NDArray[np.float64]
N_BINS = 10
_ROC_MODELS = 6


def draw_all(results: Mapping[Cell, CellResult], bench: Bench, folder: Path) -> list[Path]:
    """Draw every picture into a folder.

    Args:
        results: All cells; the first seed on unseen systems is drawn.
        bench: The rows.
        folder: Where to write PNG files.

    Returns:
        The files.
    """
    import matplotlib

    matplotlib.use("Agg")
    first = {c: r for c, r in results.items() if c.split == "system" and c.seed == 0}
    classes = {c: r for c, r in first.items() if "class_p" in r.arrays}
    written = []
    if classes:
        written += [_roc(classes, bench, folder / "roc.png"), _reliability(classes, bench, folder / "reliability.png")]
    chosen = [c for c in first if c.kind == "bundle" and c.model == "default"]
    if chosen:
        written.append(_parity(chosen[0], first[chosen[0]], bench, folder / "parity.png"))
    return written


def roc_curve(labels: FloatArray, probability: FloatArray) -> tuple[FloatArray, FloatArray]:
    """False and true positive rate at every threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-probability, kind="stable")
    last = np.append(np.diff(probability[order]) != 0, True)  # one point per distinct probability
    hits, misses = np.cumsum(labels[order] == 1)[last], np.cumsum(labels[order] == 0)[last]
    false, true = misses / max(misses[-1], 1), hits / max(hits[-1], 1)
    return np.insert(false, 0, 0.0), np.insert(true, 0, 0.0)


def reliability(labels: FloatArray, probability: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Mean probability and share of feasible rows per bin of probability, and the rows in it; empty bins left out."""
    bins = np.minimum((probability * N_BINS).astype(np.int64), N_BINS - 1)
    counts = np.bincount(bins, minlength=N_BINS)
    some = counts > 0
    said = np.bincount(bins, weights=probability, minlength=N_BINS)[some] / counts[some]
    seen = np.bincount(bins, weights=labels, minlength=N_BINS)[some] / counts[some]
    return said, seen, counts[some]


def _roc(results: Mapping[Cell, CellResult], bench: Bench, path: Path) -> Path:
    figure, axes = _figure(2, "ROC on unseen chemical systems, first seed")
    parts = {"all alloys": bench.class_parts[""], "four or more elements": bench.class_parts["_n4"]}
    for axis, (words, rows) in zip(axes, parts.items(), strict=True):
        labels = bench.rows.labels[rows]
        scored = {c: auc(labels, r.arrays["class_p"][rows]) for c, r in results.items()}
        order = sorted(scored, key=lambda c: -scored[c])
        others = [c for c in order if c.model not in RECIPES][:_ROC_MODELS]
        for cell in [c for c in order if c.model in RECIPES or c in others]:
            false, true = roc_curve(labels, results[cell].arrays["class_p"][rows])
            width = 2.0 if cell.model in RECIPES else 1.0
            axis.plot(false, true, lw=width, label=f"{cell.label} {scored[cell]:.3f}")
        axis.plot([0, 1], [0, 1], color="0.7", lw=0.8)
        axis.set(xlabel="false positive rate", ylabel="true positive rate", title=f"{words} (AUC in the legend)")
        axis.legend(fontsize=7, loc="lower right")
    return _saved(figure, path)


def _reliability(results: Mapping[Cell, CellResult], bench: Bench, path: Path) -> Path:
    figure, axes = _figure(1, "Class probability on unseen systems, first seed")
    bundles = {cell: result for cell, result in results.items() if cell.model in RECIPES}
    for cell, result in (bundles or results).items():
        p = calibrated_class_p(bench, result.arrays["class_p"], bench.folds(cell.split, cell.seed), cell.model)
        said, seen, counts = reliability(bench.rows.labels, p)
        brier = float(np.mean((p - bench.rows.labels) ** 2))
        (line,) = axes[0].plot(said, seen, lw=1.2, label=f"{cell.label}, Brier {brier:.3f}")
        axes[0].scatter(said, seen, s=4 + 60 * counts / counts.max(), color=line.get_color())
    axes[0].plot([0, 1], [0, 1], color="0.7", lw=0.8)
    axes[0].set(xlabel="probability said", ylabel="share that is feasible (dot area: rows)")
    axes[0].legend(fontsize=8, loc="upper left")
    return _saved(figure, path)


def _parity(cell: Cell, result: CellResult, bench: Bench, path: Path) -> Path:
    keys = bench.problem.property_keys
    figure, axes = _figure(len(keys), f"{cell.label}: predicted out of fold against measured, unseen chemical systems")
    lower, upper = cell_intervals(bench, result, bench.folds(cell.split, cell.seed), cell.model)
    for p, (axis, spec) in enumerate(zip(axes, bench.problem.properties, strict=True)):
        y, f = bench.rows.values[:, p], result.arrays["mean"][:, p]
        known = np.isfinite(y) & np.isfinite(f)
        for words, kind, colour in (("glasses", "feasible", "C0"), ("others", "rest", "C1")):
            at = known & bench.kinds[kind]
            if not at.any():
                continue
            bars = np.maximum(np.stack([f[at] - lower[at, p], upper[at, p] - f[at]]), 0.0)
            axis.errorbar(y[at], f[at], yerr=bars, fmt="none", ecolor=colour, alpha=0.12, lw=0.7)
            axis.scatter(y[at], f[at], s=5, color=colour, label=f"{words} ({int(at.sum())})")
        if known.any():
            ends = [float(min(y[known].min(), f[known].min())), float(max(y[known].max(), f[known].max()))]
            axis.plot(ends, ends, color="0.4", lw=0.8)
            room = 0.25 * (ends[1] - ends[0])  # intervals that reach the plausible range would hide the points
            axis.set_ylim(ends[0] - room, ends[1] + room)
        axis.set(xlabel=f"measured {spec.symbol} ({spec.unit})", ylabel="predicted, 90 % interval")
        if spec.key in bench.problem.cautions:
            axis.set_title("hardly predictable for glasses", fontsize=8)
        axis.legend(fontsize=7)
    return _saved(figure, path)


def _figure(n: int, title: str) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    columns = min(n, 4)
    n_rows = -(-n // columns)
    figure = Figure(figsize=(4.6 * columns, 4.0 * n_rows), layout="constrained")
    axes = [figure.add_subplot(n_rows, columns, i + 1) for i in range(n)]
    figure.suptitle(title)
    return figure, axes


def _saved(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
