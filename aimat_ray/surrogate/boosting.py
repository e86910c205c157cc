"""Gradient-boosted oblivious trees (CatBoost), stored in CatBoost's own format."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from aimat_ray.surrogate.artifacts import ModelState

FloatArray = NDArray[np.float64]

# Fixed beforehand by the study of the families (bundle-design.md), not tuned on the folds that are reported.
REGRESSOR_DEFAULTS: dict[str, Any] = {
    "iterations": 500, "depth": 6, "learning_rate": 0.05, "rsm": 0.3, "subsample": 0.8,
    "bootstrap_type": "Bernoulli",
}  # fmt: skip
CLASSIFIER_DEFAULTS: dict[str, Any] = {
    "iterations": 300, "depth": 6, "learning_rate": 0.1, "rsm": 0.3, "subsample": 0.8,
    "bootstrap_type": "Bernoulli",
}  # fmt: skip
_FIXED: dict[str, Any] = {"thread_count": 1, "verbose": False, "allow_writing_files": False}


class BoostedRegressor:
    """One CatBoost regressor per target.

    Args:
        bags: Models that differ in their seed and are averaged, per target.
        **params: CatBoost's settings, over `REGRESSOR_DEFAULTS`.
    """

    kind: ClassVar[str] = "boosted_regressor"

    def __init__(self, bags: int = 1, **params: Any) -> None:
        self.bags = bags
        self.params = REGRESSOR_DEFAULTS | params
        self._models: list[Any] = []

    def fit(
        self,
        features: FloatArray,
        targets: FloatArray,
        rng: np.random.Generator,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """Fit every target on the rows that measure it.

        Args:
            features: Inputs, [N, D].
            targets: Values, [N, M]; NaN where unknown.
            rng: Source of the seeds.
            groups: Not used.
        """
        from catboost import CatBoostRegressor

        single = features.astype(np.float32)
        self._models = []
        for m in range(targets.shape[1]):
            known = np.isfinite(targets[:, m])
            models = [CatBoostRegressor(**self.params, **_FIXED, random_seed=_seed(rng)) for _ in range(self.bags)]
            self._models.append(_averaged([model.fit(single[known], targets[known, m]) for model in models]))
        return self

    form: ClassVar[str] = "catboost_pool"

    @staticmethod
    def prepare(features: FloatArray) -> Any:
        """Inputs in CatBoost's own form, which models of one view can share."""
        return make_pool(features)

    def predict(self, features: Any) -> FloatArray:
        """Predict, [B, D] (or what `prepare` made of it) -> [B, M]."""
        pool = make_pool(features)
        return np.stack([_raw(model, pool) for model in self._models], axis=1)

    def state(self) -> ModelState:
        """Everything needed to predict."""
        meta = {"bags": self.bags, "params": self.params, "n_models": len(self._models)}
        return ModelState(self.kind, meta=meta, blobs={f"m{i}": _dump(m) for i, m in enumerate(self._models)})

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The model that `state` came from."""
        model = cls(bags=state.meta["bags"], **state.meta["params"])
        model._models = [_load(state.blobs[f"m{i}"]) for i in range(state.meta["n_models"])]
        return model


class BoostedClassifier:
    """A CatBoost classifier.

    Args:
        smote: Fill up the smaller class by SMOTE; made inside `fit`, so never outside a training fold.
        bags: Models that differ in their seed and are averaged (their log-odds).
        **params: CatBoost's settings, over `CLASSIFIER_DEFAULTS`.
    """

    kind: ClassVar[str] = "boosted_classifier"

    def __init__(self, smote: bool = True, bags: int = 1, **params: Any) -> None:
        self.smote, self.bags = smote, bags
        self.params = CLASSIFIER_DEFAULTS | params
        self._model: Any = None

    def fit(
        self,
        features: FloatArray,
        labels: FloatArray,
        rng: np.random.Generator,
        groups: NDArray[Any] | None = None,
    ) -> Self:
        """Fit on rows with a known label.

        Args:
            features: Inputs, [N, D].
            labels: 1 feasible, 0 not, [N].
            rng: Source of the seeds.
            groups: Not used.
        """
        from catboost import CatBoostClassifier

        inputs, target = oversample(features, labels, rng) if self.smote else (features, labels)
        models = [CatBoostClassifier(**self.params, **_FIXED, random_seed=_seed(rng)) for _ in range(self.bags)]
        single, whole = inputs.astype(np.float32), target.astype(np.int64)
        self._model = _averaged([model.fit(single, whole) for model in models])
        return self

    form: ClassVar[str] = "catboost_pool"

    @staticmethod
    def prepare(features: FloatArray) -> Any:
        """Inputs in CatBoost's own form, which models of one view can share."""
        return make_pool(features)

    def predict(self, features: Any) -> FloatArray:
        """Probability of the feasible class, [B, D] (or what `prepare` made of it) -> [B]."""
        return 1.0 / (1.0 + np.exp(-_raw(self._model, make_pool(features))))

    def state(self) -> ModelState:
        """Everything needed to predict."""
        return ModelState(
            self.kind,
            meta={"smote": self.smote, "bags": self.bags, "params": self.params},
            blobs={"m": _dump(self._model)},
        )

    @classmethod
    def from_state(cls, state: ModelState) -> Self:
        """The model that `state` came from."""
        model = cls(smote=state.meta["smote"], bags=state.meta["bags"], **state.meta["params"])
        model._model = _load(state.blobs["m"])
        return model


def oversample(features: FloatArray, labels: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Balance two classes by SMOTE; unchanged where the smaller class has too few rows for neighbours."""
    from imblearn.over_sampling import SMOTE

    smaller = int(min(np.sum(labels == 1), np.sum(labels == 0)))
    if smaller < 3:
        return features, labels
    sampler = SMOTE(k_neighbors=min(5, smaller - 1), random_state=_seed(rng))
    filled, target = sampler.fit_resample(features, labels.astype(np.int64))
    return np.asarray(filled, np.float64), np.asarray(target, np.float64)


def make_pool(features: Any) -> Any:
    """CatBoost's input object; made once per batch and shared by the models (column order makes it cheap)."""
    from catboost import Pool

    if isinstance(features, Pool):
        return features
    return Pool(np.asfortranarray(features, dtype=np.float32))


def _raw(model: Any, pool: Any) -> FloatArray:
    return np.asarray(model.predict(pool, prediction_type="RawFormulaVal", thread_count=1), np.float64)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31 - 1))


def _averaged(models: list[Any]) -> Any:
    """One model whose raw value is the mean of the models' (their trees side by side, at the price of one call)."""
    from catboost import sum_models

    if len(models) == 1:
        return _stripped(models[0])
    return _stripped(sum_models(models, weights=[1.0 / len(models)] * len(models)))


def _stripped(model: Any) -> Any:
    """The model without CatBoost's notes (time, random id, how the library was built): equal models, equal bytes."""
    metadata = model.get_metadata()
    for key in list(metadata.keys()):
        del metadata[key]
    return model


def _dump(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path))
        return path.read_bytes()


def _load(blob: bytes) -> Any:
    from catboost import CatBoost

    return CatBoost().load_model(blob=blob)
