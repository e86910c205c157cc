"""HTML as values: text is escaped by construction, because only `Html` counts as markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

# Control characters break parsers, lone surrogates break UTF-8, and direction overrides let a text pose as another.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"br", "hr", "input", "meta", "link", "img", "wbr"})


class Html(str):
    """Text that is markup already. Make it with `el`, `join` or `text`, never from a user's string."""

    __slots__ = ()


Child: TypeAlias = "str | int | float | Iterable[Child] | None"
Attribute = str | int | float | bool | None


def clean(value: object) -> str:
    """A value as text without characters that no page should hold."""
    return _UNSAFE.sub("\ufffd", str(value))


def text(value: object) -> Html:
    """Escape a value; an `Html` passes unchanged."""
    return value if isinstance(value, Html) else Html(html.escape(clean(value), quote=True))


def join(*children: Child) -> Html:
    """Children in sequence; None is left out, iterables are flattened, everything but `Html` is escaped."""
    return Html("".join(_flat(children)))


def el(tag: str, *children: Child, **attributes: Attribute) -> Html:
    """One element.

    Args:
        tag: Name of the element.
        children: Contents, as for `join`.
        attributes: Values by name; `class_` gives `class`, `data_x` gives `data-x`; None and False are left out.
    """
    opening = tag + "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{join(*children)}</{tag}>")


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    key = name.rstrip("_").replace("_", "-")
    return f' {key}="{text("" if value is True else value)}"'


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str | int | float):
            yield text(child)
        else:
            yield from _flat(child)


_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d{0,3}(?:\.\d{1,4})?){1,52}")
_PART = re.compile(r"([A-Z][a-z]?)(\d{0,3}(?:\.\d{1,4})?)")


def formula(value: str) -> Html:
    """A chemical formula with subscripts; text of any other form is only escaped."""
    if not _FORMULA.fullmatch(value):
        return text(value)
    parts = [join(symbol, el("sub", amount) if amount else None) for symbol, amount in _PART.findall(value)]
    return Html(el("wbr").join(parts))  # a long formula may break between elements, nowhere else
