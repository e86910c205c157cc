"""Refined surrogates: some properties predicted by the same recipe with further descriptors.

A refined property gets models of its own, fitted by the bundle's recipe on the bundle's inputs plus a few picked
descriptors. Every other part (class model, router, domain, the other properties) stays as it is, to the bit. A picked
descriptor that the recipe already reads still adds something: in Gaussian processes it gets a length scale of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from aimat_ray.surrogate.artifacts import ModelState
from aimat_ray.surrogate.base import FloatArray
from aimat_ray.surrogate.ensemble import Answer, Ensemble, TrainingRows, spec_rows
from aimat_ray.surrogate.features import FeatureSpace, View

REFINED_KIND = "refined_ensemble"
_MIN_ROWS = 20


class PickedSpace(FeatureSpace):
    """The inputs of a bundle followed by picked descriptors, of which each view reads those that are its own.

    Args:
        elements: Element of each composition column, [E].
        base: Descriptors of the bundle.
        picks: Further descriptor columns, in order; a name may stand here and among `base`.
        own: Positions in `picks` that the views of this space read; none for the bundle's own views.
    """

    def __init__(
        self, elements: Sequence[str], base: Sequence[str], picks: Sequence[str], own: Sequence[int] = ()
    ) -> None:
        super().__init__(elements, (*base, *picks))
        self._base = FeatureSpace(elements, base)
        start = 2 * len(self.elements) + len(base)
        self.width = start  # of the bundle's own inputs
        self._n_own = len(own)
        tail = tuple(slice(start + i, start + i + 1) for i in own)
        self._pieces = {view: (*pieces, *tail) for view, pieces in self._base._pieces.items()}

    def groups(self, view: View) -> list[list[int]]:
        """The bundle's groups of columns, then each picked descriptor as a group of its own."""
        groups = self._base.groups(view)
        first = sum(map(len, groups))
        return groups + [[first + i] for i in range(self._n_own)]


