"""The differentiable effect against env/transition.py, which rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aimat_ray.env.legality import Limits, check_legality
from aimat_ray.env.transition import exchanged, keep_near, simplex_step
from aimat_ray.errors import ConfigError
from aimat_ray.rl.effect import IdentityEffect, ProjectedEffect, build_effect

E, WINDOWS, STEP = 20, 4, 0.05


def make_windows(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random windows: base w is element w, one always-present companion, a dozen optional elements."""
    lower, upper = np.zeros((WINDOWS, E)), np.zeros((WINDOWS, E))
    for w in range(WINDOWS):
        others = rng.permutation(np.arange(WINDOWS, E))[:13]
        upper[w, others] = rng.uniform(0.03, 0.35, 13)
        upper[w, w], lower[w, w] = rng.uniform(0.85, 1.0), 0.3
        lower[w, others[0]], upper[w, others[0]] = 0.02, 0.3
    return {"lower": lower, "upper": upper, "base": np.arange(WINDOWS), "max_elements": rng.integers(4, 8, WINDOWS)}


def limits_of(windows: dict[str, np.ndarray], window: np.ndarray) -> Limits:
    rows = {name: values[window] for name, values in windows.items()}
    return Limits(rows["lower"], rows["upper"], rows["base"], rows["max_elements"])


