"""A few reference answers kept with every version: whoever loads it must get them again before it may serve.

This is what catches a file that is intact but wrong: features in another order, an incompatible library, NaN.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aimat_ray.errors import ArtifactError
from aimat_ray.surrogate.base import ARRAY_FIELDS, FloatArray, Prediction, Predictor

CANARY_FILE = "canary.npz"
N_ROWS = 16
_N_PRESENT = 4
_VALUES = ("p_feasible", "mean", "lower", "upper")
# Other processors round float32 sums differently, by about 1e-5; a wrong feature order is wrong by far more.
_RELATIVE = 1e-3
_ABSOLUTE = 1e-3


def canary_rows(n_elements: int) -> FloatArray:
    """Fixed compositions of up to four elements that together touch many elements, [16, E]."""
    generator = np.random.default_rng(52)
    rows = np.zeros((N_ROWS, n_elements))
    for row in rows:
        present = generator.choice(n_elements, size=min(_N_PRESENT, n_elements), replace=False)
        row[present] = generator.dirichlet(np.ones(len(present)))
    return rows


def write_canary(folder: Path, predictor: Predictor, at_frac: FloatArray) -> None:
    """Store a predictor's answers for `at_frac` [B, E] in `folder`.

    Raises:
        ArtifactError: The answers are not finite; such a surrogate can't be stored.
    """
    prediction = predictor.predict(at_frac)
    check_finite(prediction, f"surrogate {predictor.version}")
    arrays = {name: getattr(prediction, name) for name in ARRAY_FIELDS}
    np.savez(folder / CANARY_FILE, allow_pickle=False, at_frac=at_frac, **arrays)


def read_canary(folder: Path, version: str) -> tuple[FloatArray, Prediction]:
    """The reference compositions [B, E] and answers of a version.

    Raises:
        ArtifactError: The file is missing or can't be read.
    """
    try:
        with np.load(folder / CANARY_FILE, allow_pickle=False) as archive:
            answers = Prediction(**{name: archive[name] for name in ARRAY_FIELDS}, version=version)
            return archive["at_frac"], answers
    except (OSError, KeyError, ValueError) as error:
        raise ArtifactError(f"{folder / CANARY_FILE} can't be read; publish this surrogate again") from error


def check_canary(predictor: Predictor, at_frac: FloatArray, expected: Prediction) -> None:
    """Ask for the reference compositions and compare.

    Raises:
        ArtifactError: It fails, an answer is not finite, or is not the reference answer.
    """
    try:
        answer = predictor.predict(at_frac)
    except Exception as error:  # the families raise many kinds; all of them mean: it can't be used here
        raise ArtifactError(f"surrogate {expected.version} fails on its reference compositions ({error!r})") from error
    check_finite(answer, f"surrogate {expected.version}")
    for name in _VALUES:
        given, wanted = getattr(answer, name), getattr(expected, name)
        if given.shape != wanted.shape or not np.allclose(given, wanted, rtol=_RELATIVE, atol=_ABSOLUTE):
            raise ArtifactError(
                f"surrogate {expected.version} does not repeat its reference answers ({name} differs); "
                "it was damaged or belongs to other library versions: fit it again"
            )


def check_finite(prediction: Prediction, who: str) -> None:
    """Check that every value is a number and every probability one.

    Raises:
        ArtifactError: Something is NaN, infinite, or not within 0..1.
    """
    for name in _VALUES:
        if not np.isfinite(getattr(prediction, name)).all():
            raise ArtifactError(f"{who} answers with numbers that are not finite ({name})")
    if ((prediction.p_feasible < 0) | (prediction.p_feasible > 1)).any():
        raise ArtifactError(f"{who} answers with probabilities outside 0..1")