class PropertyModels(Ensemble):
    """The members that a recipe gives to one property; no class model and no router of its own.

    Attributes:
        weights: Weight of each member (see `stacking`); 1 where it has none.
    """

    def __init__(self, recipe: str, space: FeatureSpace, properties: tuple[str, ...]) -> None:
        super().__init__(recipe, space, properties)
        self.weights: dict[str, float] = {}

    def fit_property(self, target: int, rows: TrainingRows, seed: tuple[int, ...], jointly: bool = False) -> Self:
        """Fit the members of one property.

        Args:
            target: Position of the property.
            rows: What to fit on, with inputs of this ensemble's space.
            seed: Numbers that name this fit.
            jointly: Fit them on every property that they serve in the recipe, as a bundle does, not on this one alone.
        """
        self._models, self._served, self.scales, self.weights = {}, {}, {}, {}
        everything = np.ones(len(rows.values), dtype=bool)
        members = self.recipe.members_of(self.properties[target])
        for number, spec in enumerate(self.recipe.members, start=1):
            chosen = spec_rows(spec, rows.feasible)
            wanted = self._served_with(spec.name, target, rows.values[chosen], jointly)
            if spec.name in members and target in wanted:
                self._fit_member(spec, rows, chosen, wanted, np.random.default_rng((*seed, number)))
        for number, spec in enumerate(self.recipe.members, start=1):
            if not self._models and spec.name in self.recipe.otherwise:
                self._fit_member(spec, rows, everything, [target], np.random.default_rng((*seed, 100 + number)), "+")
        return self

    def _served_with(self, member: str, target: int, values: FloatArray, jointly: bool) -> list[int]:
        """Properties that a member is fitted on: those with rows enough."""
        asked = [i for i, key in enumerate(self.properties) if member in self.recipe.members_of(key)]
        return [i for i in (asked if jointly else [target]) if np.isfinite(values[:, i]).sum() >= _MIN_ROWS]

    def fit_router(self, rows: TrainingRows, seed: tuple[int, ...]) -> Self:
        """Fit only what tells feasible rows from the rest, for comparisons; a bundle keeps its own."""
        self._fit_router(rows, np.random.default_rng((*seed, 99)))
        return self

    def router_says(self, inputs: FloatArray) -> FloatArray | None:
        """Weight of the members for feasible rows, [B, F] -> [B]; None for a recipe without a router."""
        if self._router is None or self.recipe.router is None:
            return None
        return np.asarray(self._router.predict(self.space.view(inputs, self.recipe.router.view)), np.float64)

    @property
    def routed(self) -> bool:
        """Whether it matters how much an alloy resembles feasible rows."""
        return any(self.spec(name).rows != "all" for name in self.names)

    def members(self, inputs: FloatArray) -> dict[str, FloatArray]:
        """What each member says about inputs [B, F], name to [B, P]; NaN for the other properties."""
        return dict(self.predict(inputs).members)

    def state(self) -> ModelState:
        """Everything needed to predict."""
        plain = super().state()
        return ModelState(
            plain.kind, meta={**plain.meta, "weights": self.weights}, arrays=plain.arrays, children=plain.children
        )

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The models that `state` came from."""
        models = super().from_state(state)
        models.weights = {name: float(weight) for name, weight in state.meta.get("weights", {}).items()}
        return models


@dataclass(frozen=True)
class Refinement:
    """A refined property.

    Attributes:
        target: Position of the property.
        picks: Its further descriptors.
        models: Its models.
    """

    target: int
    picks: tuple[str, ...]
    models: PropertyModels


class RefinedEnsemble:
    """An ensemble of which some properties are refined; takes an `Ensemble`'s place in a bundle.

    Args:
        base: The ensemble as it was first fitted.
        refinements: At most one per property.
    """

    def __init__(self, base: Ensemble, refinements: Sequence[Refinement]) -> None:
        self.base = base
        self.refinements = tuple(refinements)
        elements, names = base.space.elements, base.space.names
        picks = tuple(name for refinement in self.refinements for name in refinement.picks)
        self.space = PickedSpace(elements, names, picks)
        first = 0
        for refinement in self.refinements:
            own = range(first, first + len(refinement.picks))
            refinement.models.space = PickedSpace(elements, names, picks, own)
            first = own.stop

    @property
    def properties(self) -> tuple[str, ...]:
        """The P axis."""
        return self.base.properties

    def predict(self, inputs: FloatArray) -> Answer:
        """Predict from inputs [B, F] of this ensemble's space."""
        answer = self.base.predict(np.ascontiguousarray(inputs[:, : self.space.width]))
        mean, spread, members = answer.mean.copy(), answer.spread.copy(), dict(answer.members)
        for refinement in self.refinements:
            p, models = refinement.target, refinement.models
            said = models.members(inputs)
            new_mean, new_spread = models.combine(said, answer.route, models.scales, models.weights)
            mean[:, p], spread[:, p] = new_mean[:, p], new_spread[:, p]
            members |= {f"{name}*": values for name, values in said.items()}
        return Answer(answer.p_feasible, answer.route, mean, spread, members)

    def predict_refined(self, inputs: FloatArray, target: int) -> tuple[FloatArray, FloatArray]:
        """Mean and spread of one refined property, [B] each, without the work for all others."""
        models = next(refinement.models for refinement in self.refinements if refinement.target == target)
        said, route = models.members(inputs), np.ones(len(inputs))
        if models.routed:
            route = self.base.route(np.ascontiguousarray(inputs[:, : self.space.width]))
        mean, spread = models.combine(said, route, models.scales, models.weights)
        return mean[:, target], spread[:, target]

    def state(self) -> ModelState:
        """Everything needed to predict."""
        children = {f"refined_{r.target}": r.models.state() for r in self.refinements}
        picks = {str(r.target): list(r.picks) for r in self.refinements}
        return ModelState(REFINED_KIND, meta={"picks": picks}, children={"base": self.base.state(), **children})

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The ensemble that `state` came from."""
        base = Ensemble.from_state(state.children["base"])
        refinements = [
            Refinement(int(target), tuple(picks), _restored(state.children[f"refined_{target}"], base, picks))
            for target, picks in state.meta["picks"].items()
        ]
        return cls(base, refinements)


def restore_ensemble(state: ModelState) -> Any:
    """The ensemble, refined or not, that `state` came from."""
    return (RefinedEnsemble if state.kind == REFINED_KIND else Ensemble).from_state(state)


def base_of(ensemble: Any) -> Ensemble:
    """The ensemble as it was first fitted."""
    base: Ensemble = ensemble.base if isinstance(ensemble, RefinedEnsemble) else ensemble
    return base


def picks_of(ensemble: Any) -> Mapping[int, tuple[str, ...]]:
    """Further descriptors of each refined property, by position."""
    refinements = ensemble.refinements if isinstance(ensemble, RefinedEnsemble) else ()
    return {refinement.target: refinement.picks for refinement in refinements}


def _restored(state: ModelState, base: Ensemble, picks: Sequence[str]) -> PropertyModels:
    # The stored list of descriptors counts all picks of its time; RefinedEnsemble sets the space that fits.
    models = PropertyModels.from_state(state)
    models.space = PickedSpace(base.space.elements, base.space.names, picks, range(len(picks)))
    return models
