"""Extremely randomised trees and random forests as plain arrays.

scikit-learn grows the trees; of each only the split and leaf arrays are kept. For prediction they are put back
into scikit-learn's compiled tree (its arrays, not a pickle), because walking trees in numpy is several times slower.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.errors import ArtifactError
from aimat_ray.surrogate.artifacts import ModelState

FloatArray = NDArray[np.float64]
_COLUMNS = ("left", "right", "feature", "threshold")


@dataclass(frozen=True)
class ForestParams:
    """How the trees grow.

    Attributes:
        n_trees: Trees per target.
        max_features: Share of the inputs tried at a split.
        min_leaf: Fewest rows in a leaf.
        splitter: `extra` draws split points at random (ExtraTrees), `best` searches them (random forest).
        bootstrap_groups: Draw whole groups with replacement for every tree (needs `groups` in `fit`).
    """

    n_trees: int = 100
    max_features: float = 0.33
    min_leaf: int = 1
    splitter: Literal["extra", "best"] = "extra"
    bootstrap_groups: bool = False


class Forest:
    """A forest per target; `predict` gives means, `predict_with_spread` also the spread over the trees."""

    kind: ClassVar[str] = "forest"

    def __init__(self, **params: Any) -> None:
        self.params = ForestParams(**params)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._trees: list[list[Any]] = []
        self._leaves: list[list[FloatArray]] = []
        self._n_inputs = 0

    def fit(
        self, features: FloatArray, targets: FloatArray, rng: np.random.Generator, groups: NDArray[Any] | None = None
    ) -> Self:
        """Grow a forest for every target on the rows that measure it.

        Args:
            features: Inputs, [N, D].
            targets: Values, [N, M]; NaN where unknown.
            rng: Source of the seeds and bootstrap draws.
            groups: Group (chemical system) of each row, [N]; used by `bootstrap_groups`.
        """
        single = features.astype(np.float32)
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_COLUMNS, "value")}
        counts = np.zeros((targets.shape[1], self.params.n_trees), np.int32)
        for m in range(targets.shape[1]):
            known = np.flatnonzero(np.isfinite(targets[:, m]))
            for t in range(self.params.n_trees):
                rows = known
                if self.params.bootstrap_groups and groups is not None:
                    rows = known[_bootstrap(groups[known], rng)]
                tree = self._grow(single[rows], targets[rows, m], rng)
                counts[m, t] = tree.node_count
                for name, column in _plain_columns(tree).items():
                    parts[name].append(column)
        self._arrays = {name: np.concatenate(columns) for name, columns in parts.items()} | {"counts": counts}
        self._n_inputs = features.shape[1]
        self._build()
        return self

    def predict(self, features: NDArray[Any]) -> FloatArray:
        """Mean over the trees, [B, D] -> [B, M]."""
        return self.predict_with_spread(features)[0]

    def predict_with_spread(self, features: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation over the trees, [B, M] each."""
        single = np.ascontiguousarray(features, dtype=np.float32)
        means, spreads = [], []
        for trees, leaves in zip(self._trees, self._leaves, strict=True):
            values = np.stack([leaf[tree.apply(single)] for tree, leaf in zip(trees, leaves, strict=True)])
            means.append(values.mean(axis=0))
            spreads.append(values.std(axis=0))
        return np.stack(means, axis=1), np.stack(spreads, axis=1)

    def state(self) -> ModelState:
        """Everything needed to predict."""
        meta = {"params": asdict(self.params), "n_inputs": self._n_inputs}
        return ModelState(self.kind, meta=meta, arrays=self._arrays)

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The model that `state` came from."""
        model = cls(**state.meta["params"])
        model._arrays, model._n_inputs = dict(state.arrays), int(state.meta["n_inputs"])
        model._build()
        return model

    def _grow(self, features: NDArray[np.float32], target: FloatArray, rng: np.random.Generator) -> Any:
        from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

        cls = ExtraTreeRegressor if self.params.splitter == "extra" else DecisionTreeRegressor
        tree = cls(
            max_features=self.params.max_features, min_samples_leaf=self.params.min_leaf,
            random_state=int(rng.integers(2**31 - 1)),
        )  # fmt: skip
        return tree.fit(features, target, check_input=False).tree_

    def _build(self) -> None:
        a, self._trees, self._leaves, start = self._arrays, [], [], 0
        for row in a["counts"]:
            trees, leaves = [], []
            for count in row:
                part = slice(start, start + int(count))
                trees.append(_compiled_tree({name: a[name][part] for name in _COLUMNS}, self._n_inputs))
                leaves.append(a["value"][part].astype(np.float64))
                start += int(count)
            self._trees.append(trees)
            self._leaves.append(leaves)


class ForestClassifier:
    """A forest of regression trees on 0/1 labels: its mean is the share of trees' leaves that are feasible."""

    kind: ClassVar[str] = "forest_classifier"

    def __init__(self, **params: Any) -> None:
        self._forest = Forest(**params)

    def fit(
        self, features: FloatArray, labels: FloatArray, rng: np.random.Generator, groups: NDArray[Any] | None = None
    ) -> Self:
        """Fit on rows with a known label; see `Forest.fit`.

        Args:
            features: Inputs, [N, D].
            labels: 1 feasible, 0 not, [N].
            rng: Source of the seeds and bootstrap draws.
            groups: Chemical system of each row, [N].
        """
        self._forest.fit(features, labels[:, None], rng, groups)
        return self

    def predict(self, features: NDArray[Any]) -> FloatArray:
        """Probability of the feasible class, [B, D] -> [B]."""
        return self._forest.predict(features)[:, 0]

    def state(self) -> ModelState:
        """Everything needed to predict."""
        return ModelState(self.kind, children={"forest": self._forest.state()})

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The model that `state` came from."""
        model = cls()
        model._forest = Forest.from_state(state.children["forest"])
        return model


def _bootstrap(groups: NDArray[Any], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of groups drawn with replacement, as many groups as there are."""
    _, member = np.unique(groups, return_inverse=True)
    n_groups = int(member.max()) + 1
    weight = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
    return np.repeat(np.arange(len(groups)), weight[member])


