"""Pictures that stand alone: the trusted pool's rewards, and success against predictions spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aimat_ray.errors import RunError
from aimat_ray.report.markup import clean
from aimat_ray.report.svg import COLOURS, DASHES, NARROW, SERIES, WIDE, drawing, new_figure, save_figure
from aimat_ray.report.wording import count, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
CENTRAL = (0.4, 0.6)  # the band of rewards that the publication names for its pool
OTHERS = (*SERIES[1:], "muted", "ink")
FEW_CURVES = 4  # beyond it the intervals of all but the highlighted curve would hide each other
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class SuccessCurve:
    """Success of one method as it is allowed more predictions.

    Attributes:
        label: Name of the method.
        predictions: Surrogate predictions per episode, [N], ascending.
        mean: Share of episodes at the goal, [N].
        lower: Lower end of the 95 % interval, [N]; empty for none.
        upper: Upper end of the 95 % interval, [N]; empty for none.
        highlight: Drawn in the accent colour: what the picture is about.
    """

    label: str
    predictions: Sequence[float]
    mean: Sequence[float]
    lower: Sequence[float] = field(default=())
    upper: Sequence[float] = field(default=())
    highlight: bool = False


def pool_figure(rewards: ArrayLike, path: Path, title: str = "Rewards in the trusted experience pool") -> Path:
    """Draw the distribution of the pool's rewards.

    Args:
        rewards: Reward of every transition, [N].
        path: File to write: .svg, .png or .html; complete in itself.
        title: Title above the picture.

    Returns:
        The path.

    Raises:
        RunError: There is no finite reward, another ending, or the file can't be written.
    """
    values = np.asarray(rewards, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        raise RunError(f"picture {path}: the pool holds no reward to draw")
    central = float(((values >= CENTRAL[0]) & (values <= CENTRAL[1])).mean())
    negative = float((values < 0).mean())
    alt = (
        f"{title}: histogram of {count(len(values))} rewards, mean {values.mean():.3f}, "
        f"{percent(central)} between {CENTRAL[0]} and {CENTRAL[1]}, {percent(negative)} negative"
    )
    with drawing():
        return save_figure(_pool(values, title, central, negative), path, title, alt)


def _pool(values: FloatArray, title: str, central: float, negative: float) -> Figure:
    title = clean(title)
    figure, (ax,) = new_figure(7.2, 3.6)
    low, high = float(values.min()), float(values.max())
    margin = max(0.02 * (high - low), 0.01)
    counts, edges = np.histogram(values, bins=60, range=(low - margin, high + margin))
    middle = (edges[:-1] + edges[1:]) / 2
    ax.bar(middle, counts, width=np.diff(edges) * 0.92, color=COLOURS["accent"], linewidth=0)
    ax.axvspan(*CENTRAL, color=COLOURS["goal"], linewidth=0, zorder=0)
    low_end, high_end = np.percentile(values, [5, 95]).tolist()
    for value, words, dash, height in (
        (float(values.mean()), "mean", "-", 1.06),
        (low_end, "5\u00a0% below", ":", 1.005),
        (high_end, "5\u00a0% above", ":", 1.005),
    ):
        ax.axvline(value, color=COLOURS["ink"], linewidth=1, linestyle=dash)
        ax.text(
            value, height, f"{words} {value:.2f}", transform=ax.get_xaxis_transform(),
            ha="center", va="bottom", fontsize=8.5, color=COLOURS["muted"],
        )  # fmt: skip
    ax.set_title(title, pad=32)
    ax.set_xlabel(
        f"Reward of a transition · {percent(central)} within {CENTRAL[0]}–{CENTRAL[1]}, {percent(negative)} negative"
    )
    ax.set_ylabel(f"Transitions (of {count(len(values))})")
    ax.grid(axis="x", visible=False)
    return figure


def success_vs_predictions(
    curves: Sequence[SuccessCurve], path: Path, title: str = "Success against predictions spent"
) -> Path:
    """Draw how success grows with the surrogate predictions that a method may spend per episode.

    Args:
        curves: One per method.
        path: File to write: .svg, .png or .html; complete in itself.
        title: Title above the picture.

    Returns:
        The path.

    Raises:
        RunError: No curve has a point, another ending, or the file can't be written.
    """
    usable = [curve for curve in curves if len(_points(curve)[0])]
    if not usable:
        raise RunError(f"picture {path}: no success rate to draw")
    with drawing():
        return save_figure(success_drawing(usable, compact=False, title=title), path, title, success_alt(usable, title))


def success_alt(curves: Sequence[SuccessCurve], title: str) -> str:
    """The picture in words: the last point of every curve."""
    ends = []
    for curve in curves:
        x, mean, _, _ = _points(curve)
        if len(x):
            ends.append(f"{curve.label} {percent(float(mean[-1]))} at {count(float(x[-1]))} predictions")
    return f"{title}: " + "; ".join(ends)


def success_drawing(curves: Sequence[SuccessCurve], compact: bool, title: str = "") -> Figure:
    """The drawing behind `success_vs_predictions`; the caller is inside `drawing()`."""
    figure, (ax,) = new_figure(NARROW if compact else WIDE, 4.4 if compact else 4.6)
    others = [curve for curve in curves if not curve.highlight]
    for curve in curves:
        band = curve.highlight or len(curves) <= FEW_CURVES
        _draw_curve(ax, curve, 0 if curve.highlight else 1 + others.index(curve), band)
    ax.set_xscale("log", base=2)
    spans = [_points(curve)[0] for curve in curves]
    low, high = min(float(x.min()) for x in spans), max(float(x.max()) for x in spans)
    ticks = [2.0**n for n in range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)]
    ticks = ticks[:: max(1, math.ceil(len(ticks) / (6 if compact else 12)))]
    ax.set_xticks(ticks, [count(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_ylim(0, 1.02)
    ax.set_yticks(np.linspace(0, 1, 6), [percent(share) for share in np.linspace(0, 1, 6)])
    ax.set_xlabel("Surrogate predictions per episode")
    ax.set_title(clean(title) or "Episodes that reach the goal")
    figure.legend(loc="outside lower left", ncols=1 if compact else 3)
    return figure


def _draw_curve(ax: Axes, curve: SuccessCurve, position: int, band: bool) -> None:
    x, mean, lower, upper = _points(curve)
    colour = COLOURS["accent" if curve.highlight else OTHERS[position % len(OTHERS)]]
    ax.plot(
        x, mean, color=colour, label=clean(curve.label), marker=MARKERS[position % len(MARKERS)], markersize=5,
        linestyle="-" if curve.highlight else DASHES[position % len(DASHES)],
        linewidth=2.6 if curve.highlight else 1.5, zorder=4 if curve.highlight else 3,
    )  # fmt: skip
    if len(lower) and band:
        ax.fill_between(x, lower, upper, color=colour, alpha=0.15, linewidth=0)


def _points(curve: SuccessCurve) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Finite points of a curve: predictions, mean, lower, upper (the last two empty where there is no interval)."""
    x, mean = (np.asarray(values, dtype=np.float64) for values in (curve.predictions, curve.mean))
    good = np.isfinite(x) & np.isfinite(mean) & (x > 0)
    lower, upper = (np.asarray(values, dtype=np.float64) for values in (curve.lower, curve.upper))
    if len(lower) != len(x) or len(upper) != len(x):
        return x[good], mean[good], np.empty(0), np.empty(0)
    return x[good], mean[good], lower[good], upper[good]
