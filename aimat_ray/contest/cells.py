"""Cells of a contest: pure functions of their description, kept under its hash so that none runs twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aimat_ray.contest.arenas import data_of, problem_tree
from aimat_ray.contest.play import Rules
from aimat_ray.contest.settings import (
    LEARNERS,
    CompareSettings,
    MethodSettings,
    ProblemSettings,
    run_settings,
    starts_settings,
)
from aimat_ray.data.sources import load_data
from aimat_ray.problem import load_problem
from aimat_ray.registry.fits import source_fingerprint

# What a score depends on; reports come after the cells.
_SEARCH_CODE = (
    *(f"contest/{name}.py" for name in ("arenas", "bayes", "closed_form", "game", "notebook", "optimisers", "play",
                                        "referee", "searches")),
    "data", "env", "search", "surrogate",
)  # fmt: skip
_LEARNER_CODE = (
    *_SEARCH_CODE,
    *(f"contest/{name}.py" for name in ("curves", "policy_walks", "starts", "stock", "td3")),
    "config.py", "experience", "refine", "rl",
)  # fmt: skip
_LIBRARIES = ("botorch", "cma", "numpy", "pymoo", "ray", "torch")
DESIGNS, STARTS = "designs", "starts"


@dataclass(frozen=True)
class Cell:
    """One method on one problem with one seed, or one goal-conditioned policy on tasks that memory can't hold.

    Attributes:
        part: `designs` or `starts`.
        method: Name of the method, or of the entry of `starts`.
        problem: Name of the problem; "" for `starts`.
        seed: Of the method.
        content: Everything that the result depends on, as plain data.
    """

    part: str
    method: str
    problem: str
    seed: int
    content: Mapping[str, Any] = field(hash=False, compare=False)

    @property
    def label(self) -> str:
        """In words."""
        where = f" on {self.problem}" if self.problem else ""
        return f"{self.method}{where}, seed {self.seed}"

    def key(self, checksum: str) -> str:
        """Hash of the content, the data's checksum, and the code and libraries that run."""
        trained = self.part == STARTS or self.content["kind"] in LEARNERS
        inputs = {"part": self.part, "seed": self.seed, "content": self.content, "data": checksum}
        inputs["code"] = code_of(trained)
        return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:24]


def code_of(trained: bool) -> str:
    """Identity of the code and the libraries that a cell runs."""
    return source_fingerprint(_LEARNER_CODE if trained else _SEARCH_CODE, _LIBRARIES)


def plan(settings: CompareSettings, folder: Path) -> list[Cell]:
    """All cells, seed by seed, so that a contest that is stopped early has fewer seeds of everything.

    Args:
        settings: The contest.
        folder: Where the settings files of the learners lie.
    """
    cells = []
    rules = asdict(rules_of(settings))
    for seed in range(settings.seeds):
        for problem_name, problem in settings.problems.items():
            for name, method in settings.methods.items():
                if method.problems and problem_name not in method.problems:
                    continue
                content = {"kind": method.kind, "problem": problem.model_dump(), "rules": rules}
                content["run"] = _run_tree(method, problem, folder)
                cells.append(Cell(DESIGNS, name, problem_name, seed, content))
        for name, entry in settings.starts.items():
            if seed < entry.seeds:
                shape = {"starts": entry.starts, "longest_search": entry.longest_search, "data": entry.data}
                cells.append(Cell(STARTS, name, "", seed, shape | {"run": starts_settings(entry, folder)}))
    return cells


def rules_of(settings: CompareSettings) -> Rules:
    """What is the same for all methods."""
    return Rules(
        tuple(settings.points),
        settings.list_size,
        settings.walk_share,
        settings.archive_share,
        settings.bayes_evaluations,
    )


def _run_tree(method: MethodSettings, problem: ProblemSettings, folder: Path) -> dict[str, Any]:
    """A method's settings on a problem; searches read `env` alone; a formula has neither table, pool nor adviser."""
    tree = run_settings(method, folder)
    if method.kind not in LEARNERS:
        return {"env": tree.get("env", {})}
    if problem.kind == "closed_form":
        tree = {key: value for key, value in tree.items() if key not in ("refine", "knowledge", "goal", "bundle")}
        return tree | {"pool": {"mode": "off"}}
    goal = {} if method.own_goal else {"goal": None}
    # Where the data lie on this machine is no part of what a cell is; its checksum is.
    return tree | goal | {"base": problem.base, "bundle": "default"}


def data_spec(cell: Cell) -> str | None:
    """Data of a cell: a folder, `oracle:SEED`, "" for a formula; None where it is not on this machine."""
    if cell.part == STARTS:
        return data_of(cell.content["data"])
    problem = cell.content["problem"]
    return "" if problem["kind"] == "closed_form" else data_of(problem["data"])


def checksums(cells: list[Cell]) -> dict[str, str]:
    """Checksum of each data set that some cell needs, by where it is."""
    problem = load_problem()
    specs = {spec for cell in cells if (spec := data_spec(cell)) is not None}
    return {spec: load_data(spec, problem).checksum if spec else "" for spec in specs}


def content_of_run(cell: Cell) -> dict[str, Any]:
    """Settings tree of the cell's learner with the data in place."""
    tree = dict(cell.content.get("run", {}))
    spec = data_spec(cell)
    if cell.part == DESIGNS and spec:
        problem = ProblemSettings.model_validate(cell.content["problem"])
        return tree | problem_tree(problem)
    return tree | ({"data": spec} if spec else {})