def _plain_columns(tree: Any) -> dict[str, NDArray[Any]]:
    return {
        "left": tree.children_left.astype(np.int32),
        "right": tree.children_right.astype(np.int32),
        "feature": tree.feature.astype(np.int16),
        # Inputs are float32; split points stay float64, as the compiled tree compares them.
        "threshold": tree.threshold.astype(np.float64),
        "value": tree.value[:, 0, 0].astype(np.float32),
    }


def _compiled_tree(columns: dict[str, NDArray[Any]], n_inputs: int) -> Any:
    """scikit-learn's tree walker over these arrays (its layout is pinned by the declared version range)."""
    from sklearn.tree._tree import NODE_DTYPE, Tree

    left, right = columns["left"].astype(np.int64), columns["right"].astype(np.int64)
    n, leaf = len(left), left < 0
    inner_ok = (left[~leaf] > 0) & (left[~leaf] < n) & (right[~leaf] > 0) & (right[~leaf] < n)
    features_ok = (columns["feature"][~leaf] >= 0) & (columns["feature"][~leaf] < n_inputs)
    # The compiled walker does not check bounds: arrays that point outside would read foreign memory.
    forward = np.minimum(left, right)[~leaf] > np.flatnonzero(~leaf)
    if n == 0 or not (inner_ok.all() and features_ok.all() and forward.all()):
        raise ArtifactError("stored forest: a node points outside its tree; the surrogate is damaged, fit it again")
    nodes = np.zeros(n, NODE_DTYPE)
    nodes["left_child"], nodes["right_child"] = left, right
    nodes["feature"] = np.where(leaf, -2, columns["feature"])
    nodes["threshold"] = columns["threshold"]
    nodes["n_node_samples"], nodes["weighted_n_node_samples"] = 1, 1.0
    tree = Tree(n_inputs, np.array([1], np.intp), 1)
    values = np.zeros((n, 1, 1), np.float64)
    tree.__setstate__({"max_depth": n, "node_count": n, "nodes": nodes, "values": values})
    return tree
