"""Candidates among measured alloys: two properties at a time, with thresholds and intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aimat_ray.report.candidates import Candidate
from aimat_ray.report.facts import Facts, Threshold
from aimat_ray.report.markup import Html
from aimat_ray.report.pareto import pareto_front
from aimat_ray.report.svg import COLOURS, NARROW, WIDE, new_figure, picture
from aimat_ray.report.wording import Spec, axis_label, fixed, measured, spec_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from aimat_ray.data.sources import AlloyData

FloatArray = NDArray[np.float64]
# Pairs that materials scientists look at whatever the goal is, in the order in which they are tried.
CUSTOMARY = (
    ("yield_strength_mpa", "elongation_pct"),
    ("dmax_mm", "youngs_modulus_gpa"),
    ("trg", "dmax_mm"),
)
INTERVALS = 10  # candidates whose intervals are drawn, the best ones
MAX_DRAWN = 60  # candidates per plot; more would hide each other
LOG_FROM = 40.0  # ratio of largest to smallest measured value from which an axis becomes logarithmic


@dataclass(frozen=True)
class Cloud:
    """Measured values of two quantities: rows of this base, and all other rows of the feasible class."""

    base: FloatArray
    others: FloatArray


def scatter(
    facts: Facts, data: AlloyData | None, x: str, y: str, wide: bool, name: str = "", fronts: bool = False
) -> Html | None:
    """One plot as markup; None where no candidate and no measured alloy has both quantities.

    Args:
        facts: The run.
        data: Measured alloys; None draws candidates only.
        x: Quantity of the horizontal axis.
        y: Quantity of the vertical axis.
        wide: Whether the plot has the page's full width.
        name: Distinguishes plots of the same two quantities.
        fronts: Whether the Pareto fronts are drawn, rather than the intervals of the best candidates.
    """
    specs = spec_of(facts.problem, x), spec_of(facts.problem, y)
    if specs[0] is None or specs[1] is None:
        return None
    pair = specs[0], specs[1]
    drawn = [c for c in facts.candidates if math.isfinite(c.estimate(x).value) and math.isfinite(c.estimate(y).value)][
        :MAX_DRAWN
    ]
    cloud = measured_cloud(facts, data, x, y)
    if not drawn and not len(cloud.base):
        return None
    titles = {f"candidate-{i}": _title(c, pair) for i, c in enumerate(drawn)}
    alt = (
        f"{pair[0].label} against {pair[1].label}: {len(drawn)} candidates with 90 % intervals among "
        f"{len(cloud.base)} measured {facts.base} alloys of the same class"
    )

    def draw(compact: bool) -> Figure:
        figure, (ax,) = new_figure(NARROW if compact or not wide else WIDE, 4.6 if compact or not wide else 5.0)
        _draw(ax, facts, pair, drawn, cloud, 0 if fronts else INTERVALS)
        if fronts:
            _draw_fronts(ax, pair, drawn, cloud)
        if wide:
            figure.legend(loc="outside lower left", ncols=1 if compact else 5, columnspacing=1.6, handletextpad=0.3)
        return figure

    return picture(f"scatter-{name}-{x}-{y}".replace("_", "-"), alt, draw, titles, small=not wide)


def pairs(facts: Facts) -> list[tuple[str, str]]:
    """Pairs to plot: the goal's first, then customary ones that candidates have values for."""
    goal = facts.goal_keys
    found = list(pairwise(goal))[:2]
    if len(goal) == 1:
        partner = next((b if a == goal[0] else a for a, b in CUSTOMARY if goal[0] in (a, b)), None)
        found = [(goal[0], partner)] if partner else []
    known = set(facts.problem.quantity_keys)
    for pair in CUSTOMARY:
        if len(found) < 3 and set(pair) <= known and set(pair) not in [set(other) for other in found]:
            found.append(pair)
    return found


def measured_cloud(facts: Facts, data: AlloyData | None, x: str, y: str) -> Cloud:
    """Measured alloys of the wanted class with both quantities."""
    empty = np.empty((0, 2))
    if data is None:
        return Cloud(empty, empty)
    table = data.regression
    with np.errstate(divide="ignore", invalid="ignore"):
        quantities = facts.problem.with_derived(np.asarray(table.values))
    columns = [facts.problem.quantity_index(key) for key in (x, y)]
    values = quantities[:, columns]
    known = np.isfinite(values).all(axis=1) & (table.feasible == 1)
    of_base = np.zeros(len(table), dtype=bool)
    if facts.base in facts.problem.element_index:
        column = table.at_frac[:, facts.problem.element_index[facts.base]]
        of_base = (column > 0) & (column >= table.at_frac.max(axis=1))
    return Cloud(values[known & of_base], values[known & ~of_base])


