"""The learning curve: goal share, return and value, reward parts and the health of the designs over env steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aimat_ray.report.markup import Html
from aimat_ray.report.run_files import Document, number
from aimat_ray.report.svg import COLOURS, DASHES, NARROW, SERIES, WIDE, new_figure, picture
from aimat_ray.report.wording import count, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
SMOOTH_FROM = 30  # with fewer rows a curve is drawn as it is


@dataclass(frozen=True)
class Panel:
    """One plot of the learning curve.

    Attributes:
        title: What it shows.
        columns: Column of metrics.parquet -> label in the legend.
        share: Whether the values are shares of 1.
    """

    title: str
    columns: dict[str, str]
    share: bool = False


PANELS = (
    Panel("How training episodes end", {"goal_share": "at the goal", "infeasible_share": "not feasible"}, share=True),
    Panel("Return and value", {"episode_return_mean": "return of an episode", "q_mean": "critic’s value"}),
    Panel(
        "Reward of a step, by part",
        {
            "reward_progress": "progress",
            "reward_goal": "goal",
            "reward_feasibility": "feasibility",
            "reward_penalty": "penalty",
        },
    ),
    Panel(
        "Health of the designs",
        {"in_domain_share": "in domain", "distinct_share": "distinct", "replaced_share": "taken from the pool"},
        share=True,
    ),
)


def learning_curve(metrics: pd.DataFrame | None, warnings: Sequence[Document]) -> Html | None:
    """The learning curve as markup, or None where there is nothing to draw."""
    return curves("learning", metrics, PANELS, warnings, _alt)


def curves(
    name: str,
    metrics: pd.DataFrame | None,
    panels: Sequence[Panel],
    warnings: Sequence[Document],
    alt: Callable[[pd.DataFrame], str],
) -> Html | None:
    """Metrics over env steps as markup, or None where there is nothing to draw.

    Args:
        name: Prefix of the drawing's ids.
        metrics: One row per iteration.
        panels: The plots; those without a value are left out.
        warnings: Marked by numbered lines.
        alt: The picture in words.
    """
    if metrics is None or "env_steps" not in metrics or len(metrics) == 0:
        return None
    shown = [panel for panel in panels if _present(metrics, panel)]
    if not shown:
        return None
    return picture(name, alt(metrics), lambda compact: _draw(metrics, shown, warnings, compact))


def _present(metrics: pd.DataFrame, panel: Panel) -> dict[str, str]:
    return {key: label for key, label in panel.columns.items() if key in metrics and metrics[key].notna().any()}


def _alt(metrics: pd.DataFrame) -> str:
    words = [f"Learning curve over {count(float(metrics['env_steps'].iloc[-1]))} environment steps"]
    if "goal_share" in metrics and metrics["goal_share"].notna().any():
        share = metrics["goal_share"].dropna()
        fifth = max(1, len(share) // 5)
        first, last = float(share.iloc[:fifth].mean()), float(share.iloc[-fifth:].mean())
        words.append(f"training episodes at the goal: {percent(first)} in the first fifth, {percent(last)} in the last")
    return "; ".join(words)


def _draw(metrics: pd.DataFrame, panels: list[Panel], warnings: Sequence[Document], compact: bool) -> Figure:
    columns = 1 if compact or len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(NARROW if compact else WIDE, 2.75 * rows, rows, columns, sharex=False)
    for ax in axes[len(panels) :]:
        ax.remove()
    steps = metrics["env_steps"].to_numpy(dtype=np.float64)
    for ax, panel in zip(axes, panels, strict=False):
        _draw_panel(ax, steps, metrics, panel)
        _mark_events(ax, steps, metrics, warnings)
    for ax in axes[max(0, len(panels) - columns) : len(panels)]:
        ax.set_xlabel("Environment steps")
    return figure


def _draw_panel(ax: Axes, steps: FloatArray, metrics: pd.DataFrame, panel: Panel) -> None:
    for i, (key, label) in enumerate(_present(metrics, panel).items()):
        values = metrics[key].to_numpy(dtype=np.float64)
        colour, dash = COLOURS[SERIES[i % len(SERIES)]], DASHES[i % len(DASHES)]
        if len(values) >= SMOOTH_FROM:
            ax.plot(steps, values, color=colour, linewidth=0.7, alpha=0.3)
        marker = "o" if len(values) == 1 else None
        ax.plot(steps, smooth(values), color=colour, linestyle=dash, label=label, marker=marker)
    ax.set_title(panel.title, pad=24)
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=4, columnspacing=1.2, handletextpad=0.5, borderpad=0.2
    )
    ax.xaxis.set_major_formatter(lambda value, _: count(value))
    ax.locator_params(axis="x", nbins=5)
    if panel.share:
        ax.set_ylim(-0.02, 1.04)
        ax.set_yticks(np.linspace(0, 1, 5), [percent(share) for share in np.linspace(0, 1, 5)])
    else:
        ax.axhline(0, color=COLOURS["faint"], linewidth=0.8, zorder=1)


def _mark_events(ax: Axes, steps: FloatArray, metrics: pd.DataFrame, warnings: Sequence[Document]) -> None:
    """Numbered lines where warnings fired; dotted lines where the surrogate was replaced."""
    for position, warning in enumerate(warnings, start=1):
        at = number(warning.get("env_steps"))
        if not np.isfinite(at):
            continue
        ax.axvline(at, color=COLOURS["warm"], linewidth=1, linestyle=(0, (3, 2)), zorder=2)
        ax.annotate(
            str(position), (at, 1), (3, -2), xycoords=ax.get_xaxis_transform(), textcoords="offset points", va="top",
            fontsize=8.5, fontweight="bold", color=COLOURS["warm"],
        )  # fmt: skip
    if "surrogate_version" in metrics:
        versions = metrics["surrogate_version"].astype(str).to_numpy()
        for i in np.flatnonzero(versions[1:] != versions[:-1]) + 1:
            ax.axvline(steps[i], color=COLOURS["muted"], linewidth=1, linestyle=":", zorder=2)


def smooth(values: FloatArray) -> FloatArray:
    """Centred running mean over a twentieth of the rows; NaN where a window holds no number."""
    if len(values) < SMOOTH_FROM:
        return values
    half = max(1, len(values) // 40)
    padded = np.concatenate([np.full(half, np.nan), values, np.full(half, np.nan)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    finite = np.isfinite(windows)
    total = np.where(finite, windows, 0.0).sum(axis=1)
    number_of = finite.sum(axis=1)
    return np.where(number_of > 0, total / np.maximum(number_of, 1), np.nan)
