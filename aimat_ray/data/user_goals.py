"""Goals that a user writes: `dmax_mm>=8, 900<=tl_k<=1100, maximize yield_strength_mpa`."""

from __future__ import annotations

import math
import re

import numpy as np

from aimat_ray.data.alloy_table import FloatArray
from aimat_ray.data.goals import BaseGoal, HasRegression, Objective, goal_for_base
from aimat_ray.data.windows import base_rows
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_BETWEEN = re.compile(rf"({_NUMBER})\s*<=?\s*([a-z_]\w*)\s*<=?\s*({_NUMBER})")
_BOUND = re.compile(rf"([a-z_]\w*)\s*(>=?|<=?)\s*({_NUMBER})")
_DIRECTION = re.compile(r"(maximi[sz]e|minimi[sz]e)\s+([a-z_]\w*)")
_HOW = "write for example dmax_mm>=8,yield_strength_mpa>=1900 or 900<=tl_k<=1100 or 'maximize dmax_mm'"


def is_user_goal(text: str) -> bool:
    """Whether a goal is written out (rather than the name of one of the problem's goals)."""
    return any(sign in text for sign in "<>= ,")


def parse_goal(text: str, problem: DesignProblem, data: HasRegression, base: str, percentile: float = 75.0) -> BaseGoal:
    """Read a goal.

    Args:
        text: Parts separated by commas; each bounds a quantity, or says in which direction it should go.
        problem: Knows the quantities.
        data: Measured alloys; "maximize" asks for the given percentile of the base's measured rows.
        base: Base element.
        percentile: For "maximize" (and 100 minus it for "minimize").

    Raises:
        ProblemError: A part can't be read, names an unknown quantity, or bounds leave nothing.
    """
    bounds: dict[str, tuple[float, float]] = {}
    counts: dict[str, int] = {}
    for part in (piece.strip() for piece in text.split(",") if piece.strip()):
        key, low, high = _read_part(part, problem, data, base, percentile)
        before = bounds.get(key, (-math.inf, math.inf))
        bounds[key] = (max(before[0], low), min(before[1], high))
        counts[key] = len(_measured(key, problem, data, base))
    if not bounds:
        raise ProblemError(f"goal {text!r} asks for nothing; {_HOW}")
    for key, (low, high) in bounds.items():
        if low > high:
            raise ProblemError(f"goal {text!r}: {key} can't be at least {low:g} and at most {high:g}")
    objectives = tuple(Objective(key, low, high, counts[key], "user") for key, (low, high) in bounds.items())
    return BaseGoal(base, "user", objectives)


def any_goal(
    problem: DesignProblem, data: HasRegression, base: str, text: str | None, percentile: float | None
) -> BaseGoal | None:
    """A named goal or one written out; None where the measured rows hold no evidence for a named one."""
    if text is not None and text not in problem.goals and is_user_goal(text):
        return parse_goal(text, problem, data, base, percentile or 75.0)
    return goal_for_base(problem, data, base, text, percentile)


def _read_part(
    part: str, problem: DesignProblem, data: HasRegression, base: str, percentile: float
) -> tuple[str, float, float]:
    if found := _BETWEEN.fullmatch(part):
        low, key, high = found.groups()
        return _known(key, problem), float(low), float(high)
    if found := _BOUND.fullmatch(part):
        key, sign, value = found.groups()
        number = float(value)
        return (_known(key, problem), number, math.inf) if sign[0] == ">" else (_known(key, problem), -math.inf, number)
    if found := _DIRECTION.fullmatch(part):
        word, key = found.groups()
        values = _measured(_known(key, problem), problem, data, base)
        if len(values) == 0:
            raise ProblemError(f"goal part {part!r}: no alloy of base {base} measures {key}; give a threshold instead")
        if word.startswith("max"):
            return key, float(np.percentile(values, percentile)), math.inf
        return key, -math.inf, float(np.percentile(values, 100 - percentile))
    raise ProblemError(f"goal part {part!r} can't be read; {_HOW}")


def _known(key: str, problem: DesignProblem) -> str:
    problem.quantity_index(key)
    return key


def _measured(key: str, problem: DesignProblem, data: HasRegression, base: str) -> FloatArray:
    rows = base_rows(data.regression, base, problem, feasible_only=True)
    column = problem.with_derived(data.regression.values)[rows, problem.quantity_index(key)]
    return np.asarray(column[np.isfinite(column)])
