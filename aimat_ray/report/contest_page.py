"""RESULTS.md of a contest: tables and pictures from the stored tables, nothing by hand."""

from __future__ import annotations

import os
from pathlib import Path

from aimat_ray.contest.tables import Results, missing_cells, of_family
from aimat_ray.report.contest_pictures import draw_pictures
from aimat_ray.report.contest_tables import (
    ablation_lines,
    bar_lines,
    ladder_lines,
    ran_lines,
    ranking_lines,
    rates_lines,
    starts_lines,
)

FAMILIES = {
    "synthetic": ("OracleWorld: true success", "true"),
    "measured": ("Measured alloys: success that an independent surrogate confirms", "confirmed"),
    "closed_form": ("A formula with a known optimum", "true"),
}


def write_contest_page(results: Results, folder: Path, page: Path) -> Path:
    """Draw the pictures into `folder` and write the page.

    Args:
        results: The stored tables.
        folder: Where the tables lie; pictures go beside them.
        page: The Markdown file.

    Returns:
        The page.
    """
    pictures = draw_pictures(results, folder)
    relative = {name: os.path.relpath(path, page.parent) for name, path in pictures.items()}
    lines = ["# Which design method when", "", *ran_lines(results), ""]
    lines += bar_lines(results)
    for family, (title, word) in FAMILIES.items():
        table = of_family(results, family)
        if len(table):
            lines += [f"## {title}", "", *ranking_lines(results, table, word), ""]
            lines += ["### Rates of the lists at the last point", "", *rates_lines(results, table), ""]
            lines += ["### What became of the designs", "", *ladder_lines(results, table), ""]
            lines += ablation_lines(results, table, word)
    if len(results.starts):
        lines += ["## Tasks that memory can't hold", "", *starts_lines(results), ""]
    lines += _picture_lines(relative)
    lines += _missing_lines(results)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return page


def _picture_lines(pictures: dict[str, str]) -> list[str]:
    captions = {
        "curves": "Different true (or confirmed) designs against predictions; bands are 95 % intervals over seeds.",
        "profiles": "Performance profiles at the last point: share of runs with more hits than a level.",
        "returns": "Mean return of training episodes against predictions (exploration included), as in the paper's "
        "Fig. 6; no score is made of it. Rewards of different settings have different units.",
        "clouds": "Modulus and yield strength of the compositions that training visits, at its start, middle and end "
        "(synthetic data).",
        "starts": "Success per fresh start against predictions, on tasks that memory can't hold.",
    }
    lines = ["## Pictures", ""] if pictures else []
    for name, path in pictures.items():
        lines += [f"![{captions[name]}]({path})", "", captions[name], ""]
    return lines


def _missing_lines(results: Results) -> list[str]:
    missing = missing_cells(results)
    if not missing:
        return ["## What has not run", "", "Everything that the contest file plans has run."]
    total = len(results.note["planned"])
    named = ", ".join(f"{name} {count}" for name, count in sorted(missing.items()))
    return [
        "## What has not run",
        "",
        f"{sum(missing.values())} of {total} planned cells (method × problem × seed): {named}. "
        "The same command runs them.",
    ]
