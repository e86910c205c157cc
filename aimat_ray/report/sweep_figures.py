"""Pictures of a sweep: learning curves side by side, and the samples of a search as lines through their settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.report.importance import Sample
from aimat_ray.report.markup import Html, clean, el
from aimat_ray.report.svg import COLOURS, DASHES, NARROW, SERIES, WIDE, new_figure, picture
from aimat_ray.report.sweep_facts import TUNING_RATE, SweepRun
from aimat_ray.report.training_figure import smooth
from aimat_ray.report.wording import count, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
MAX_PANELS = 60
_COLUMNS = 5


def learning_curves(panels: dict[str, list[SweepRun]], by_variant: bool) -> Html | None:
    """Goal share while training, one small plot per base with a line for each run.

    Args:
        panels: Runs by title of their plot.
        by_variant: Whether the colours tell variants apart (rather than seeds).

    Returns:
        The picture, or None where no run has recorded anything.
    """
    usable = {title: [run for run in runs if _curve(run) is not None] for title, runs in panels.items()}
    usable = dict(list({title: runs for title, runs in usable.items() if runs}.items())[:MAX_PANELS])
    if not usable:
        return None
    runs = [run for group in usable.values() for run in group]
    names = list(dict.fromkeys(run.variant if by_variant else f"seed {run.seed}" for run in runs))
    ends = [f"{title} {percent(_end(group[0]))}" for title, group in usable.items()]
    alt = f"Learning curves: training episodes at the goal in the last fifth of the training, {', '.join(ends)}"

    def draw(compact: bool) -> Figure:
        columns = min(2 if compact else _COLUMNS, len(usable))
        rows = math.ceil(len(usable) / columns)
        size = NARROW if compact else max(WIDE * columns / _COLUMNS, NARROW)
        figure, axes = new_figure(size, 1.45 * rows + 0.8, rows, columns, sharex=True, sharey=True)
        for ax, (title, group) in zip(axes, usable.items(), strict=False):
            for run in group:
                _draw_curve(ax, run, names.index(run.variant if by_variant else f"seed {run.seed}"))
            ax.set_title(clean(title))
            ax.set_ylim(-0.03, 1.03)
            ax.set_yticks([0, 0.5, 1], [percent(share) for share in (0, 0.5, 1)])
            ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else count(value))
            ax.locator_params(axis="x", nbins=3)
        for ax in axes[len(usable) :]:
            ax.remove()
        figure.supxlabel("Environment steps", fontsize=9.5, color=COLOURS["muted"])
        if len(names) > 1:
            handles, labels = _unique(axes[: len(usable)])
            figure.legend(handles, labels, loc="outside lower left", ncols=3 if compact else 8)
        return figure

    share = min(len(usable), _COLUMNS) / _COLUMNS  # a few plots must not be blown up to the width of the page
    return el("div", picture("sweep-learning", alt, draw), style=f"max-width:{max(68 * share, 34):.0f}rem")


def _unique(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    return list(found.values()), list(found)


def _curve(run: SweepRun) -> tuple[FloatArray, FloatArray] | None:
    frame = run.facts.files.metrics
    if frame is None or not {"env_steps", "goal_share"} <= set(frame.columns):
        return None
    kept = frame[["env_steps", "goal_share"]].dropna()
    if kept.empty:
        return None
    steps, share = kept.to_numpy(dtype=np.float64).T
    return steps, smooth(share)


def _end(run: SweepRun) -> float:
    curve = _curve(run)
    return math.nan if curve is None else float(np.nanmean(curve[1][-max(1, len(curve[1]) // 5) :]))


def _draw_curve(ax: Axes, run: SweepRun, position: int) -> None:
    curve, frame = _curve(run), run.facts.files.metrics
    if curve is None or frame is None:
        return
    colour = COLOURS[SERIES[position % len(SERIES)]]
    label = run.variant or f"seed {run.seed}"
    marker = "o" if len(curve[0]) == 1 else None
    ax.plot(*curve, color=colour, linestyle=DASHES[position % len(DASHES)], linewidth=1.4, label=label, marker=marker)
    if TUNING_RATE in frame:
        measured = frame[["env_steps", TUNING_RATE]].dropna()
        changed = measured[measured[TUNING_RATE].diff().ne(0)]
        ax.plot(changed["env_steps"], changed[TUNING_RATE], linestyle="none", marker="D", markersize=3.5, color=colour)


def parallel_coordinates(samples: Sequence[Sample], objective: str) -> Html | None:
    """Every sample as a line through its settings to what it reached; None for fewer than two."""
    if len(samples) < 2:
        return None
    keys = list(samples[0].point)
    best = max(samples, key=lambda sample: sample.value)
    settings = ", ".join(f"{key} {_shown(value)}" for key, value in best.point.items())
    alt = f"{plural(len(samples), 'sample')}; the best reaches {percent(best.value)} with {settings}"

    def draw(compact: bool) -> Figure:
        figure, (ax,) = new_figure(NARROW if compact else WIDE, 3.9)
        positions = [_positions([sample.point[key] for sample in samples]) for key in keys]
        values = np.array([sample.value for sample in samples])
        heights = np.array([*(place for place, _ in positions), values])
        cut = np.quantile(values, 0.75)
        for i in np.argsort(values):
            good = values[i] >= cut
            ax.plot(
                heights[:, i], color=COLOURS["accent" if good else "faint"], linewidth=1.8 if good else 1.0,
                alpha=0.9 if good else 0.8, zorder=3 if good else 2,
            )  # fmt: skip
        ticks = [ticks for _, ticks in positions] + [[(share, percent(share)) for share in (0, 0.25, 0.5, 0.75, 1)]]
        for x, marks in enumerate(ticks):
            ax.axvline(x, color=COLOURS["muted"], linewidth=0.9, zorder=1)
            for height, words in marks:
                ax.annotate(
                    words, (x, height), (3, 0), textcoords="offset points", va="center", fontsize=8,
                    color=COLOURS["ink"], zorder=5, clip_on=False,
                    bbox={"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 0.6, "alpha": 0.75},
                )  # fmt: skip
        labels = [clean(key).replace(".", ".\n").replace("_", "_\n" if compact else "_") for key in keys]
        ax.set_xticks(range(len(ticks)), [*labels, objective.replace(" ", "\n", 1)])
        ax.set_yticks([])
        ax.set_xlim(-0.08, len(ticks) - 0.72)
        ax.set_ylim(-0.06, 1.06)
        ax.grid(visible=False)
        ax.spines[["left", "bottom"]].set_visible(False)
        return figure

    return picture("parallel", alt, draw)


def _positions(values: Sequence[float | int | str]) -> tuple[FloatArray, list[tuple[float, str]]]:
    """Heights 0..1 of the values of one setting, and the marks of its axis; logarithmic over more than a decade."""
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values) or len(set(numbers)) <= 4:
        kinds = [*sorted(set(numbers)), *sorted({value for value in values if isinstance(value, str)})]
        heights = {kind: (i + 0.5) / len(kinds) for i, kind in enumerate(kinds)}
        return np.array([heights[value] for value in values]), [(h, _shown(kind)) for kind, h in heights.items()]
    raw = np.array(numbers, dtype=np.float64)
    logarithmic = raw.min() > 0 and raw.max() / raw.min() > 10
    scaled = np.log(raw) if logarithmic else raw
    low, high = float(scaled.min()), float(scaled.max())
    levels = [low + share * (high - low) for share in (0.0, 0.5, 1.0)]
    marks = [_shown(math.exp(level) if logarithmic else level) for level in levels]
    return (scaled - low) / (high - low), list(zip((0.0, 0.5, 1.0), marks, strict=True))


def _shown(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else clean(value)
