"""A problem whose truth is a formula and whose surrogate is that truth: what no method may fail at.

Quality falls with the square of the distance from a target alloy and is at least 95 % within a small ball around it.
The surrogate, the judge and the truth are one, so predicted, confirmed and true success are the same number.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from aimat_ray.config import DesignSettings
from aimat_ray.data.composition import from_mapping
from aimat_ray.env.goals import FixedGoals, free_goals
from aimat_ray.env.legality import BoolArray, FloatArray, Limits
from aimat_ray.env.observation import ObservationScale
from aimat_ray.env.reward import PaperScale
from aimat_ray.env.task import DesignTask
from aimat_ray.prediction import DomainReason, Prediction
from aimat_ray.problem import DesignProblem

QUALITY = "quality_pct"
BASE = "Zr"
WINDOW = {
    "Zr": (40.0, 80.0), "Cu": (0.0, 30.0), "Al": (0.0, 20.0), "Ni": (0.0, 20.0), "Ti": (0.0, 20.0), "Ag": (0.0, 20.0),
}  # fmt: skip
TARGET = {"Zr": 50, "Cu": 28, "Al": 12, "Ni": 10}
AT_LEAST = 95.0
_WIDTH = 0.35  # fraction of atoms over which the quality falls from 100 % to 0


@dataclass(frozen=True)
class FormulaTruth:
    """The truth, in the words of the synthetic world.

    Attributes:
        target: The best composition, [E].
    """

    target: FloatArray

    def truth(self, at_frac: FloatArray) -> FloatArray:
        """Quality, [B, 1]."""
        return np.asarray(100 - 100 * np.square((at_frac - self.target) / _WIDTH).sum(axis=1))[:, None]

    def feasible(self, at_frac: FloatArray) -> BoolArray:
        """Everything is feasible, [B]."""
        return np.ones(len(at_frac), dtype=bool)


@dataclass(frozen=True)
class FormulaPredictor:
    """A surrogate that knows the formula: intervals of zero width."""

    truth: FormulaTruth
    version: str = "closed-form-1"

    def predict(self, at_frac: FloatArray) -> Prediction:
        """Predict a batch, [B, E]."""
        mean, n = self.truth.truth(at_frac), len(at_frac)
        return Prediction(
            p_feasible=np.ones(n),
            mean=mean,
            lower=mean,
            upper=mean,
            spread=np.zeros_like(mean),
            distance=np.zeros(n),
            in_domain=np.ones(n, dtype=bool),
            reason=np.full(n, DomainReason.INSIDE, dtype=np.uint8),
            version=self.version,
        )


def closed_form_problem() -> DesignProblem:
    """Six elements, one base, one property."""
    return DesignProblem.model_validate(
        {
            "name": "closed-form",
            "title": "An alloy with a known optimum",
            "elements": tuple(WINDOW),
            "feasibility": {
                "key": "p", "label": "p", "label_column": "class", "flag_column": "good", "classes": ("good", "bad"),
                "positive": "good", "threshold": 0.5,
            },
            "properties": [
                {"key": QUALITY, "symbol": "q", "label": "quality", "unit": "%", "direction": "maximize",
                 "plausible": (-1e4, 1e4)},
            ],
            "bases": (BASE,),
            "goals": {"best": {"title": "best", "percentile": 75, "objectives": [[QUALITY]]}},
            "default_goal": "best",
        }
    )  # fmt: skip


def closed_form_task(settings: DesignSettings) -> DesignTask:
    """The task of coming within 5 % of the optimum."""
    problem = closed_form_problem()
    lower, upper = (np.array([[WINDOW[e][side] / 100 for e in problem.elements]]) for side in (0, 1))
    bounds = free_goals(1, 1)
    bounds.at_least[:] = AT_LEAST
    scaled = np.full((1, 1), AT_LEAST / 100)
    return DesignTask(
        problem=problem,
        bases=(BASE,),
        windows=Limits(lower, upper, np.array([problem.element_index[BASE]]), np.array([len(WINDOW)])),
        goals=FixedGoals(bounds.at_least, bounds.at_most),
        settings=settings.env,
        scale=ObservationScale(np.array([50.0]), np.array([25.0])),
        paper_scale=PaperScale(scaled, np.ones(1), np.zeros(1), np.array([100.0])),
    )


def closed_form_bench(settings: DesignSettings) -> Any:
    """What a run works with; there is no table, and so no trusted pool."""
    task = closed_form_task(settings)
    truth = FormulaTruth(from_mapping(TARGET, task.problem.elements))
    predictor = FormulaPredictor(truth)
    data = SimpleNamespace(name="closed-form", checksum="", synthetic=True, oracle=truth)
    return SimpleNamespace(
        settings=settings, problem=task.problem, task=task, predictor=predictor, judge=predictor, data=data,
        scorer=None, distilled=None, goals=(),
    )  # fmt: skip
