"""Rates with their intervals as a table whose middle column is a plot: numbers stay text, and reflow on a phone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aimat_ray.report.facts import Rate
from aimat_ray.report.markup import Html, el, join
from aimat_ray.report.wording import amount, percent, span


def forest_table(body: Sequence[Html]) -> Html:
    """The table around rows and groups."""
    heads = (
        ("Method", None),
        (_scale(), "plot"),
        (join("Success ", el("small", "95 % interval")), None),
        (join("Predictions ", el("small", "per episode")), "number"),
        (join("Predictions ", el("small", "per success")), "number"),
    )
    head = el("tr", [el("th", words, scope="col", class_=kind) for words, kind in heads])
    return el("div", el("table", el("thead", head), el("tbody", body), class_="forest stack"), class_="scroll")


def forest_group(title: str) -> Html:
    """A heading between rows."""
    return el("tr", el("th", title, colspan=5, scope="colgroup"), class_="group")


def forest_row(row: Rate, ceiling: Rate | None, remark: str = "", own: bool = False) -> Html:
    """One rate.

    Args:
        row: The rate.
        ceiling: Drawn as a dashed line.
        remark: Written below the rate.
        own: Whether the page is about this method.
    """
    shown = [
        el("i", class_="top", style=f"left:{100 * min(max(ceiling.mean, 0), 1):.2f}%") if ceiling else None,
        _range(row),
        el("i", class_="dot", style=f"left:{100 * min(max(row.mean, 0), 1):.2f}%"),
    ]
    name = el(
        "th", row.method.label, el("div", row.method.note, class_="fine") if row.method.note else None, scope="row"
    )
    success = join(
        percent(row.mean),
        el("div", ends, class_="fine") if (ends := span(row.lower, row.upper)) else None,
        el("div", remark, class_="fine") if remark else None,
    )
    return el(
        "tr",
        name,
        el("td", el("div", shown, class_="track", aria_hidden="true"), class_="plot"),
        el("td", success, class_="rate"),
        el("td", amount(row.predictions), class_="number", data_label="Predictions per episode"),
        el("td", amount(row.per_success), class_="number", data_label="Predictions per success"),
        class_="own" if own else None,
    )


def _scale() -> Html:
    marks = [el("span", f"{mark} %", style=f"left:{mark}%") for mark in (0, 25, 50, 75, 100)]
    return el("div", marks, class_="scale", aria_hidden="true")


def _range(row: Rate) -> Html | None:
    if not (math.isfinite(row.lower) and math.isfinite(row.upper)):
        return None
    low, high = (100 * min(max(value, 0.0), 1.0) for value in (row.lower, row.upper))
    return el("i", class_="range", style=f"left:{low:.2f}%;width:{max(high - low, 0):.2f}%")
