"""The periodic table with a colour for every base element: what share of starts ends in a confirmed design."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aimat_ray.report.markup import Html, el, join
from aimat_ray.report.wording import percent

State = Literal["rate", "pending", "no_goal"]

_ROWS = (
    "H . . . . . . . . . . . . . . . . He",
    "Li Be . . . . . . . . . . B C N O F Ne",
    "Na Mg . . . . . . . . . . Al Si P S Cl Ar",
    "K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr",
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe",
    "Cs Ba . Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn",
    "",
    ". . La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu .",
)
_PLACES = {
    symbol: (column, row)
    for row, line in enumerate(_ROWS)
    for column, symbol in enumerate(line.split())
    if symbol != "."
}
_PITCH, _SIZE = 54, 50
_STRONGEST = 0.55  # a stronger colour would leave too little contrast to the writing on it


@dataclass(frozen=True)
class Cell:
    """What the table shows for a base.

    Attributes:
        state: A rate is known; the base is planned but not evaluated; or it has no goal.
        rate: Share 0..1; NaN where not known.
        words: Shown when the pointer rests on it, and in the list on a phone.
    """

    state: State
    rate: float
    words: str


def periodic_table(cells: Mapping[str, Cell], what: str) -> Html:
    """The table as one drawing, and the same as a list for phones.

    Args:
        cells: By element symbol.
        what: What the colour means.
    """
    last = max(row for _, row in _PLACES.values())
    places = dict(_PLACES)
    for i, symbol in enumerate(symbol for symbol in cells if symbol not in _PLACES):
        places[symbol] = (i % 18, last + 1 + i // 18)
    height = (1 + max(row for _, row in places.values())) * _PITCH
    drawn = [_drawn(symbol, *place, cells.get(symbol)) for symbol, place in places.items()]
    known = [f"{symbol} {percent(cell.rate)}" for symbol, cell in cells.items() if cell.state == "rate"]
    svg = el(
        "svg", _patterns(), drawn, viewBox=f"0 0 {18 * _PITCH} {height}", role="img", class_="elements",
        aria_label=f"{what}: {', '.join(known) or 'not known yet'}",
    )  # fmt: skip
    items = [_item(symbol, cell) for symbol, cell in cells.items() if cell.state != "no_goal"]
    return join(el("div", svg, class_="periodic"), el("ul", items, class_="bases"), _key(what))


def _patterns() -> Html:
    line = el("line", x1=0, y1=0, x2=0, y2=7, stroke="var(--faint)", stroke_width=2.4)
    return el(
        "defs",
        el("pattern", line, id="hatched", width=7, height=7, patternUnits="userSpaceOnUse",
           patternTransform="rotate(45)"),
    )  # fmt: skip


def _drawn(symbol: str, column: int, row: int, cell: Cell | None) -> Html:
    x, y = column * _PITCH + 2, row * _PITCH + 2
    if cell is None:
        return el("g", _box(x, y, fill="none", stroke="var(--grid)"), _text(symbol, x, y + 30, "var(--faint)"))
    title = el("title", f"{symbol}: {cell.words}")
    if cell.state == "no_goal":
        halo = _text(symbol, x, y + 30, "var(--muted)", "b halo")
        return el("g", title, _box(x, y, fill="url(#hatched)", stroke="var(--faint)"), halo)
    if cell.state == "pending":
        box = _box(x, y, fill="none", stroke="var(--muted)", stroke_dasharray="4 3")
        return el("g", title, box, _text(symbol, x, y + 22, "var(--ink)", "b"), _text("…", x, y + 40, "var(--muted)"))
    colour, strength = _colour(cell.rate)
    box = _box(x, y, fill=f"var(--{colour})", fill_opacity=f"{strength:.2f}", stroke=f"var(--{colour})")
    number = _text(percent(cell.rate), x, y + 40, "var(--ink)", "n")
    return el("g", title, box, _text(symbol, x, y + 22, "var(--ink)", "b"), number)


def _colour(rate: float) -> tuple[str, float]:
    """Green that grows with the rate; where nothing is reached at all, the colour of warnings."""
    if not math.isfinite(rate) or rate <= 0:
        return "warm", 0.12
    return "good", 0.06 + (_STRONGEST - 0.06) * min(rate, 1.0)


def _box(x: int, y: int, **style: str) -> Html:
    return el("rect", x=x, y=y, width=_SIZE, height=_SIZE, rx=4, **style)


def _text(words: str, x: int, y: int, fill: str, kind: str | None = None) -> Html:
    return el("text", words, x=x + _SIZE / 2, y=y, fill=fill, text_anchor="middle", class_=kind)


def _item(symbol: str, cell: Cell) -> Html:
    colour, strength = _colour(cell.rate) if cell.state == "rate" else ("faint", 0.2)
    shade = f"background:color-mix(in srgb, var(--{colour}) {100 * strength:.0f}%, transparent)"
    return el("li", el("b", symbol), " ", percent(cell.rate) if cell.state == "rate" else "…", style=shade)


def _key(what: str) -> Html:
    swatches = [
        el("i", style=f"background:color-mix(in srgb, var(--good) {100 * _colour(share)[1]:.0f}%, transparent)")
        for share in (0.05, 0.25, 0.5, 0.75, 1.0)
    ]
    parts = [
        el("span", "low ", swatches, " high"),
        el("span", el("i", class_="none"), "none"),
        el("span", el("i", class_="pending"), "not evaluated yet"),
        el("span", el("i", class_="hatched"), "no evidence for a goal"),
    ]
    return el("p", el("span", f"{what}:"), parts, class_="key")
