"""The recipes with small models, so that fitting a bundle takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from aimat_ray.surrogate.recipes import RECIPES, MemberSpec, Recipe

_SMALL: dict[str, dict[str, Any]] = {
    "boosted_regressor": {"iterations": 10},
    "boosted_classifier": {"iterations": 15, "learning_rate": 0.15},
    "edrvfl": {"n_layers": 3, "n_hidden": 16, "ridges": (0.1,)},
    "forest": {"n_trees": 10},
    "forest_classifier": {"n_trees": 10},
    "gp": {"max_iterations": 5},
    "svr": {},
}


def shrink(recipe: Recipe) -> Recipe:
    """The same recipe with small models."""

    def small(spec: MemberSpec) -> MemberSpec:
        return replace(spec, params={**spec.params, **_SMALL[spec.family]})

    return replace(
        recipe,
        classifier=small(recipe.classifier),
        router=small(recipe.router) if recipe.router else None,
        members=tuple(small(spec) for spec in recipe.members),
    )


@contextmanager
def small_recipes() -> Iterator[None]:
    """Every named recipe with small models while the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, recipe in list(RECIPES.items()):
            patch.setitem(RECIPES, name, shrink(recipe))
        yield
