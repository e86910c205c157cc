"""Part of a contest's cells, by the names of methods and problems."""

from __future__ import annotations

from collections.abc import Sequence

from aimat_ray.contest.cells import Cell
from aimat_ray.errors import ConfigError


def only(cells: Sequence[Cell], methods: Sequence[str], problems: Sequence[str]) -> list[Cell]:
    """The cells of some methods and some problems (or entries of `starts`); all where none is named.

    Raises:
        ConfigError: A name that no cell has.
    """
    known = {
        "method": {cell.method for cell in cells},
        "problem": {cell.problem or cell.method for cell in cells},
    }
    for kind, names in (("method", methods), ("problem", problems)):
        for name in names:
            if name not in known[kind]:
                raise ConfigError(f"unknown {kind} {name!r}; this contest has: {', '.join(sorted(known[kind]))}")
    return [
        cell
        for cell in cells
        if (not methods or cell.method in methods) and (not problems or (cell.problem or cell.method) in problems)
    ]
