"""Proposed moves: legal by construction, of every kind, and exactly what they say."""

from __future__ import annotations

import numpy as np
import pytest
from env_worlds import small_world

from aimat_ray.env.legality import check_legality
from aimat_ray.env.transition import simplex_step
from aimat_ray.env.walk import fresh_walks, limits_of, move
from aimat_ray.problem import DesignProblem
from aimat_ray.search import proposals
from aimat_ray.search.proposals import KIND_SHARES, Kind, propose, simplex_proposals


def test_shares_cover_every_kind() -> None:
    assert len(KIND_SHARES) == len(Kind)
    assert sum(KIND_SHARES) == pytest.approx(1)


@pytest.mark.parametrize("mode", ["simplex", "paper"])
def test_shapes_and_range(problem: DesignProblem, mode: str) -> None:
    task, predictor = small_world(problem, mode=mode)
    state = fresh_walks(task, predictor, np.arange(6, dtype=np.intp) % 2, np.random.default_rng(0))
    actions = propose(task, state, 50, np.random.default_rng(1))
    assert actions.shape == (300, 7 if mode == "paper" else len(problem.elements))
    assert np.abs(actions).max() <= 1
    again = propose(task, state, 50, np.random.default_rng(1))
    np.testing.assert_array_equal(actions, again)
    rows = np.repeat(np.arange(6), 50)
    moved = move(task, state.rows(rows), actions)
    changed = np.abs(moved - state.at_frac[rows]).max(axis=1)
    assert (changed > 1e-6).mean() > 0.95  # hardly any proposal does nothing
    if mode == "paper":
        np.testing.assert_allclose(moved.sum(axis=1), 1)
    else:
        assert check_legality(moved, limits_of(task, state.base[rows])).legal.all()


def moves_of(problem: DesignProblem, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Compositions before and after proposals of one kind only."""
    monkeypatch.setattr(proposals, "KIND_SHARES", tuple(float(k == kind) for k in Kind))
    task, predictor = small_world(problem)
    state = fresh_walks(task, predictor, np.arange(400, dtype=np.intp) % 2, np.random.default_rng(0))
    limits = limits_of(task, state.base)
    actions = simplex_proposals(state.at_frac, limits, task.max_step, np.random.default_rng(1))
    return state.at_frac, simplex_step(state.at_frac, actions, limits, task.max_step)


def test_a_transfer_leaves_all_but_two_alone(problem: DesignProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = moves_of(problem, Kind.TRANSFER, monkeypatch)
    changed = (np.abs(after - before) > 1e-9).sum(axis=1)
    assert np.median(changed) == 2
    assert (changed == 2).mean() > 0.8  # more where the window or the base holds one of the two back


def test_an_entry_adds_one_element(problem: DesignProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = moves_of(problem, Kind.ENTER, monkeypatch)
    grown = (after > 0).sum(axis=1) - (before > 0).sum(axis=1)
    can_grow = (before > 0).sum(axis=1) < 4
    assert set(grown[can_grow].tolist()) <= {0, 1}
    assert (grown[can_grow] == 1).mean() > 0.7  # its donor may leave at the same time


def test_leaving_takes_a_whole_step(problem: DesignProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = moves_of(problem, Kind.LEAVE, monkeypatch)
    loss = (before - after).max(axis=1)
    left = ((after > 0).sum(axis=1) < (before > 0).sum(axis=1)).mean()
    assert left > 0.05
    assert (loss > 0.049).mean() > 0.5


def test_dense_moves_move_everything(problem: DesignProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = moves_of(problem, Kind.DENSE, monkeypatch)
    changed = ((np.abs(after - before) > 1e-9) & (before > 0)).sum(axis=1)
    assert np.median(changed) == np.median((before > 0).sum(axis=1))
