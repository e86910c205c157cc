"""What a stored surrogate says about itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

FORMAT = 2


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Score(_Frozen):
    """A pooled out-of-fold score; see `validation.RegressionScore`."""

    split: str
    r2: float
    rmse: float
    mae: float
    mape: float | None
    n: int
    n_systems: int
    lower: float
    upper: float


class ClassScoreRecord(_Frozen):
    """A pooled out-of-fold score of the class probability; see `validation.ClassScore`."""

    split: str
    rows: str
    auc: float
    brier: float
    precision: float
    recall: float
    f1: float
    n: int
    n_systems: int
    lower: float
    upper: float


class TargetRecord(_Frozen):
    """How one property is predicted, and how well on unseen systems.

    Attributes:
        members: Models whose (weighted) mean is the prediction; empty if the property has too few values.
        n_rows: Measured values.
        score: Out-of-fold score of the combination.
        feasible_score: The same on feasible rows only.
        alternatives: Out-of-fold scores of the members alone.
        coverage_90: Share of measured values inside their interval, by fold calibrated on the other folds.
    """

    members: tuple[str, ...]
    n_rows: int
    score: Score | None
    feasible_score: Score | None
    alternatives: dict[str, Score]
    coverage_90: float | None


class ClassRecord(_Frozen):
    """The class model: its scores on unseen systems and its calibration."""

    family: str
    slope: float
    shift: float
    scores: tuple[ClassScoreRecord, ...]


class BundleManifest(_Frozen):
    """Everything about a bundle but its numbers.

    Attributes:
        name: Bundle name.
        version: Hash of the content, after the name.
        problem: Name of the design problem.
        data_name: Short name of the data.
        data_checksum: Checksum of the data.
        synthetic: Whether the data come from the oracle.
        seed: Seed of the fit.
        families: What kinds of models are inside, in words.
        recipe: The recipe that was fitted.
        chosen_by: Why these models.
        elements: The E axis.
        properties: The P axis.
        descriptors: The D axis.
        targets: Property key to how it is predicted.
        classifier: The class model.
        libraries: Versions of the libraries that fitted it.
        files: File name to sha256.
    """

    format: int = FORMAT
    name: str
    version: str = ""
    problem: str
    data_name: str
    data_checksum: str
    synthetic: bool
    seed: int
    families: str
    recipe: dict[str, Any]
    chosen_by: str
    elements: tuple[str, ...]
    properties: tuple[str, ...]
    descriptors: tuple[str, ...]
    targets: dict[str, TargetRecord]
    classifier: ClassRecord
    libraries: dict[str, str]
    files: dict[str, str] = {}