def _draw(
    ax: Axes, facts: Facts, pair: tuple[Spec, Spec], drawn: Sequence[Candidate], cloud: Cloud, intervals: int
) -> None:
    keys = pair[0].key, pair[1].key
    limits = [_limits(axis, keys[axis], drawn, cloud, facts.thresholds, intervals) for axis in (0, 1)]
    logarithmic = [_is_log(cloud, axis, limits[axis]) for axis in (0, 1)]
    _axes(ax, pair, limits, logarithmic)
    _goal_region(ax, pair, facts.thresholds)
    if len(cloud.others):
        x, y = cloud.others.T
        ax.scatter(x, y, s=11, color=COLOURS["faint"], alpha=0.55, linewidths=0, label="measured, other base")
    if len(cloud.base):
        x, y = cloud.base.T
        ax.scatter(x, y, s=22, color=COLOURS["muted"], alpha=0.8, linewidths=0, label=f"measured, {facts.base}-based")
    labelled: set[bool] = set()
    for i, candidate in enumerate(drawn):
        _candidate(ax, candidate, keys, i, limits if i < intervals else None, labelled)


def _draw_fronts(ax: Axes, pair: tuple[Spec, Spec], drawn: Sequence[Candidate], cloud: Cloud) -> None:
    """Steps through the alloys that no other one beats: measured ones of the base, and confirmed candidates."""
    signs = np.array([1.0 if spec.direction == "maximize" else -1.0 for spec in pair])
    own = [[c.estimate(spec.key).value for spec in pair] for c in drawn if c.confirmed]
    for points, colour in ((cloud.base, "muted"), (np.array(own).reshape(-1, 2), "accent")):
        ranked = points[pareto_front(points * signs)]
        if len(ranked) > 1:
            ax.plot(*ranked.T, color=COLOURS[colour], linewidth=1.4, drawstyle="steps-post", zorder=4)


def _candidate(
    ax: Axes,
    candidate: Candidate,
    keys: tuple[str, str],
    position: int,
    limits: list[tuple[float, float]] | None,
    labelled: set[bool],
) -> None:
    """A marker: filled when confirmed, hollow when not, ringed when it stands for its cluster.

    Its intervals are drawn when limits are given, and cut at these.
    """
    confirmed = bool(candidate.confirmed)
    colour = COLOURS["accent" if confirmed else "warm"]
    x, y = (candidate.estimate(key) for key in keys)
    for estimate, other, axis in ((x, y, 0), (y, x, 1)):
        if limits is not None and math.isfinite(estimate.lower) and math.isfinite(estimate.upper):
            ends = np.clip([estimate.lower, estimate.upper], *limits[axis])
            line = (ends, [other.value] * 2) if axis == 0 else ([other.value] * 2, ends)
            ax.plot(*line, color=colour, linewidth=0.8, alpha=0.35, zorder=3)
    label = None
    if confirmed not in labelled:
        labelled.add(confirmed)
        label = "confirmed candidate" if confirmed else "unconfirmed candidate"
    (point,) = ax.plot(
        [x.value], [y.value], linestyle="none", marker="D" if confirmed else "o", markersize=6.5,
        markeredgecolor=colour, markerfacecolor=colour if confirmed else COLOURS["paper"], markeredgewidth=1.3,
        zorder=5, label=label,
    )  # fmt: skip
    point.set_gid(f"candidate-{position}")
    if candidate.centre:
        ax.plot(
            [x.value], [y.value], linestyle="none", marker="o", markersize=12, markerfacecolor="none",
            markeredgecolor=COLOURS["ink"], markeredgewidth=1, zorder=4,
        )  # fmt: skip


