"""Which models a named bundle is made of. How the winners were found stands in bundle-design.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aimat_ray.surrogate.features import View

Rows = Literal["all", "feasible", "rest"]


@dataclass(frozen=True)
class MemberSpec:
    """One model of an ensemble; which targets it serves follows from the recipe's combinations.

    Attributes:
        name: Name inside the recipe.
        family: Model family (see `families`).
        view: Inputs it reads.
        params: Settings of the family.
        log: Fit the logarithm of the target.
        rows: Fit on all rows, the feasible ones, or the rest. A member for feasible rows weighs p_feasible in
            the combination, one for the rest 1 - p_feasible.
    """

    name: str
    family: str
    view: View
    params: Mapping[str, Any] = field(default_factory=dict)
    log: bool = False
    rows: Rows = "all"


@dataclass(frozen=True)
class Recipe:
    """A named bundle.

    Attributes:
        classifier: Family of the class model, its view and settings.
        members: Models to fit.
        combinations: Target key to the names of its members, whose (weighted) mean is the prediction.
        otherwise: Members for a target that `combinations` does not name, or whose members lack rows.
        calibrate_class: Calibrate class probabilities on out-of-fold predictions (Platt).
        families: What kinds of models are inside, in words.
        chosen_by: Why these models.
    """

    classifier: MemberSpec
    members: tuple[MemberSpec, ...]
    combinations: Mapping[str, tuple[str, ...]]
    otherwise: tuple[str, ...]
    calibrate_class: bool
    families: str
    chosen_by: str = ""

    def members_of(self, target: str) -> tuple[str, ...]:
        """Names of the members that predict `target`."""
        return self.combinations.get(target, self.otherwise)


_BOOST = {"iterations": 250, "learning_rate": 0.08, "border_count": 64}

RECIPES: dict[str, Recipe] = {
    "paper": Recipe(
        classifier=MemberSpec("class", "boosted_classifier", "fractions"),
        members=(MemberSpec("edrvfl", "edrvfl", "fractions"),),
        combinations={},
        otherwise=("edrvfl",),
        calibrate_class=False,
        families="CatBoost class model, edRVFL regression, fractions only",
    ),
    "default": Recipe(
        classifier=MemberSpec("class", "boosted_classifier", "trees", {"smote": False}),
        members=(
            MemberSpec("gp", "gp", "kernel"),
            MemberSpec("boost", "boosted_regressor", "trees", _BOOST),
            MemberSpec("boost_log", "boosted_regressor", "trees", _BOOST, log=True),
            MemberSpec("boost_feasible", "boosted_regressor", "trees", _BOOST, rows="feasible"),
            MemberSpec("boost_rest", "boosted_regressor", "trees", _BOOST, rows="rest"),
            MemberSpec("svr", "svr", "kernel"),
        ),
        combinations={
            "dmax_mm": ("boost_log",),
            "yield_strength_mpa": ("boost_feasible", "boost_rest"),
            "youngs_modulus_gpa": ("boost",),
            "elongation_pct": ("boost", "svr"),
        },
        otherwise=("gp", "boost"),
        calibrate_class=True,
        families="CatBoost, Gaussian process, support vectors on fractions and descriptors",
    ),
    "judge": Recipe(
        classifier=MemberSpec("class", "forest_classifier", "trees", {"n_trees": 100, "bootstrap_groups": True}),
        members=(
            MemberSpec("forest", "forest", "trees", {"n_trees": 100, "bootstrap_groups": True}),
            MemberSpec("forest_log", "forest", "trees", {"n_trees": 100, "bootstrap_groups": True}, log=True),
        ),
        combinations={"dmax_mm": ("forest_log",)},
        otherwise=("forest",),
        calibrate_class=True,
        families="extremely randomised trees, each on a bootstrap sample of the chemical systems",
    ),
}
