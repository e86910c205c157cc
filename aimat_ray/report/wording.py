"""Numbers and names as a reader of the report sees them."""

from __future__ import annotations

import math

from aimat_ray.problem import DerivedSpec, DesignProblem, PropertySpec

DASH, MINUS = "–", "−"
SPACE = "\u00a0"  # between a number and its unit: never broken over two lines
Spec = PropertySpec | DerivedSpec


def fixed(value: float, decimals: int = 1) -> str:
    """A number with fixed decimals; a dash where it is not known."""
    return f"{value:.{decimals}f}".replace("-", MINUS) if math.isfinite(value) else DASH


def count(value: float) -> str:
    """A whole number with thousands separated."""
    return f"{value:,.0f}" if math.isfinite(value) else DASH


def amount(value: float) -> str:
    """A mean of counts: whole when large, with a decimal when small."""
    return fixed(value, 1) if abs(value) < 9.95 else count(value)


def percent(share: float, decimals: int = 0) -> str:
    """A share 0..1 in percent. One that is not quite 0 or 1 is never rounded to it."""
    if not math.isfinite(share):
        return DASH
    if 0 < share < 0.0005 or 0.9995 < share < 1:
        return f"< 0.1{SPACE}%" if share < 0.5 else f"> 99.9{SPACE}%"
    if decimals == 0 and (0 < share < 0.005 or 0.995 < share < 1):
        decimals = 1
    return f"{100 * share:.{decimals}f}{SPACE}%"


def probability(value: float) -> str:
    """A probability with two decimals, or more where these would say 0 or 1."""
    return fixed(value, 2 if 0.005 <= value < 0.995 else 3)


def rate(mean: float, lower: float, upper: float) -> str:
    """A rate with its 95 % interval, such as "62 % (56–67 %)"."""
    ends = span(lower, upper)
    return f"{percent(mean)} ({ends})" if ends else percent(mean)


def span(lower: float, upper: float) -> str:
    """The ends of an interval of a rate in whole percent; empty where they are not known."""
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return ""
    return f"{100 * lower:.0f}–{100 * upper:.0f}{SPACE}%"


def with_unit(value: str, unit: str) -> str:
    """A number with its unit."""
    return f"{value}{SPACE}{unit}" if unit and value != DASH else value


def measured(spec: Spec, value: float) -> str:
    """A property value with its unit."""
    return with_unit(fixed(value, spec.decimals), spec.unit)


def axis_label(spec: Spec) -> str:
    """Label of an axis: what, symbol and unit."""
    name = spec.label[0].upper() + spec.label[1:]
    return f"{name} {spec.symbol} ({spec.unit})" if spec.unit else f"{name} {spec.symbol}"


def spec_of(problem: DesignProblem, key: str) -> Spec | None:
    """Specification of a quantity; None for one that the problem does not know."""
    return next((spec for spec in problem.quantities if spec.key == key), None)


def bounds(spec: Spec, at_least: float, at_most: float) -> str:
    """A threshold in words, such as "at least 8.0 mm"."""
    parts = []
    if math.isfinite(at_least):
        parts.append(f"at least {measured(spec, at_least)}")
    if math.isfinite(at_most):
        parts.append(f"at most {measured(spec, at_most)}")
    return " and ".join(parts) or "any value"


def plural(n: int, one: str, many: str | None = None) -> str:
    """A count with its noun."""
    return f"{count(n)} {one if n == 1 else (many or one + 's')}"


def listing(words: list[str]) -> str:
    """Words as a list in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def duration(seconds: float) -> str:
    """A length of time."""
    if not math.isfinite(seconds):
        return DASH
    if seconds < 90:
        return f"{seconds:.0f}{SPACE}s"
    if seconds < 5400:
        return f"{seconds / 60:.1f}{SPACE}min"
    return f"{seconds / 3600:.1f}{SPACE}h"
