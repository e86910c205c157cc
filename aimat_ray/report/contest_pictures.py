"""Pictures of a contest, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aimat_ray.contest.statistics import over_problems, profile
from aimat_ray.contest.tables import Results, of_family
from aimat_ray.report.contest_words import learner, title_of

_DPI, _WIDTH, _HEIGHT = 110, 6.2, 4.6
_LEGEND_ROWS = 20
_FAMILIES = {"synthetic": "OracleWorld, true designs", "measured": "measured alloys, confirmed designs"}
_PARTS = ("start", "middle", "end")
_CLOUD_METHODS = ("td3", "td3_robust", "td3_paper", "td3_paper_16", "sac", "ppo")


def draw_pictures(results: Results, folder: Path) -> dict[str, Path]:
    """Draw what there are results for.

    Args:
        results: The stored tables.
        folder: Where the files go.

    Returns:
        Files by name: curves, profiles, returns, clouds, starts.
    """
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    families = [name for name in _FAMILIES if len(of_family(results, name))]
    written: dict[str, Path] = {}
    if families:
        written["curves"] = _panels(results, families, folder / "curves.png", _curves)
        written["profiles"] = _panels(results, families, folder / "profiles.png", _profiles)
    if len(results.curves) and results.curves["return_mean"].notna().any():
        written["returns"] = _returns(results, folder / "returns.png")
    if len(results.clouds):
        written["clouds"] = _clouds(results, folder / "clouds.png")
    if len(results.starts):
        written["starts"] = _starts(results, folder / "starts.png")
    return written


def _figure(n_columns: int, n_rows: int = 1) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    size = (_WIDTH * n_columns, _HEIGHT * n_rows)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.grid(True, color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _grid(n: int, n_columns: int) -> tuple[Any, list[Any]]:
    """A figure of n panels in rows; what is left over of the last row stays empty."""
    figure, axes = _figure(min(n, n_columns), -(-n // n_columns))
    for axis in axes.flat[n:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:n])


def _legend(figure: Any, axes: Sequence[Any]) -> None:
    """One legend for all panels, beside them."""
    shown = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(
        shown.values(), shown.keys(), loc="outside right center", fontsize=8, frameon=False,
        ncols=-(-len(shown) // _LEGEND_ROWS),
    )  # fmt: skip


def _save(figure: Any, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=_DPI)
    plt.close(figure)
    return path


def _style(index: int) -> dict[str, Any]:
    """Colour and dashes: ten colours, then the same ones dashed, then dotted."""
    return {"color": f"C{index % 10}", "linestyle": ("-", "--", ":")[index // 10 % 3]}


def _panels(results: Results, families: Sequence[str], path: Path, draw: Any) -> Path:
    figure, axes = _figure(len(families))
    for axis, family in zip(axes[0], families, strict=True):
        table = of_family(results, family)
        draw(axis, results, table, list(dict.fromkeys(results.scores["method"])))
        axis.set_title(_FAMILIES[family], loc="left", fontsize=11)
    _legend(figure, axes[0])
    return _save(figure, path)


def _curves(axis: Any, results: Results, table: pd.DataFrame, methods: list[str]) -> None:
    points = results.note["points"]
    for index, method in enumerate(methods):
        part = table[table["method"] == method]
        if part.empty:
            continue
        values = [over_problems(part[part["point"] == point], "hits") for point in points]
        means = [value.mean for value in values]
        axis.plot(points, means, marker="o", markersize=3, label=title_of(results, method), **_style(index))
        low, high = [value.lower for value in values], [value.upper for value in values]
        axis.fill_between(points, low, high, color=_style(index)["color"], alpha=0.08, linewidth=0)
    axis.set_xscale("log")
    axis.set_xlabel("surrogate predictions")
    axis.set_ylabel(f"hits among at most {results.note['list_size']} designs")


def _profiles(axis: Any, results: Results, table: pd.DataFrame, methods: list[str]) -> None:
    levels = np.linspace(0, 1, 101)
    last = table[table["point"] == results.note["points"][-1]]
    for index, method in enumerate(methods):
        hits = last[last["method"] == method]["hits"].dropna().to_numpy(float) / results.note["list_size"]
        if len(hits):
            axis.step(levels, profile(hits, levels), where="post", label=title_of(results, method), **_style(index))
    axis.set_xlabel("hits, as a share of the longest list")
    axis.set_ylabel("share of runs above")
    axis.set_ylim(0, 1.02)


def _returns(results: Results, path: Path) -> Path:
    """Returns of every learner, each scaled to its own range: rewards of different settings differ in unit."""
    told = results.curves[results.curves["return_mean"].notna()]
    synthetic = told["problem"].isin(set(of_family(results, "synthetic")["problem"]))
    table = told[synthetic] if synthetic.any() else told
    methods = [m for m in dict.fromkeys(table["method"]) if learner(results, m)]
    figure, axes = _grid(len(methods), 4)
    for axis, method in zip(axes, methods, strict=True):
        part = table[table["method"] == method]
        for index, (_, runs) in enumerate(part.groupby("problem")):
            for _, run in runs.groupby("seed"):
                axis.plot(run["predictions"], run["return_mean"], color=f"C{index}", alpha=0.5, linewidth=1)
        axis.set_title(title_of(results, method), loc="left", fontsize=11)
        axis.set_xlabel("predictions")
        axis.set_ylabel("mean return of training episodes")
    return _save(figure, path)


def _clouds(results: Results, path: Path) -> Path:
    table = results.clouds
    methods = [m for m in _CLOUD_METHODS if m in set(table["method"])] or list(dict.fromkeys(table["method"]))[:4]
    problem = table["problem"].iloc[0]
    figure, axes = _grid(len(methods), 3)
    for axis, method in zip(axes, methods, strict=True):
        part = table[(table["method"] == method) & (table["problem"] == problem)]
        for index, name in enumerate(_PARTS):
            rows = part[part["part"] == name]
            axis.scatter(
                rows["youngs_modulus_gpa"], rows["yield_strength_mpa"], s=9, alpha=0.5, color=f"C{index}",
                label=f"{name} of training", linewidths=0,
            )  # fmt: skip
        axis.set_title(f"{title_of(results, method)}, {problem} (synthetic)", loc="left", fontsize=11)
        axis.set_xlabel("predicted Young's modulus (GPa)")
        axis.set_ylabel("predicted yield strength (MPa)")
        axis.legend(frameon=False, fontsize=8)
    return _save(figure, path)


def _starts(results: Results, path: Path) -> Path:
    tasks = list(dict.fromkeys(results.starts["task"]))
    figure, axes = _grid(len(tasks), 2)
    walkers = [w for w in dict.fromkeys(results.starts["walker"]) if w != "ceiling"]
    for axis, task in zip(axes, tasks, strict=True):
        part = results.starts[results.starts["task"] == task]
        for index, walker in enumerate(walkers):
            means = part[part["walker"] == walker].groupby("within")["mean"].mean()
            axis.plot(
                means.index, means.values, marker="o", markersize=3, label=walker.replace("_", " "), **_style(index)
            )
        top = part[part["walker"] == "ceiling"]["mean"].mean()
        axis.axhline(top, color="#888888", linewidth=1, linestyle="--")
        axis.set_xscale("log", base=2)
        axis.set_ylim(0, 1)
        axis.set_title(task, loc="left", fontsize=11)
        axis.set_xlabel("predictions per start")
        axis.set_ylabel("share of starts at the goal")
    _legend(figure, axes)
    return _save(figure, path)
