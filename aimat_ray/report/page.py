"""The shell of a report: one document that loads nothing, and the blocks that every report has at its top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from aimat_ray.errors import RunError
from aimat_ray.report.headline import Caution
from aimat_ray.report.markup import Child, Html, el, join
from aimat_ray.report.style import SCRIPT, STYLE, script_hash


def document(title: str, body: Sequence[Child], style: str = "") -> str:
    """A page as text.

    Args:
        title: Of the window.
        body: Banner, header, main and footer.
        style: Further rules.
    """
    # The policy makes "loads nothing" a fact: no address may be opened, and no script but ours may run.
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{script_hash()}'"
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", Html(STYLE + style)),
    )
    skip = el("a", "Skip to the answer", href="#answer", class_="skip")
    page = el("html", head, el("body", skip, *body, el("script", Html(SCRIPT))), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def write_page(target: Path, page: str) -> Path:
    """Write a page completely or not at all.

    Raises:
        RunError: The file can't be written.
    """
    temporary = target.with_name(f".{target.name}.part")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise RunError(f"{target} can't be written: {error.strerror or error}") from error
    return target


def synthetic_banner() -> Html:
    """The first line of a page about synthetic alloys."""
    return el("div", "SYNTHETIC DATA: nothing on this page describes a real alloy", class_="banner", role="note")


def footer(of_what: str) -> Html:
    """The last lines of a page."""
    words = (
        f"Written by aimat report from the files of the {of_what}. This page is complete in itself and loads nothing."
    )
    return el("footer", words)


def tile(value: str, words: str, kind: str = "") -> Html:
    """One of the numbers that a reader looks for first."""
    return el("li", el("b", value), el("span", words), class_=f"tile {kind}".strip())


def caution_list(found: Sequence[Caution]) -> Html | None:
    """What limits the answer, under its heading; None where nothing does."""
    if not found:
        return None
    items = [el("li", el("b", item.title), item.detail, class_=item.severity) for item in found]
    return join(el("h2", "Before you use this"), el("ul", items, class_="cautions"))


def contents(entries: Mapping[str, str]) -> Html:
    """Links to the sections: words by the section's id."""
    links = [el("li", el("a", words, href=f"#{name}")) for name, words in entries.items()]
    return el("nav", el("ul", links), aria_label="Sections of this report")