def legal_starts(rng: np.random.Generator, windows: dict[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    window = rng.integers(WINDOWS, size=20 * n)
    x = np.zeros((20 * n, E))
    for row, w in enumerate(window):
        always = np.flatnonzero(windows["lower"][w] > 0)
        optional = np.flatnonzero((windows["upper"][w] > 0) & (windows["lower"][w] == 0))
        chosen = np.r_[always, rng.permutation(optional)[: rng.integers(1, windows["max_elements"][w] - 1)]]
        x[row, chosen] = rng.uniform(0.001, 0.1, len(chosen))
        x[row, w] = 0.0
        x[row, w] = 1 - x[row].sum()
    legal = np.flatnonzero(check_legality(x, limits_of(windows, window)).legal)[:n]
    assert len(legal) == n
    return window[legal], x[legal]


def observe(x: np.ndarray, window: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([x, np.eye(WINDOWS)[window], np.ones((len(x), 3))], axis=1))


@pytest.mark.parametrize("scale", [0.2, 0.7, 3.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_the_environment_along_walks(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = make_windows(rng)
    window, x = legal_starts(rng, windows, 64)
    effect, limits = ProjectedEffect(**windows, max_step=STEP), limits_of(windows, window)
    for _ in range(25):
        action = np.clip(
            rng.normal(0, scale, (64, E)), -1, 1
        )  # at 3.0 most are exactly -1 or 1: ties among the entering
        after = simplex_step(x, action, limits, STEP)
        ours = effect(observe(x, window), torch.from_numpy(action)).numpy()
        np.testing.assert_allclose(ours, (after - x) / STEP, atol=1e-6, rtol=0)
        single = effect(observe(x, window).float(), torch.from_numpy(action).float()).numpy()
        assert np.mean(np.abs(single - ours).max(axis=1) < 1e-4) > 0.95  # thresholds may flip a row in float32
        x = after


def observe_reach(x: np.ndarray, start: np.ndarray, window: np.ndarray, most: np.ndarray) -> torch.Tensor:
    """Composition, base, displacement and change left, as env.observation scales them."""
    left = np.where(np.isfinite(most), np.where(np.isfinite(most), most, 0.0) - exchanged(x, start), 1.0)
    displacement = np.where(np.isfinite(most)[:, None], 10.0 * (x - start), 0.0)
    return torch.from_numpy(
        np.concatenate([x, np.eye(WINDOWS)[window], displacement, (5 * left[:, None]).clip(-1, 1)], 1)
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_the_environment_where_the_change_is_limited(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = make_windows(rng)
    window, start = legal_starts(rng, windows, 64)
    limits, most = limits_of(windows, window), rng.choice([0.02, 0.08, np.inf], 64)
    effect = ProjectedEffect(**windows, max_step=STEP, reach=(E + WINDOWS, 2 * E + WINDOWS))
    x, n_kept = start, 0
    for _ in range(12):
        action = np.clip(rng.normal(0, 0.7, (64, E)), -1, 1)
        moved = simplex_step(x, action, limits, STEP)
        after = keep_near(moved, x, start, most, limits)
        n_kept += int((np.abs(moved - after).max(axis=1) > 1e-9).sum())
        obs = observe_reach(x, start, window, most)
        ours = effect(obs, torch.from_numpy(action)).numpy()
        np.testing.assert_allclose(ours, (after - x) / STEP, atol=1e-5, rtol=0)
        single = effect(obs.float(), torch.from_numpy(action).float()).numpy()
        assert np.mean(np.abs(single - ours).max(axis=1) < 1e-3) > 0.9  # thresholds may flip a row in float32
        x = after
    assert n_kept > 100


def test_gradient_is_exact_where_the_change_is_limited() -> None:
    rng = np.random.default_rng(6)
    windows = make_windows(rng)
    window, x = legal_starts(rng, windows, 24)
    effect = ProjectedEffect(**windows, max_step=STEP, reach=(E + WINDOWS, 2 * E + WINDOWS))
    obs = observe_reach(x, x, window, np.full(24, 0.02))
    action = torch.from_numpy(rng.uniform(-0.45, 0.45, (24, E))).requires_grad_()  # nothing enters: no traces
    assert (effect(obs, action) - effect(obs, 10 * action)).abs().max() > 0
    assert torch.autograd.gradcheck(lambda a: effect(obs, a), action, eps=1e-7, atol=1e-5)


def test_hand_worked_move() -> None:
    # Base 0 at 0.6, element 1 at 0.4, absent element 2 wishes 1.0, everything else at rest; wide windows.
    # Pushes: 0, 0, +0.05 -> sum 1.05; the three share the excess: -0.05/3 each.
    effect = ProjectedEffect(np.zeros((1, 3)), np.ones((1, 3)), [0], [3], STEP)
    obs = torch.tensor([[0.6, 0.4, 0.0]], dtype=torch.float64)
    change = effect(obs, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64))
    np.testing.assert_allclose(change.numpy() * STEP, [[-0.05 / 3, -0.05 / 3, 0.1 / 3]], atol=1e-12)


def test_gradient_is_exact() -> None:
    rng = np.random.default_rng(5)
    windows = make_windows(rng)
    window, x = legal_starts(rng, windows, 24)
    effect = ProjectedEffect(**windows, max_step=STEP)
    obs = observe(x, window)
    action = torch.from_numpy(rng.uniform(-0.95, 0.95, (24, E))).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: effect(obs, a), action, eps=1e-7, atol=1e-5)


def test_gradient_where_the_base_caps_an_element() -> None:
    # Base 0.36 is pushed down, element 1 at 0.35 up: they meet and move together; gradcheck proves the shared part.
    effect = ProjectedEffect(np.zeros((1, 4)), np.ones((1, 4)), [0], [4], STEP)
    obs = torch.tensor([[0.36, 0.35, 0.2, 0.09]], dtype=torch.float64)
    action = torch.tensor([[-0.6, 0.7, 0.1, 0.0]], dtype=torch.float64, requires_grad=True)
    after = obs + STEP * effect(obs, action)
    assert float(after[0, 0].detach()) == pytest.approx(float(after[0, 1].detach()))
    assert torch.autograd.gradcheck(lambda a: effect(obs, a), action, eps=1e-7, atol=1e-6)


def test_base_can_be_read_from_the_largest_fraction() -> None:
    rng = np.random.default_rng(3)
    windows = make_windows(rng)
    window, x = legal_starts(rng, windows, 32)
    action = torch.from_numpy(rng.uniform(-1, 1, (32, E)))
    by_block = ProjectedEffect(**windows)(observe(x, window), action)
    by_size = ProjectedEffect(**windows, base_from="largest")(torch.from_numpy(x), action)
    assert torch.equal(by_block, by_size)


def errors(effect: ProjectedEffect, obs: torch.Tensor, action: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return effect.label_error(obs, action, effect(obs, action), label)


def test_label_error_vanishes_for_the_action_that_made_the_label() -> None:
    rng = np.random.default_rng(4)
    windows = make_windows(rng)
    window, x = legal_starts(rng, windows, 64)
    effect, obs = ProjectedEffect(**windows), observe(x, window)
    action = torch.from_numpy(rng.uniform(-1, 1, (64, E)))
    assert errors(effect, obs, action, effect(obs, action)).abs().max() == 0


def test_label_error_leads_an_absent_element_to_its_entry() -> None:
    effect = ProjectedEffect(np.zeros((1, 3)), np.ones((1, 3)), [0], [3])
    obs = torch.tensor([[0.6, 0.4, 0.0]])
    # Element 2 shall enter by 0.4, which takes the action 0.5 + 0.4 / 2 = 0.7; from -0.3 that is 1.0 away.
    # The others are compared by effect: (0.2, -0.6, 0) loses its mean over the two present elements: (0.4, -0.4, 0).
    action = torch.tensor([[0.2, -0.6, -0.3]], requires_grad=True)
    error = errors(effect, obs, action, torch.tensor([[0.2, -0.6, 0.4]]))
    torch.testing.assert_close(error, torch.tensor([[0.2, 0.2, -1.0]]))
    error.square().sum().backward()
    assert action.grad is not None
    assert action.grad[0, 2] < 0  # descending raises the action towards the entry
    # An absent element that shall stay out and does costs nothing.
    error = errors(effect, obs, torch.tensor([[0.2, -0.2, 0.4]]), torch.tensor([[0.2, -0.2, 0.0]]))
    torch.testing.assert_close(error, torch.zeros(1, 3))


def test_a_wanted_path_can_be_learned_through_the_effect() -> None:
    # Descending the squared error from rest finds actions whose effects are the labels, entries included.
    rng = np.random.default_rng(8)
    windows = make_windows(rng)
    window, x = legal_starts(rng, windows, 32)
    effect, obs = ProjectedEffect(**windows), observe(x, window)
    label = effect(obs, torch.from_numpy(rng.uniform(-1, 0.9, (32, E))))
    action = torch.zeros(32, E, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([action], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        errors(effect, obs, action, label).square().sum().backward()
        optimizer.step()
    left = (effect(obs, action).detach() - label).square().sum(1)
    assert left.median() < 0.02 * label.square().sum(1).median()


def test_identity() -> None:
    action = torch.rand(4, 3)
    effect = build_effect({"kind": "identity"})
    assert isinstance(effect, IdentityEffect)
    assert effect(torch.rand(4, 2), action) is action


@pytest.mark.parametrize("spec", [{}, {"kind": "magic"}, {"kind": "identity", "lower": 1}])
def test_unknown_specifications_are_refused(spec: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="effect"):
        build_effect(spec)


def test_forward_does_not_change_its_inputs() -> None:
    rng = np.random.default_rng(6)
    windows = make_windows(rng)
    window, x = legal_starts(rng, windows, 16)
    obs, action = observe(x, window), torch.from_numpy(rng.uniform(-1, 1, (16, E)))
    obs_before, action_before = obs.clone(), action.clone()
    ProjectedEffect(**windows)(obs, action)
    assert torch.equal(obs, obs_before)
    assert torch.equal(action, action_before)
