"""Folds over both tables at once, such that no alloy is tested by a model that was trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.composition import DUPLICATE_AT_PCT, duplicate_groups, system_key, to_at_pct
from aimat_ray.data.windows import majority
from aimat_ray.errors import DataError
from aimat_ray.problem import DesignProblem

IntArray = NDArray[np.int64]
ObjectArray = NDArray[np.object_]
SplitKind = Literal["random", "system", "majority"]


@dataclass(frozen=True, eq=False)
class FoldMap:
    """Which fold each row of both tables is tested in.

    Attributes:
        kind: "random" (by alloy), "system" (by chemical system) or "majority" (by majority element).
        n_folds: Number of folds.
        seed: Seed of the assignment.
        regression: Fold of each regression row, [N], 0..n_folds-1.
        classification: Fold of each classification row, [M].
    """

    kind: SplitKind
    n_folds: int
    seed: int
    regression: IntArray
    classification: IntArray


@dataclass(frozen=True)
class Leak:
    """Two rows that must share a fold and do not: (table, source row) of each, and what they share."""

    first: tuple[str, int]
    second: tuple[str, int]
    shared: str


def fold_map(
    regression: AlloyTable,
    classification: AlloyTable,
    problem: DesignProblem,
    kind: SplitKind = "system",
    n_folds: int = 5,
    seed: int = 0,
) -> FoldMap:
    """Assign folds to both tables.

    Copies of an alloy (within 0.1 at%, also across the tables) always share a fold; so do the rows of a chemical
    system ("system") or of a majority element ("majority").

    Args:
        regression: Table of property values.
        classification: Table of class labels.
        problem: Gives the elements.
        kind: What is kept together.
        n_folds: Number of folds, at least 2.
        seed: Another seed gives another assignment.

    Raises:
        DataError: Fewer groups than folds, or an unknown kind.
    """
    at_frac = np.concatenate([regression.at_frac, classification.at_frac])
    copies = duplicate_groups(at_frac)
    table = np.repeat([0, 1], [len(regression), len(classification)])
    if kind == "random":
        folds = random_folds(copies, n_folds, seed)
    elif kind == "system":
        folds = system_folds(copies, system_key(at_frac, problem.elements), n_folds, seed, table)
    elif kind == "majority":
        folds = system_folds(copies, majority(at_frac).argmax(axis=1), n_folds, seed, table)
    else:
        raise DataError(f"unknown split {kind!r}; expected random, system or majority")
    n = len(regression)
    return FoldMap(kind, n_folds, seed, folds[:n], folds[n:])


def random_folds(keys: IntArray | ObjectArray, n_folds: int, seed: int) -> IntArray:
    """Folds by key: rows that share a key share a fold, keys are spread at random.

    Args:
        keys: One key per row, [N] (see `composition.duplicate_groups`).
        n_folds: Number of folds.
        seed: Seed of the assignment.

    Returns:
        Fold of each row, [N]; the numbers of keys per fold differ by at most 1.
    """
    group = _numbered(keys)
    n_groups = _check(group, n_folds)
    fold_of_group = np.empty(n_groups, dtype=np.int64)
    fold_of_group[np.random.default_rng(seed).permutation(n_groups)] = np.arange(n_groups) % n_folds
    return fold_of_group[group]


def system_folds(
    copies: IntArray | ObjectArray,
    systems: IntArray | ObjectArray,
    n_folds: int,
    seed: int,
    table: IntArray | None = None,
) -> IntArray:
    """Folds by system, balanced in rows: large systems are placed first, each into the emptiest fold.

    Systems that contain copies of one alloy (one with 0.05 at% of an addition, one without) count as one.

    Args:
        copies: Copy group of each row, [N].
        systems: System of each row, [N].
        n_folds: Number of folds.
        seed: Decides between systems of similar size.
        table: Number of the table that each row belongs to, [N]; every table is balanced. One table by default.

    Returns:
        Fold of each row, [N].
    """
    group = _joined(_numbered(copies), _numbered(systems))
    n_groups = _check(group, n_folds)
    table = np.zeros(len(group), dtype=np.int64) if table is None else table
    share = np.zeros((n_groups, int(table.max()) + 1))
    np.add.at(share, (group, table), 1.0)
    share /= np.maximum(share.sum(axis=0), 1.0)
    shuffled = np.random.default_rng(seed).permutation(n_groups)
    # Groups of similar size (same power of two) keep their random order.
    size_class = np.floor(np.log2(share.max(axis=1)[shuffled]))
    fold_of_group = np.empty(n_groups, dtype=np.int64)
    filled = np.zeros((n_folds, share.shape[1]))
    for number in shuffled[np.argsort(-size_class, kind="stable")]:
        present = share[number] > 0
        fold = int(filled[:, present].max(axis=1).argmin())
        fold_of_group[number] = fold
        filled[fold] += share[number]
    return fold_of_group[group]


def leaks(folds: FoldMap, regression: AlloyTable, classification: AlloyTable, problem: DesignProblem) -> list[Leak]:
    """Pairs of rows that must share a fold and do not; empty for every map of `fold_map`.

    Works from the compositions alone, not from the groups that made the map.

    Args:
        folds: The map to check.
        regression: Table of property values.
        classification: Table of class labels.
        problem: Gives the elements.
    """
    from scipy.spatial import cKDTree

    at_frac = np.concatenate([regression.at_frac, classification.at_frac])
    fold = np.concatenate([folds.regression, folds.classification])
    names = [("regression", int(row)) for row in regression.source_row]
    names += [("classification", int(row)) for row in classification.source_row]
    tree = cKDTree(to_at_pct(at_frac))
    found = [
        Leak(names[i], names[j], "composition")
        for i, j in tree.query_pairs(DUPLICATE_AT_PCT, p=np.inf, output_type="ndarray")
        if fold[i] != fold[j]
    ]
    if folds.kind == "random":
        return found
    by_system = folds.kind == "system"
    keys = system_key(at_frac, problem.elements) if by_system else majority(at_frac).argmax(axis=1)
    first: dict[object, int] = {}
    for i, key in enumerate(keys.tolist()):
        j = first.setdefault(key, i)
        if fold[i] != fold[j]:
            found.append(Leak(names[j], names[i], str(key) if by_system else problem.elements[key]))
    return found


def _numbered(keys: IntArray | ObjectArray) -> IntArray:
    """Keys as 0.. in order of first appearance, so that the order of hashing or sorting plays no part."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys.tolist()], dtype=np.int64)


def _joined(first: IntArray, second: IntArray) -> IntArray:
    """Groups of rows connected through either grouping, [N]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(first):
        return first
    offset = int(first.max()) + 1
    size = offset + int(second.max()) + 1
    graph = coo_array((np.ones(len(first)), (first, second + offset)), shape=(size, size))
    return _numbered(connected_components(graph, directed=False)[1][first].astype(np.int64))


def _check(group: IntArray, n_folds: int) -> int:
    n_groups = int(group.max()) + 1 if len(group) else 0
    if n_folds < 2 or n_groups < n_folds:
        raise DataError(f"{n_folds} folds need at least 2 folds and as many groups of alloys; got {n_groups} groups")
    return n_groups