def _axes(ax: Axes, pair: tuple[Spec, Spec], limits: list[tuple[float, float]], logarithmic: list[bool]) -> None:
    ax.set_xlabel(axis_label(pair[0]))
    ax.set_title(axis_label(pair[1]), fontweight="normal", fontsize=9.5, color=COLOURS["muted"])
    for which, axis in enumerate((ax.xaxis, ax.yaxis)):
        low, high = limits[which]
        if logarithmic[which]:
            (ax.set_xscale if which == 0 else ax.set_yscale)("log")
            steps = [m * 10.0**e for e in range(-3, 5) for m in (1, 2, 5)]
            shown = [step for step in steps if low <= step <= high]
            axis.set_ticks(shown, [f"{step:g}" for step in shown])
            axis.set_ticks([], minor=True)
        (ax.set_xlim if which == 0 else ax.set_ylim)(low, high)


def _limits(
    axis: int,
    key: str,
    drawn: Sequence[Candidate],
    cloud: Cloud,
    thresholds: Sequence[Threshold],
    intervals: int,
) -> tuple[float, float]:
    """Range that shows every candidate, the threshold and nearly all measured alloys of the base."""
    values = [candidate.estimate(key).value for candidate in drawn]
    values += [v for t in thresholds if t.quantity == key for v in (t.at_least, t.at_most) if math.isfinite(v)]
    values += cloud.base[:, axis].tolist()
    values += np.percentile(cloud.others[:, axis], [2, 98]).tolist() if len(cloud.others) else []
    low, high = min(values), max(values)
    inner = [e for candidate in drawn[:intervals] for e in candidate.estimate(key)[1:] if math.isfinite(e)]
    if inner:  # half of an interval beyond the rest still fits, the remainder is cut at the frame
        low, high = min(low, float(np.percentile(inner, 10))), max(high, float(np.percentile(inner, 90)))
    if low > 0 and high / low >= LOG_FROM:
        return low / 1.3, high * 1.3
    margin = 0.06 * (high - low) or max(abs(high) * 0.1, 1.0)
    return (max(low - margin, 0.0) if low >= 0 else low - margin), high + margin


def _is_log(cloud: Cloud, axis: int, limits: tuple[float, float]) -> bool:
    return limits[0] > 0 and limits[1] / limits[0] >= LOG_FROM and bool(len(cloud.base) + len(cloud.others))


def _goal_region(ax: Axes, pair: tuple[Spec, Spec], thresholds: Sequence[Threshold]) -> None:
    """Lines at the thresholds; the corner where both objectives are met is shaded."""
    spans = []
    for which, spec in enumerate(pair):
        threshold = next((t for t in thresholds if t.quantity == spec.key), None)
        low, high = ax.get_xlim() if which == 0 else ax.get_ylim()
        if threshold is None:
            continue
        line = ax.axvline if which == 0 else ax.axhline
        for bound in (threshold.at_least, threshold.at_most):
            if math.isfinite(bound):
                line(bound, color=COLOURS["good"], linewidth=1.3, linestyle=(0, (5, 2)), zorder=2)
                _name_bound(ax, spec, bound, which)
        spans.append(
            (
                threshold.at_least if math.isfinite(threshold.at_least) else low,
                threshold.at_most if math.isfinite(threshold.at_most) else high,
            )
        )
    if len(spans) == 2:
        ax.fill_between(
            spans[0], spans[1][0], spans[1][1], color=COLOURS["goal"], linewidth=0, zorder=0, label="goal region"
        )


def _name_bound(ax: Axes, spec: Spec, bound: float, which: int) -> None:
    style: dict[str, Any] = {"fontsize": 8.5, "color": COLOURS["good"], "zorder": 6, "textcoords": "offset points"}
    words = measured(spec, bound)
    if which == 0:
        ax.annotate(words, (bound, 1), (4, -2), xycoords=ax.get_xaxis_transform(), va="top", **style)
    else:
        ax.annotate(words, (1, bound), (-2, 3), xycoords=ax.get_yaxis_transform(), ha="right", va="bottom", **style)


def _title(candidate: Candidate, pair: tuple[Spec, Spec]) -> str:
    """What the pointer shows over a candidate."""
    lines = [f"#{candidate.rank} {candidate.formula}"]
    for spec in pair:
        value, lower, upper = candidate.estimate(spec.key)
        lines.append(
            f"{spec.symbol} {measured(spec, value)} ({fixed(lower, spec.decimals)}–{fixed(upper, spec.decimals)})"
        )
    lines.append("confirmed by the judge" if candidate.confirmed else "not confirmed")
    return "\n".join(lines)
