"""The prediction types under the name that the surrogate layer knows them by."""

from aimat_ray.prediction import ARRAY_FIELDS, DomainReason, FloatArray, Prediction, Predictor, from_columns

__all__ = ["ARRAY_FIELDS", "DomainReason", "FloatArray", "Prediction", "Predictor", "from_columns"]
