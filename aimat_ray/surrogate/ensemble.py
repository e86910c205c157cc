"""The models of a recipe fitted together: class probability, and mean and spread of every property.

No intervals and no domain here; `bundle` adds both. The same class is fitted on every training fold and on all
rows, so what is scored out of fold is exactly what is shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.artifacts import ModelState
from aimat_ray.surrogate.families import make, restore
from aimat_ray.surrogate.features import FeatureSpace, View
from aimat_ray.surrogate.recipes import RECIPES, MemberSpec, Recipe

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# A model needs this many rows; a property with fewer is not modelled.
MIN_ROWS = 20
LOG_FLOOR = 1e-3  # lowest value whose logarithm is taken, as a share of the median
_TINY_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Rows to fit on, with their inputs computed.

    Attributes:
        inputs: All inputs of the property rows, [N, F] (see `FeatureSpace`).
        values: Property values, [N, P]; NaN where unknown.
        feasible: 1, 0 or NaN, [N].
        system: Number of the chemical system, [N].
        class_inputs: All inputs of the class rows, [M, F].
        labels: 1 or 0, [M].
        class_system: Number of the chemical system, [M].
    """

    inputs: FloatArray
    values: FloatArray
    feasible: FloatArray
    system: NDArray[np.int64]
    class_inputs: FloatArray
    labels: FloatArray
    class_system: NDArray[np.int64]

    def take(self, rows: BoolArray, class_rows: BoolArray) -> TrainingRows:
        """The rows of both masks."""
        return TrainingRows(
            self.inputs[rows], self.values[rows], self.feasible[rows], self.system[rows],
            self.class_inputs[class_rows], self.labels[class_rows], self.class_system[class_rows],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Answer:
    """What an ensemble says about a batch.

    Attributes:
        p_feasible: Class probability before calibration, [B].
        route: Weight of the members for feasible rows, [B].
        mean: Property values, [B, P]; NaN for a property that is not modelled.
        spread: Standard deviation over the members, [B, P].
        members: What each member says before scaling, name to [B, P] (NaN where it does not serve the property).
    """

    p_feasible: FloatArray
    route: FloatArray
    mean: FloatArray
    spread: FloatArray
    members: Mapping[str, FloatArray]


class Ensemble:
    """A fitted recipe.

    Args:
        recipe: Name of the recipe.
        space: Computes and selects the inputs.
        properties: Keys of the P properties.
    """

    def __init__(self, recipe: str, space: FeatureSpace, properties: tuple[str, ...]) -> None:
        self.recipe_name, self.space, self.properties = recipe, space, properties
        self.scales: dict[str, FloatArray] = {}
        self._specs = {spec.name: spec for spec in self.recipe.members}
        self._classifier: Any = None
        self._router: Any = None
        self._constant_p = 1.0
        self._models: dict[str, Any] = {}
        self._served: dict[str, list[int]] = {}

    @property
    def recipe(self) -> Recipe:
        """The recipe that this ensemble follows."""
        return RECIPES[self.recipe_name]

    def fit(self, rows: TrainingRows, seed: tuple[int, ...]) -> Self:
        """Fit the class model, the router and every member that has rows enough.

        Args:
            rows: What to fit on.
            seed: Numbers that name this fit; every model draws from a generator of its own.
        """
        self._models, self._served, self.scales = {}, {}, {}
        self._fit_classifier(rows, np.random.default_rng((*seed, 0)))
        self._fit_router(rows, np.random.default_rng((*seed, 99)))
        for number, spec in enumerate(self.recipe.members, start=1):
            chosen = spec_rows(spec, rows.feasible)
            wanted = [
                i
                for i, key in enumerate(self.properties)
                if spec.name in self.recipe.members_of(key) and _enough(rows.values[chosen, i])
            ]
            self._fit_member(spec, rows, chosen, wanted, np.random.default_rng((*seed, number)))
        self._fit_leftovers(rows, seed)
        return self

    def _fit_classifier(self, rows: TrainingRows, rng: np.random.Generator) -> None:
        labels, spec = rows.labels, self.recipe.classifier
        self._constant_p = float(labels.mean()) if len(labels) else 1.0
        self._classifier = None
        if min(np.sum(labels == 1), np.sum(labels == 0)) < MIN_ROWS // 2:
            return  # one class only: the share of it is all that can be said
        features = self.space.view(rows.class_inputs, spec.view)
        self._classifier = make(spec.family, **spec.params).fit(features, labels, rng, rows.class_system)

    def _fit_router(self, rows: TrainingRows, rng: np.random.Generator) -> None:
        spec, keys = self.recipe.router, self.recipe.routed
        routed = [i for i, key in enumerate(self.properties) if key in keys]
        chosen = np.isfinite(rows.values[:, routed]).any(axis=1) & np.isfinite(rows.feasible)
        labels = rows.feasible[chosen]
        self._router = None
        if spec is not None and min(np.sum(labels == 1), np.sum(labels == 0)) >= MIN_ROWS // 2:
            features = self.space.view(rows.inputs[chosen], spec.view)
            self._router = make(spec.family, **spec.params).fit(features, labels, rng, rows.system[chosen])

    def _fit_leftovers(self, rows: TrainingRows, seed: tuple[int, ...]) -> None:
        """Serve properties whose own members lack rows (no crystalline alloys, say) by the usual members."""
        served = {i for targets in self._served.values() for i in targets}
        missing = [i for i in range(len(self.properties)) if i not in served and _enough(rows.values[:, i])]
        if not missing:
            return
        for number, spec in enumerate(self.recipe.members, start=1):
            if spec.name in self.recipe.otherwise:
                everything = np.ones(len(rows.values), dtype=bool)
                self._fit_member(spec, rows, everything, missing, np.random.default_rng((*seed, 100 + number)), "+")

    def _fit_member(
        self,
        spec: MemberSpec,
        rows: TrainingRows,
        chosen: BoolArray,
        targets: list[int],
        rng: np.random.Generator,
        suffix: str = "",
    ) -> None:
        if not targets:
            return
        params = dict(spec.params)
        if spec.family == "gp":
            params["groups"] = self.space.groups(spec.view)
        values = rows.values[chosen][:, targets]
        if spec.log:
            values = np.log(np.maximum(values, LOG_FLOOR * np.nanmedian(np.abs(values), axis=0)))
        features = self.space.view(rows.inputs[chosen], spec.view)
        self._models[spec.name + suffix] = make(spec.family, **params).fit(features, values, rng, rows.system[chosen])
        self._served[spec.name + suffix] = targets

    def predict(self, inputs: FloatArray) -> Answer:
        """Predict from inputs [B, F]."""
        views = _Views(self.space, inputs)
        p = self._p_feasible(views)
        route = self._routed(views, p)
        members: dict[str, FloatArray] = {}
        for name, model in self._models.items():
            spec = self.spec(name)
            values = model.predict(views.of(spec.view, model))
            members[name] = np.full((len(inputs), len(self.properties)), np.nan)
            members[name][:, self._served[name]] = np.exp(values) if spec.log else values
        mean, spread = self.combine(members, route, self.scales)
        return Answer(p, route, mean, spread, members)

    def route(self, inputs: FloatArray) -> FloatArray:
        """Weight of the members for feasible rows, inputs [B, F] -> [B]."""
        views = _Views(self.space, inputs)
        return self._routed(views, None)

    def _routed(self, views: _Views, p_feasible: FloatArray | None) -> FloatArray:
        """What the router says; where there is none, the class probability."""
        if self._router is not None and self.recipe.router is not None:
            said: FloatArray = self._router.predict(views.of(self.recipe.router.view, self._router))
            return said
        return self._p_feasible(views) if p_feasible is None else p_feasible

    def combine(
        self,
        members: Mapping[str, FloatArray],
        route: FloatArray,
        scales: Mapping[str, FloatArray],
        weights: Mapping[str, float] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Weighted mean over the members that serve a property, and their spread around it, [B, P] each.

        Members for all rows weigh 1 each; those for feasible rows share the weight `route`, those for the rest
        share 1 - `route`.

        Args:
            members: What each member says, name to [B, P].
            route: Weight of the members for feasible rows, [B].
            scales: Factor per member and property, name to [P]; 1 where a member has none.
            weights: Further weight of each member; 1 where it has none.
        """
        shape = (len(route), len(self.properties))
        total, first, second = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        sides = {"all": np.ones_like(route), "feasible": route, "rest": 1.0 - route}
        sharing = self._sharing()
        for name, raw in members.items():
            rows = self.spec(name).rows
            served = np.isfinite(raw)
            value = np.where(served, raw, 0.0) * scales.get(name, 1.0)
            weight = np.maximum(sides[rows], _TINY_WEIGHT)[:, None] / sharing[rows]
            weight = np.where(served, weight * (weights or {}).get(name, 1.0), 0.0)
            total += weight
            first += weight * value
            second += weight * value**2
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(total > 0, first / total, np.nan)
            spread = np.sqrt(np.maximum(second / total - mean**2, 0.0))
        return mean, spread

    def _sharing(self) -> dict[str, FloatArray]:
        """How many members share a side's weight, per property [P]; members for all rows don't share."""
        counts = {side: np.zeros(len(self.properties)) for side in ("all", "feasible", "rest")}
        for name, targets in self._served.items():
            counts[self.spec(name).rows][targets] += 1.0
        counts["all"] = np.ones(len(self.properties))
        return {side: np.maximum(count, 1.0) for side, count in counts.items()}

    def p_feasible(self, inputs: FloatArray) -> FloatArray:
        """Class probability from inputs, [B, F] -> [B]."""
        return self._p_feasible(_Views(self.space, inputs))

    def _p_feasible(self, views: _Views) -> FloatArray:
        if self._classifier is None:
            return np.full(views.n_rows, self._constant_p)
        p: FloatArray = self._classifier.predict(views.of(self.recipe.classifier.view, self._classifier))
        return p

    def spec(self, name: str) -> MemberSpec:
        """The recipe's entry of a member (a name with + stands in where members lack rows)."""
        return self._specs[name.rstrip("+")]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fitted members."""
        return tuple(self._models)

    def served_by(self, target: int) -> list[str]:
        """Names of the members that predict a property."""
        return [name for name, targets in self._served.items() if target in targets]

    def state(self) -> ModelState:
        """Everything needed to predict."""
        children = {name: model.state() for name, model in self._models.items()}
        if self._router is not None:
            children["router"] = self._router.state()
        if self._classifier is not None:
            children["class"] = self._classifier.state()
        meta = {
            "recipe": self.recipe_name,
            "descriptors": list(self.space.names),
            "elements": list(self.space.elements),
            "properties": list(self.properties),
            "served": {name: [int(i) for i in targets] for name, targets in self._served.items()},
            "constant_p": self._constant_p,
        }
        arrays = {f"scale_{name}": scale for name, scale in self.scales.items()}
        return ModelState("ensemble", meta=meta, arrays=arrays, children=children)

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The ensemble that `state` came from."""
        meta = state.meta
        space = FeatureSpace(meta["elements"], meta["descriptors"])
        ensemble = cls(meta["recipe"], space, tuple(meta["properties"]))
        ensemble._constant_p = float(meta["constant_p"])
        order = [spec.name for spec in ensemble.recipe.members]
        ensemble._served = {
            name: list(meta["served"][name])
            for name in sorted(meta["served"], key=lambda n: (n.endswith("+"), order.index(n.rstrip("+"))))
        }
        ensemble._models = {name: restore(state.children[name]) for name in ensemble._served}
        ensemble.scales = {name.removeprefix("scale_"): array for name, array in state.arrays.items()}
        if "router" in state.children:
            ensemble._router = restore(state.children["router"])
        if "class" in state.children:
            ensemble._classifier = restore(state.children["class"])
        return ensemble


class _Views:
    """Columns of a batch by view, each cut out once, and once brought into a family's own form."""

    def __init__(self, space: FeatureSpace, inputs: FloatArray) -> None:
        self.n_rows = len(inputs)
        self._space, self._inputs = space, inputs
        self._made: dict[tuple[str, Any], Any] = {}

    def of(self, view: View, model: Any) -> Any:
        """What `model` predicts from."""
        if (view, None) not in self._made:
            self._made[view, None] = self._space.view(self._inputs, view)
        prepare = getattr(model, "prepare", None)
        if prepare is None:
            return self._made[view, None]
        if (view, model.form) not in self._made:
            self._made[view, model.form] = prepare(self._made[view, None])
        return self._made[view, model.form]


def spec_rows(spec: MemberSpec, feasible: FloatArray) -> BoolArray:
    """The rows that a member is fitted on, [N]."""
    if spec.rows == "all":
        return np.ones(len(feasible), dtype=bool)
    return np.asarray(feasible == (1.0 if spec.rows == "feasible" else 0.0))


def _enough(values: FloatArray) -> bool:
    return bool(np.isfinite(values).sum() >= MIN_ROWS)
