"""How a contest's numbers are written."""

from __future__ import annotations

import math

from aimat_ray.contest.settings import LEARNERS
from aimat_ray.contest.statistics import Estimate
from aimat_ray.contest.tables import Results

LEARNER_KINDS = LEARNERS


def title_of(results: Results, method: str) -> str:
    """Title of a method."""
    return str(results.note["methods"].get(method, {}).get("title", method))


def learner(results: Results, method: str) -> bool:
    """Whether a method is trained."""
    return results.note["methods"].get(method, {}).get("kind") in LEARNER_KINDS


def interval(value: Estimate, decimals: int) -> str:
    """A mean with its interval; a single run has none."""
    if value.n == 0 or not math.isfinite(value.mean):
        return "–"
    if value.n == 1 or value.lower == value.upper:
        return f"{value.mean:,.{decimals}f}"
    return f"{value.mean:,.{decimals}f} [{value.lower:,.{decimals}f}, {value.upper:,.{decimals}f}]"


def amount(value: Estimate) -> str:
    """A mean without its interval."""
    if value.n == 0 or not math.isfinite(value.mean):
        return "–"
    return f"{value.mean:,.0f}" if value.mean >= 10 else f"{value.mean:,.1f}"


def share(value: float) -> str:
    """A share as .87."""
    return f"{value:.2f}" if math.isfinite(value) else "–"
