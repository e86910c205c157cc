"""Ensemble deep random vector functional link network, in numpy.

A stack of hidden layers with random, never trained weights; every layer sees the input again and has its own
ridge-regression output; the prediction is the mean over the layers' outputs.

Source: Shi, Katuwal, Suganthan, Tanveer: Random vector functional link neural network based ensemble deep
learning, Pattern Recognition 117 (2021) 107978, sections 3.2 and 3.3. Chosen here: one random network serves all
targets (its weights do not depend on a target), inputs are standardised, and the random weights are scaled by
1/sqrt(inputs) so that the depth does not change the size of the activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.artifacts import ModelState
from aimat_ray.surrogate.linalg import blockwise, contiguous, standardise

FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]


@dataclass(frozen=True)
class EdRvflParams:
    """Size of the network and its ridge penalties.

    Attributes:
        n_layers: Hidden layers.
        n_hidden: Hidden values per layer.
        ridges: Penalties to choose from, per target, as a share of the number of rows.
        n_inner_folds: Folds of chemical systems, inside the training rows, on which the penalty is chosen.
        weight_scale: Size of the random weights.
    """

    n_layers: int = 16
    n_hidden: int = 128
    ridges: Sequence[float] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    n_inner_folds: int = 4
    weight_scale: float = 1.0


class EdRvfl:
    """edRVFL regression for several targets with missing values."""

    kind: ClassVar[str] = "edrvfl"

    def __init__(self, **params: Any) -> None:
        self.params = EdRvflParams(**params)
        self._arrays: dict[str, NDArray[Any]] = {}

    def fit(
        self,
        features: FloatArray,
        targets: FloatArray,
        rng: np.random.Generator,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """Draw the hidden layers anew and solve every layer's output; nothing of an earlier fit stays.

        Rows without any value are left out: inputs are standardised on the rows that count.

        Args:
            features: Inputs, [N, D].
            targets: Values, [N, M]; NaN where unknown. A column needs at least two values.
            rng: Source of the hidden weights and inner folds.
            groups: Chemical system of each row, [N]; each row its own if not given.
        """
        used = np.isfinite(targets).any(axis=1)
        features, targets = features[used], targets[used]
        groups = None if groups is None else groups[used]
        scaled, centre, scale = standardise(features)
        layers = self._draw(features.shape[1], rng)
        blocks = [block.astype(np.float64) for block in _layer_inputs(scaled, layers)]
        mean, spread = np.nanmean(targets, axis=0), np.nanstd(targets, axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        wanted = (targets - mean) / spread
        inner = _inner_folds(np.arange(len(features)) if groups is None else groups, self.params.n_inner_folds, rng)
        ridges = [self._choose_ridge(blocks, wanted[:, m], inner) for m in range(targets.shape[1])]
        self._arrays = {"centre": centre, "scale": scale, "mean": mean, "spread": spread, "ridges": np.array(ridges)}
        self._arrays |= {"low": np.nanmin(targets, axis=0), "high": np.nanmax(targets, axis=0)}
        for i, ((weight, bias), block) in enumerate(zip(layers, blocks, strict=True)):
            outputs = [_solve(block, wanted[:, m], [ridge])[0] for m, ridge in enumerate(ridges)]
            self._arrays |= {f"w{i}": weight, f"b{i}": bias, f"o{i}": np.stack(outputs, axis=1).astype(np.float32)}
        self._arrays = contiguous(self._arrays)
        return self

    def _choose_ridge(self, blocks: list[FloatArray], target: FloatArray, inner: NDArray[np.int64]) -> float:
        """The penalty with the least squared error on inner folds; the middle one where a fold can't be tested."""
        ridges = list(self.params.ridges)
        if len(ridges) == 1:
            return ridges[0]
        known = np.isfinite(target)
        errors = np.zeros(len(ridges))
        for k in range(self.params.n_inner_folds):
            test, train = known & (inner == k), np.where(inner == k, np.nan, target)
            if not test.any() or np.isfinite(train).sum() < 2:
                return ridges[len(ridges) // 2]
            said = np.zeros((len(ridges), int(test.sum())))
            for block in blocks:
                said += [block[test] @ weights for weights in _solve(block, train, ridges)]
            errors += np.sum((target[test] - said / len(blocks)) ** 2, axis=1)
        return ridges[int(np.argmin(errors))]

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict, [B, D] -> [B, M], within the range of the training values, in float32 on fixed blocks.

        Activations have no bound: in one of six sets of folds a few alloys took R2 of the modulus from .65 to -.23.
        """
        return blockwise(self._predict_block, features)

    def _predict_block(self, features: FloatArray) -> FloatArray:
        a = self._arrays
        scaled = ((features - a["centre"]) / a["scale"]).astype(np.float32)
        layers = [(a[f"w{i}"], a[f"b{i}"]) for i in range(self.params.n_layers)]
        total = np.zeros((len(features), len(a["mean"])), np.float32)
        for i, block in enumerate(_layer_inputs(scaled, layers)):
            total += block @ a[f"o{i}"]
        result: FloatArray = a["mean"] + a["spread"] * (total / self.params.n_layers).astype(np.float64)
        return np.clip(result, a["low"], a["high"])

    def _draw(self, n_inputs: int, rng: np.random.Generator) -> list[tuple[SingleArray, SingleArray]]:
        p, layers = self.params, []
        for i in range(p.n_layers):
            fan_in = n_inputs if i == 0 else n_inputs + p.n_hidden
            bound = p.weight_scale * np.sqrt(3.0 / fan_in)
            weight = rng.uniform(-bound, bound, (fan_in, p.n_hidden)).astype(np.float32)
            layers.append((weight, rng.uniform(-1.0, 1.0, p.n_hidden).astype(np.float32)))
        return layers

    def state(self) -> ModelState:
        """Everything needed to predict."""
        return ModelState(self.kind, meta=asdict(self.params), arrays=self._arrays)

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The model that `state` came from."""
        model = cls(**state.meta)
        model._arrays = dict(state.arrays)
        return model


def _solve(block: FloatArray, target: FloatArray, ridges: Sequence[float]) -> list[FloatArray]:
    """Ridge regression on the rows where the target [N] is known, for each penalty."""
    known = np.isfinite(target)
    design = block[known]
    gram, right = design.T @ design, design.T @ target[known]
    eye = np.eye(len(gram)) * known.sum()
    return [np.linalg.solve(gram + ridge * eye, right) for ridge in ridges]


def _inner_folds(groups: NDArray[Any], n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    _, member = np.unique(groups, return_inverse=True)
    return (rng.permutation(int(member.max()) + 1) % n_folds)[member].astype(np.int64)


def _layer_inputs(scaled: NDArray[Any], layers: list[tuple[SingleArray, SingleArray]]) -> list[NDArray[Any]]:
    """What each layer's output sees: its hidden values beside the inputs, [N, H + D] per layer."""
    blocks: list[NDArray[Any]] = []
    current = scaled.astype(np.float32)
    single = current
    for weight, bias in layers:
        hidden = np.maximum(current @ weight + bias, 0.0)
        current = np.concatenate([hidden, single], axis=1)
        blocks.append(current)
    return blocks
