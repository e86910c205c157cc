"""What a learner tells of its training."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from aimat_ray.contest.curves import Curve

KEYS = ("youngs_modulus_gpa", "yield_strength_mpa")


def test_parts_of_the_training_count_from_its_own_first_step() -> None:
    state = SimpleNamespace(prediction=SimpleNamespace(mean=np.array([[90.0, 1_500.0], [np.nan, 1.0]])))
    env = SimpleNamespace(state=state, task=SimpleNamespace(problem=SimpleNamespace(property_keys=KEYS)))
    curve = Curve(env)
    for predictions in range(5_000, 6_001, 50):  # what came before was spent on archive and pool
        curve.add(predictions, predictions - 5_000, {"env_runners": {"episode_return_mean": 1.0}})
    parts = {
        name: [row["predictions"] for row in curve.clouds() if row["part"] == name]
        for name in ("start", "middle", "end")
    }
    assert parts == {"start": [5_000, 5_050, 5_100], "middle": [5_450, 5_500, 5_550], "end": [5_900, 5_950, 6_000]}
    assert len(curve.rows()) == 21 and curve.rows()[0]["return_mean"] == 1.0


def test_an_environment_without_these_properties_has_no_cloud() -> None:
    env = SimpleNamespace(state=None, task=SimpleNamespace(problem=SimpleNamespace(property_keys=("quality_pct",))))
    curve = Curve(env)
    curve.add(10, 10, {})
    assert curve.clouds() == [] and curve.rows()[0]["return_mean"] is None
