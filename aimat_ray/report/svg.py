"""From a matplotlib figure to SVG: themed and inlined in a page, or a file of its own."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from aimat_ray.errors import RunError
from aimat_ray.report.markup import Html, clean, el, join

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours of the light theme. An inlined figure refers to the page's variable of that name instead, so one picture
# serves both themes. The order of the series is chosen to differ in lightness too, for print and colour-blind readers.
COLOURS = {
    "ink": "#1c2730",
    "muted": "#5b6b77",
    "faint": "#b9c3ca",
    "grid": "#e3e8eb",
    "paper": "#fdfefe",
    "accent": "#0b6a8f",
    "warm": "#b8501f",
    "good": "#3c7a3f",
    "plum": "#7d4a94",
    "goal": "#e4f0e3",
}
DARK = {
    "ink": "#e5eaee",
    "muted": "#9dabb6",
    "faint": "#55626c",
    "grid": "#2b353d",
    "paper": "#161c21",
    "accent": "#5cbbe0",
    "warm": "#ec9a68",
    "good": "#86c88a",
    "plum": "#cba0e0",
    "goal": "#203427",
}
SERIES = ("accent", "warm", "good", "plum")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)))

WIDE, NARROW = 9.6, 4.7  # inches; a page shows the narrow drawing on a phone, so that its text stays readable
Draw = Callable[[bool], "Figure | None"]

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # formulas come from user files: a dollar sign must not start mathematics
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.titlecolor": COLOURS["ink"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.7,
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.8,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The style of all figures; draw and save inside it."""
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A formula from a file may hold any character; the reader's browser, not matplotlib, draws the text.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with its axes in reading order. It belongs to nobody but the caller (no global state)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.ravel())


def picture(
    name: str, alt: str, draw: Draw, titles: Mapping[str, str] | None = None, small: bool = False
) -> Html | None:
    """A figure for the page: a wide drawing and a narrow one for phones.

    Args:
        name: Unique name; prefixes the ids inside the SVG.
        alt: What the figure shows, for readers who do not see it.
        draw: Draws the figure; its argument is True for the narrow one. None: there is nothing to draw.
        titles: Text shown when the pointer rests on an artist, by the artist's gid.
        small: Only the narrow drawing, for a grid of small pictures.
    """
    drawings = []
    for kind, compact in (("narrow", True),) if small else (("wide", False), ("narrow", True)):
        with drawing():
            figure = draw(compact)
            if figure is None:
                return None
            root = _tree(figure, f"{name}-{kind}", titles or {})
        root.set("class", f"figure {kind}")
        root.set("role", "img")
        root.set("aria-label", clean(alt))
        for key in ("width", "height", "version"):
            root.attrib.pop(key, None)
        drawings.append(Html(_themed(ElementTree.tostring(root, encoding="unicode"))))
    return el("div", join(*drawings), class_="picture")


def save_figure(figure: Figure, path: Path, title: str, alt: str) -> Path:
    """Write a figure as a file of its own: .svg and .png in print colours, .html following the reader's theme.

    Call it inside `drawing()`.

    Raises:
        RunError: Another ending, or the file can't be written.
    """
    ending = path.suffix.lower()
    if ending not in (".svg", ".png", ".html"):
        raise RunError(f"picture {path}: expected a name that ends in .svg, .png or .html")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending == ".png":
            figure.savefig(path, dpi=200, facecolor="white")
            return path
        root = _tree(figure, "figure", {})
        root.set("role", "img")
        root.set("aria-label", clean(alt))
        if ending == ".svg":
            root.set("xmlns", "http://www.w3.org/2000/svg")
            rule = '<rect width="100%" height="100%" fill="#ffffff"/>'
            markup = re.sub(r"(<svg[^>]*>)", rf"\1{rule}", ElementTree.tostring(root, encoding="unicode"), count=1)
        else:
            markup = _page(title, Html(_themed(ElementTree.tostring(root, encoding="unicode"))))
        path.write_text(markup, encoding="utf-8")
    except OSError as error:
        raise RunError(f"picture {path} can't be written: {error.strerror or error}") from error
    return path


def theme_variables() -> str:
    """CSS: the colours of both themes as variables. Print is always light."""
    light, dark = ("".join(f"--{name}:{value};" for name, value in theme.items()) for theme in (COLOURS, DARK))
    return f":root{{color-scheme:light dark;{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _page(title: str, content: Html) -> str:
    style = (
        theme_variables()
        + "body{margin:1.5rem auto;padding:0 1rem;max-width:60rem;background:var(--paper);color:var(--ink);"
        + "font-family:system-ui,sans-serif}svg{width:100%;height:auto}svg *{stroke-linejoin:round}"
    )
    head = join(
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", Html(style)),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{el("head", head)}{el("body", content)}</html>\n'


def _themed(markup: str) -> str:
    """Fixed colours -> variables of the page."""
    for name, value in COLOURS.items():
        markup = markup.replace(value, f"var(--{name})")
    return markup


def _tree(figure: Figure, prefix: str, titles: Mapping[str, str]) -> ElementTree.Element:
    """The figure's SVG without metadata, namespaces and global rules, its ids made unique by a prefix."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    # A picture drawn in this process a moment ago, not a document from elsewhere.
    root = ElementTree.fromstring(buffer.getvalue())
    _strip(root)
    for element in root.iter():
        # The hash that names shared shapes would repeat between figures, and ids must be unique in a page.
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{prefix}-{value}")
            elif key == "href" and value.startswith("#"):
                element.set(key, f"#{prefix}-{value[1:]}")
            else:
                element.set(key, value.replace("url(#", f"url(#{prefix}-"))
        if "style" in element.attrib:
            element.set("style", re.sub(r"font-family: [^;]+;? ?", "", element.attrib["style"]))
    root.set("font-family", "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif")
    for gid, words in titles.items():
        for element in root.iter("g"):
            if element.get("id") == f"{prefix}-{gid}":
                title = ElementTree.Element("title")
                title.text = clean(words)
                element.insert(0, title)
    return root


def _strip(element: ElementTree.Element) -> None:
    """Drop namespaces, metadata and styles that would apply to the whole page."""
    element.tag = element.tag.rpartition("}")[2]
    element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    for child in list(element):
        if child.tag.rpartition("}")[2] in ("metadata", "style"):
            element.remove(child)
        else:
            _strip(child)
