"""What the service knows beside its surrogate: windows and distributions of the measured alloys.

Measured rows never leave the service: it tells ranges, counts per bin, and the names of nearest alloys.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.composition import format_formula, round_at_pct, system_key, to_at_pct
from aimat_ray.data.goals import BaseGoal, goal_for_base
from aimat_ray.data.sources import AlloyData
from aimat_ray.data.windows import BaseWindow, base_rows
from aimat_ray.env.legality import MIN_ELEMENTS, Limits, check_legality
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem
from aimat_ray.search.evolution import fit_into

FloatArray = NDArray[np.float64]

N_BINS = 24
MIN_ROWS = 10  # with fewer measured alloys a histogram would tell single rows
_TAIL_PERCENT = 1.0  # of the values at each end fall into the outermost bins


@dataclass(frozen=True)
class Histogram:
    """How many measured alloys have which value.

    Attributes:
        edges: Bin edges in the unit of the quantity, [N_BINS + 1]; values beyond the ends count in the outermost bins.
        counts: Alloys per bin, all bases, [N_BINS].
        base_counts: Alloys of one base per bin, [N_BINS]; None with fewer than `MIN_ROWS` of them.
        n: Alloys that measure the quantity.
        n_base: Those of the base.
    """

    edges: FloatArray
    counts: NDArray[np.intp]
    base_counts: NDArray[np.intp] | None
    n: int
    n_base: int


@dataclass(frozen=True, eq=False)
class Knowledge:
    """The alloys behind a service.

    Attributes:
        problem: The design problem.
        data: Measured (or synthetic) alloys.
    """

    problem: DesignProblem
    data: AlloyData

    @cached_property
    def quantities(self) -> FloatArray:
        """Measured quantities, [N, Q]; NaN where not measured."""
        return self.problem.with_derived(self.data.regression.values)

    def window(self, base: str) -> BaseWindow:
        """Window of a base.

        Raises:
            ProblemError: Not a base of the problem, or no measured alloy behind it.
        """
        self.problem.check_base(base)
        if base not in self.data.windows:
            raise ProblemError(
                f"base {base!r} has no window: no measured alloy of the feasible class has it as majority element; "
                f"bases with a window: {' '.join(self.data.windows)}"
            )
        return self.data.windows[base]

    def goal(self, base: str) -> BaseGoal | None:
        """The problem's default goal for a base, where the measured alloys support one."""
        return goal_for_base(self.problem, self.data, base)

    def histogram(self, q: int, base: str) -> Histogram | None:
        """Distribution of quantity number `q`; None with fewer than `MIN_ROWS` measured alloys."""
        column = self.quantities[:, q]
        measured = np.isfinite(column)
        if measured.sum() < MIN_ROWS:
            return None
        values = column[measured]
        low, high = np.percentile(values, [_TAIL_PERCENT, 100 - _TAIL_PERCENT])
        edges = np.linspace(low, high if high > low else low + 1.0, N_BINS + 1)
        of_base = base_rows(self.data.regression, base, self.problem)[measured]
        enough = of_base.sum() >= MIN_ROWS
        return Histogram(
            edges=edges,
            counts=_count(values, edges),
            base_counts=_count(values[of_base], edges) if enough else None,
            n=len(values),
            n_base=int(of_base.sum()),
        )

    def example(self, base: str) -> dict[str, float]:
        """A legal alloy to start from, at%: the mean of the base's most frequent chemical system, in its window."""
        window = self.window(base)
        table = self.data.regression
        rows = table.at_frac[base_rows(table, base, self.problem, feasible_only=True)]
        rows = rows[(rows > 0).sum(axis=1) >= MIN_ELEMENTS] if len(rows) else rows
        middle = np.where(window.allowed, window.lower + window.upper, 0.0) / 2
        if len(rows):
            systems = system_key(rows, self.problem.elements)
            middle = rows[systems == Counter(systems).most_common(1)[0][0]].mean(axis=0)
        limits = self.limits(base)
        fitted = fit_into(middle[None], limits, otherwise=middle[None])
        rounded = round_at_pct(fitted, 1)
        chosen = (rounded if check_legality(rounded, limits).legal[0] else fitted)[0]
        return self.amounts(chosen)

    def limits(self, base: str) -> Limits:
        """Window of a base as the environment's legal region, one row."""
        window = self.window(base)
        return Limits(
            lower=window.lower[None],
            upper=window.upper[None],
            base=np.array([self.problem.element_index[base]], dtype=np.intp),
            max_elements=np.array([max(window.max_elements, MIN_ELEMENTS)], dtype=np.intp),
        )

    def amounts(self, at_frac: FloatArray) -> dict[str, float]:
        """A composition [E] as at% per element, largest first."""
        order = np.argsort(-at_frac, kind="stable")
        return {self.problem.elements[e]: round(float(to_at_pct(at_frac[e])), 4) for e in order if at_frac[e] > 0}

    def formula(self, at_frac: FloatArray) -> str:
        """A composition [E] as a formula in at%."""
        return format_formula(at_frac, self.problem.elements)


def _count(values: FloatArray, edges: FloatArray) -> NDArray[np.intp]:
    """Values per bin, [N_BINS]; those beyond the ends in the outermost bins."""
    return np.asarray(np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0], dtype=np.intp)
