"""Walks as nested dicts of arrays and back, for checkpoints that hold no pickled objects."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from aimat_ray.env.goals import GoalBatch
from aimat_ray.env.walk import WalkState
from aimat_ray.prediction import ARRAY_FIELDS, from_columns


def walks_to_arrays(walks: WalkState) -> dict[str, Any]:
    """Every array of `walks`, by name."""
    arrays: dict[str, Any] = {name: getattr(walks, name) for name in ("at_frac", "start", "base", "step")}
    arrays["goals"] = {name: getattr(walks.goals, name) for name in ("at_least", "at_most", "max_change")}
    arrays["prediction"] = {name: getattr(walks.prediction, name) for name in ARRAY_FIELDS}
    arrays["version"] = walks.prediction.version
    return arrays


def walks_from_arrays(arrays: dict[str, Any]) -> WalkState:
    """The reverse of `walks_to_arrays`."""
    return WalkState(
        at_frac=np.array(arrays["at_frac"]),
        start=np.array(arrays["start"]),
        base=np.array(arrays["base"]),
        step=np.array(arrays["step"]),
        goals=GoalBatch(*(np.array(arrays["goals"][name]) for name in ("at_least", "at_most", "max_change"))),
        prediction=from_columns(
            {name: np.array(arrays["prediction"][name]) for name in ARRAY_FIELDS}, str(arrays["version"])
        ),
    )


def generator_to_text(rng: np.random.Generator) -> str:
    """State of a generator."""
    return json.dumps(rng.bit_generator.state)


def generator_from_text(text: Any, rng: np.random.Generator) -> None:
    """Continue from `generator_to_text`."""
    rng.bit_generator.state = json.loads(str(text))
