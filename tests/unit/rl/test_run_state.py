"""The checkpoint part without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimat_ray.errors import RunError
from aimat_ray.rl.run_state import RunState, flatten, unflatten

STATE = {"counters": np.arange(3), "runners": {"0": {"env": {"rng": "text", "t": 5, "x": np.eye(2)}}}}


def test_round_trip_through_a_folder(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    part = RunState(seen.update)
    part.save_to_path(tmp_path / "run_state", state=STATE)
    part.restore_from_path(tmp_path / "run_state")
    assert seen["counters"].tolist() == [0, 1, 2]
    env = seen["runners"]["0"]["env"]
    assert (str(env["rng"]), int(env["t"])) == ("text", 5)
    assert (env["x"] == np.eye(2)).all()


def test_names_are_dotted() -> None:
    assert set(flatten(STATE)) == {"counters", "runners.0.env.rng", "runners.0.env.t", "runners.0.env.x"}
    assert unflatten(flatten({"a": {"b": 1}})) == {"a": {"b": 1}}


def test_objects_are_refused() -> None:
    with pytest.raises(RunError, match=r"runner\.thing"):
        flatten({"runner": {"thing": object()}})
