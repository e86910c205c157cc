"""Goals drawn per episode, bases that training never sees, and networks that can do without knowing the base."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from aimat_ray.config import load_settings
from aimat_ray.errors import BadInputError, ConfigError
from aimat_ray.rl.prepare import Inputs, read_inputs
from aimat_ray.rl.td3_module import Actor, Critic


def inputs(**options: Any) -> Inputs:
    given = {"base": "Zr,Cu,Fe", "data": "oracle"} | {name.replace("__", "."): value for name, value in options.items()}
    return read_inputs(load_settings(None, given), lambda text: None)


def drawn(kind: str) -> Any:
    asked = inputs(goals__kind=kind)
    base, rng = np.arange(60) % 3, np.random.default_rng(0)
    start = np.random.default_rng(1).uniform(1, 100, (60, len(asked.problem.quantity_keys)))
    return asked, start, asked.task.goals.draw(base, start, rng)


def test_fixed_goals_are_those_that_the_run_names() -> None:
    asked, _, goals = drawn("fixed")
    assert np.isinf(goals.max_change).all()
    assert (goals.at_least[0] == goals.at_least[3]).all()
    wanted = [objective.quantity for objective in asked.goals[0].objectives]
    assert [asked.problem.quantity_keys[q] for q in np.flatnonzero(goals.asked[0])] == wanted


def test_random_goals_ask_for_percentiles_of_the_feasible_rows_of_the_base() -> None:
    asked, _, goals = drawn("random")
    q = asked.problem.quantity_index("dmax_mm")
    bounds = goals.at_least[np.isfinite(goals.at_least[:, q]), q]
    measured = asked.problem.with_derived(asked.data.regression.values)[:, q]
    assert len(np.unique(bounds)) > 5
    assert bounds.max() <= np.nanmax(measured)
    assert np.isinf(goals.max_change).all()


def test_relative_goals_start_from_the_start() -> None:
    asked, start, goals = drawn("relative")
    np.testing.assert_allclose(goals.max_change, 0.08)
    assert (goals.asked.sum(axis=1) == 2).all()
    gain = np.where(np.isfinite(goals.at_least), goals.at_least / start - 1, 0.0)
    assert ((gain.max(axis=1) >= 0.049) & (gain.max(axis=1) <= 0.151)).mean() > 0.5
    assert {o.quantity for goal in asked.goals for o in goal.objectives} >= {
        asked.problem.quantity_keys[q] for q in np.flatnonzero(goals.asked.any(axis=0))
    }


def test_mixed_goals_are_of_all_kinds() -> None:
    _, _, goals = drawn("mixed")
    named = inputs().task.goals.draw(np.arange(60) % 3, np.zeros_like(goals.at_least), np.random.default_rng(0))
    near = np.isfinite(goals.max_change)
    as_named = (goals.at_least == named.at_least).all(axis=1) & ~near
    assert 8 <= near.sum() <= 32
    assert 8 <= as_named.sum() <= 32
    assert 8 <= (~near & ~as_named).sum() <= 32


@pytest.mark.parametrize("setting", ["percentiles", "gain"])
def test_a_range_that_goes_down_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="smaller value first"):
        load_settings(None, {f"goals.{setting}": [0.9, 0.1]})


def test_held_out_bases_are_not_designed() -> None:
    assert inputs(hold_out=["Cu"]).task.bases == ("Zr", "Fe")
    with pytest.raises(BadInputError, match="Xx"):
        inputs(hold_out=["Xx"])
    with pytest.raises(BadInputError, match="held out"):
        inputs(hold_out=["Zr", "Cu", "Fe"])


def test_hidden_columns_change_neither_action_nor_value() -> None:
    seen = torch.tensor([1.0, 0.0, 0.0, 1.0])
    actor, critic = Actor(seen, 2, (8,)), Critic(seen, 2, (8,), layer_norm=True)
    obs = torch.rand(5, 4)
    other = obs + torch.tensor([0.0, 3.0, -2.0, 0.0])
    assert torch.equal(actor(obs), actor(other))
    assert torch.equal(critic(obs, actor(obs)), critic(other, actor(obs)))
    assert not torch.equal(actor(obs), actor(obs + 1))
