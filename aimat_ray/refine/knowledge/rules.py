"""The expert rules of glass formation, computed from descriptors; each rule's contribution is visible.

Every rule is a smooth step from -1 (speaks against) to 1 (speaks for), 0 at the limit that experts name; the score
is their weighted mean. The limits are those of the published prompt (METHOD: atomic size mismatch 12 %, five or more
elements, negative mixing enthalpy for most pairs, high contrast of moduli, Tg/Tl near or above 0.6, late transition
metals balanced with Zr or Ti, complexity without more tendency to crystallise). Where the prompt names no number, the
number is chosen here: the median over the published glasses is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aimat_ray.descriptors import Descriptors
from aimat_ray.problem import DesignProblem

FloatArray = NDArray[np.float64]
NAMES = ("size_mismatch", "h_mix", "attractive_pairs", "s_mix", "shear_mismatch", "late_tm_fraction", "omega")


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: Short name.
        words: The rule in words, with its limit.
        weight: Share in the score.
    """

    name: str
    words: str
    weight: float


RULES: tuple[Rule, ...] = (
    Rule("size_mismatch", "atomic size mismatch above 12 %", 0.20),
    Rule("n_elements", "five or more elements (effective number, so that traces count little)", 0.10),
    Rule("negative_enthalpy", "most pairs of elements attract each other, and mixing is exothermic", 0.20),
    Rule("modulus_contrast", "contrast of shear moduli above 40 %", 0.10),
    Rule("reduced_glass_temperature", "Tg/Tl near or above 0.6", 0.20),
    Rule("late_and_early", "late transition metals balanced with Zr, Ti or Hf", 0.10),
    Rule("complexity", "entropy without order: high mixing entropy, moderate mixing enthalpy", 0.10),
)


@dataclass(frozen=True, eq=False)
class Scores:
    """Knowledge scores of a batch.

    Attributes:
        total: Weighted mean of the contributions, [B], -1..1.
        contributions: What each rule says, [B, R], -1..1.
        rules: The R rules.
    """

    total: FloatArray
    contributions: FloatArray
    rules: tuple[Rule, ...] = RULES

    def explain(self, i: int) -> dict[str, float]:
        """Contribution of each rule to one composition's score; they sum up to it."""
        weights = _weights(self.rules)
        return {r.name: float(w * c) for r, w, c in zip(self.rules, weights, self.contributions[i], strict=True)}


class RuleScorer:
    """Scores compositions by the rules; needs no network and no data.

    Args:
        problem: Gives the elements, and where Tg and Tl stand among the predicted quantities.
    """

    def __init__(self, problem: DesignProblem) -> None:
        self._elements = problem.elements
        self._descriptors = Descriptors(problem.elements, NAMES)
        early = [e for e in ("Zr", "Ti", "Hf") if e in problem.element_index]
        self._early = [problem.element_index[e] for e in early]
        self._trg = problem.quantity_index("trg") if "trg" in problem.quantity_keys else None

    def score(self, at_frac: FloatArray, quantities: FloatArray | None = None) -> Scores:
        """Score a batch.

        Args:
            at_frac: Atomic fractions, [B, E].
            quantities: Predicted quantities, [B, Q], for the rule on Tg/Tl; that rule says nothing (0) without them.
        """
        d = dict(zip(NAMES, self._descriptors.transform(at_frac).T, strict=True))
        early = at_frac[:, self._early].sum(axis=1)
        trg = np.full(len(at_frac), np.nan)
        if quantities is not None and self._trg is not None:
            trg = quantities[:, self._trg]
        effective = np.exp(d["s_mix"] / 8.314462618)  # number of equal shares with this entropy
        said = {
            "size_mismatch": _step(d["size_mismatch"], 12.0, 4.0),
            "n_elements": _step(effective, 4.0, 1.0),
            "negative_enthalpy": 0.5 * _step(d["attractive_pairs"], 0.6, 0.25) + 0.5 * _step(-d["h_mix"], 15.0, 8.0),
            "modulus_contrast": _step(d["shear_mismatch"], 40.0, 20.0),
            "reduced_glass_temperature": np.nan_to_num(_step(trg, 0.58, 0.03)),
            "late_and_early": _balance(d["late_tm_fraction"], early),
            "complexity": 0.5 * _step(d["s_mix"], 10.0, 2.0) + 0.5 * _hill(d["h_mix"], -35.0, -10.0, 8.0),
        }
        contributions = np.stack([said[rule.name] for rule in RULES], axis=1)
        return Scores(contributions @ _weights(RULES), contributions)

    def __call__(self, at_frac: FloatArray, quantities: FloatArray | None = None) -> FloatArray:
        """The scores alone, [B]."""
        return self.score(at_frac, quantities).total

    def close(self) -> None:
        """Nothing to end."""


def _weights(rules: Sequence[Rule]) -> FloatArray:
    weights = np.array([rule.weight for rule in rules])
    return np.asarray(weights / weights.sum())


def _step(value: FloatArray, limit: float, width: float) -> FloatArray:
    """-1 well below the limit, 0 at it, 1 well above."""
    return np.asarray(np.tanh((value - limit) / width))


def _hill(value: FloatArray, low: float, high: float, width: float) -> FloatArray:
    """1 well inside [low, high], 0 at its ends, -1 well outside."""
    return np.minimum(_step(value, low, width), _step(-value, -high, width))


def _balance(late: FloatArray, early: FloatArray) -> FloatArray:
    """1 for equal parts that make up most of the alloy, -1 where one of them is missing."""
    smaller = np.minimum(late, early)
    return np.asarray(np.tanh((smaller - 0.15) / 0.1))
