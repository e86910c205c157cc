"""Support-vector regression with an RBF kernel; kept as its support vectors, evaluated in float32."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.artifacts import ModelState
from aimat_ray.surrogate.linalg import blockwise, contiguous, squared_distances, standardise

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SvrParams:
    """Regularisation, tube and kernel width (gamma = gamma_scale / number of inputs), on standardised values."""

    c: float = 10.0
    epsilon: float = 0.05
    gamma_scale: float = 0.5


class SupportVectors:
    """One support-vector regressor per target."""

    kind: ClassVar[str] = "svr"

    def __init__(self, **params: Any) -> None:
        self.params = SvrParams(**params)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._n_models = 0

    def fit(
        self,
        features: FloatArray,
        targets: FloatArray,
        rng: np.random.Generator,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """Fit every target on the rows that measure it; nothing random.

        Args:
            features: Inputs, [N, D].
            targets: Values, [N, M]; NaN where unknown.
            rng: Not used.
            groups: Not used.
        """
        from sklearn.svm import SVR

        p = self.params
        gamma = p.gamma_scale / features.shape[1]
        self._arrays, self._n_models = {}, targets.shape[1]
        for m in range(targets.shape[1]):
            known = np.isfinite(targets[:, m])
            scaled, centre, scale = standardise(features[known])
            mean, spread = float(targets[known, m].mean()), float(targets[known, m].std()) or 1.0
            model = SVR(C=p.c, epsilon=p.epsilon, gamma=gamma).fit(scaled, (targets[known, m] - mean) / spread)
            support = model.support_vectors_
            self._arrays |= {
                f"centre{m}": centre, f"scale{m}": scale, f"rows{m}": support.T.astype(np.float32),
                f"rows_sq{m}": np.sum(support**2, axis=1).astype(np.float32),
                f"dual{m}": model.dual_coef_[0].astype(np.float32),
                f"line{m}": np.array([mean, spread, float(model.intercept_[0]), gamma]),
            }  # fmt: skip
        self._arrays = contiguous(self._arrays)
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict, [B, D] -> [B, M], in float32 on fixed blocks."""
        return blockwise(self._predict_block, features)

    def _predict_block(self, features: FloatArray) -> FloatArray:
        return np.stack([self._predict_one(features, m) for m in range(self._n_models)], axis=1)

    def _predict_one(self, features: FloatArray, m: int) -> FloatArray:
        a = self._arrays
        mean, spread, intercept, gamma = a[f"line{m}"]
        x = ((features - a[f"centre{m}"]) / a[f"scale{m}"]).astype(np.float32)
        kernel = squared_distances(x, a[f"rows{m}"], a[f"rows_sq{m}"])
        np.maximum(kernel, np.float32(0.0), out=kernel)
        kernel *= np.float32(-gamma)
        np.exp(kernel, out=kernel)
        result: FloatArray = mean + spread * ((kernel @ a[f"dual{m}"]).astype(np.float64) + intercept)
        return result

    def state(self) -> ModelState:
        """Everything needed to predict."""
        meta = {"params": asdict(self.params), "n_models": self._n_models}
        return ModelState(self.kind, meta=meta, arrays=self._arrays)

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The model that `state` came from."""
        model = cls(**state.meta["params"])
        model._arrays, model._n_models = dict(state.arrays), int(state.meta["n_models"])
        return model
