"""Stored transitions brought to another surrogate equal what the environment would have made with it."""

import numpy as np
import pytest
from analytic_world import AnalyticPredictor, linear
from env_worlds import small_world

from aimat_ray.env.alloy_env import AlloyVectorEnv
from aimat_ray.env.goals import RelativeGoals
from aimat_ray.experience.buffer import FlatReplayBuffer, transition_schema
from aimat_ray.refine.swap import goals_in, recompute


class Switch:
    """A predictor that can be switched to another one."""

    def __init__(self, predictor):
        self.now = predictor

    @property
    def version(self):
        return self.now.version

    def predict(self, at_frac):
        return self.now.predict(at_frac)


def second(problem):
    """Another law with another boundary of feasibility."""
    nickel = problem.element_index["Ni"]
    return AnalyticPredictor(
        linear(problem, dmax_mm={"Al": 0.8, "Cu": 0.1, "Ag": 0.3}),
        p_feasible=lambda x: np.clip(0.5 + 5 * (0.2 - x[:, nickel]), 0.0, 1.0),
        version="analytic-2",
    )


def lived(task, predictor, n_steps=60, seed=3, n_envs=24):
    """Transitions of random walks in a buffer, and the same walks' compositions under another predictor."""
    env = AlloyVectorEnv(n_envs, task, predictor, max_steps=12, seed=seed)
    obs, _ = env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    width = env.single_observation_space.shape[0]
    extras = {"max_change": ((), np.float32)}
    buffer = FlatReplayBuffer(transition_schema(width, env.single_action_space.shape[0], extras), 10_000, rng)
    ended = np.zeros(n_envs, bool)
    for _ in range(n_steps):
        action = rng.uniform(-1, 1, (n_envs, env.single_action_space.shape[0]))
        after, reward, terminated, truncated, info = env.step(action)
        keep = ~ended
        columns = {"obs": obs, "actions": action, "rewards": reward, "next_obs": after, "terminateds": terminated}
        columns["max_change"] = info["max_change"]
        buffer.add({name: np.asarray(values)[keep] for name, values in columns.items()})
        obs, ended = after, terminated | truncated
    return buffer


def copied(buffer):
    return {name: buffer.column(name).copy() for name in buffer.schema}


def relative(task, problem):
    from dataclasses import replace

    quantity = problem.quantity_index("dmax_mm")
    wide = replace(task.scale, width=np.maximum(task.scale.width, 10.0))
    return replace(task, scale=wide, goals=RelativeGoals((quantity,), (), problem.maximize, max_change=0.15))


@pytest.mark.parametrize("goals", ["fixed", "relative"])
def test_the_same_version_changes_nothing(problem, goals):
    task, predictor = small_world(problem)
    if goals == "relative":
        task = relative(task, problem)
    buffer = lived(task, predictor)
    before = copied(buffer)
    done = recompute(buffer, task, predictor, None)
    assert done.rows == len(buffer) and done.version == predictor.version
    np.testing.assert_array_equal(buffer.column("terminateds"), before["terminateds"])
    for name in ("rewards", "obs", "next_obs"):
        np.testing.assert_allclose(buffer.column(name), before[name], atol=2e-4)
    np.testing.assert_array_equal(buffer.column("actions"), before["actions"])
    assert done.predictions < 2 * done.rows  # the end of one step is the beginning of the next


def test_another_version_gives_what_the_environment_would_have_given(problem):
    task, predictor = small_world(problem)
    buffer, other = lived(task, predictor), second(problem)
    before = copied(buffer)
    recompute(buffer, task, other, None, threads=2)
    # The step by hand: progress 5 per unit of closeness dmax / 8, cost 0.01, goal 2, barrier below p = 0.8.
    where = task.layout.blocks["at_frac"]
    x, y = before["obs"][:, where].astype(float), before["next_obs"][:, where].astype(float)
    dmax = problem.property_keys.index("dmax_mm")
    close = [np.minimum(other.predict(z / z.sum(1, keepdims=True)).mean[:, dmax] / 8.0, 1.0) for z in (x, y)]
    p = other.p_feasible(y)
    feasible = p >= 0.5
    goal = feasible & (close[1] >= 1.0)
    expected = np.where(feasible, 5 * (close[1] - close[0]), -2.0) - 0.01 + 2.0 * goal - 0.5 * np.maximum(0.8 - p, 0)
    np.testing.assert_allclose(buffer.column("rewards"), expected, atol=1e-4)
    np.testing.assert_array_equal(buffer.column("terminateds"), (~feasible | goal).astype(np.float32))
    assert np.abs(buffer.column("rewards") - before["rewards"]).max() > 0.5


def test_goals_are_read_back_from_observations(problem):
    task, predictor = small_world(problem)
    buffer = lived(relative(task, problem), predictor, n_steps=8)
    goals = goals_in(task, buffer.column("obs").astype(float), buffer.column("max_change").astype(float))
    np.testing.assert_allclose(goals.max_change, 0.15, atol=1e-6)
    assert np.isfinite(goals.at_least).sum(axis=1).tolist() == [1] * len(buffer)


def test_an_environment_goes_on_with_the_new_version_between_two_steps(problem):
    task, predictor = small_world(problem)
    switch = Switch(predictor)
    env = AlloyVectorEnv(8, task, switch, max_steps=12, seed=1)
    env.reset(seed=1)
    env.step(np.zeros((8, env.single_action_space.shape[0])))
    switch.now = second(problem)
    at_frac = env.state.at_frac.copy()
    env.refresh()
    assert env.state.prediction.version == "analytic-2"
    np.testing.assert_array_equal(env.state.at_frac, at_frac)
    np.testing.assert_array_equal(env.state.prediction.mean, switch.now.predict(at_frac).mean)
    for _ in range(15):  # ends of episodes and fresh starts included
        env.step(np.random.default_rng(0).uniform(-1, 1, (8, env.single_action_space.shape[0])))
        assert env.state.prediction.version == "analytic-2"


def test_an_empty_buffer_needs_nothing(problem):
    task, predictor = small_world(problem)
    buffer = FlatReplayBuffer(transition_schema(task.layout.size, 52), 10, np.random.default_rng(0))
    assert recompute(buffer, task, predictor, None).rows == 0


class Changed:
    """One property of a predictor, as `ChangedProperty` gives it."""

    def __init__(self, predictor, target):
        self.version, self.target, self._predictor, self.asked = predictor.version, target, predictor, 0

    def predict(self, at_frac):
        self.asked += len(at_frac)
        said = self._predictor.predict(at_frac)
        return said.mean[:, self.target], said.spread[:, self.target]


class OnlyCounts:
    """A predictor that counts whole predictions."""

    def __init__(self, predictor):
        self.version, self._predictor, self.asked = predictor.version, predictor, 0

    def predict(self, at_frac):
        self.asked += len(at_frac)
        return self._predictor.predict(at_frac)


@pytest.mark.parametrize("width", [100.0, 0.4], ids=["all told", "some values cut off"])
def test_carrying_over_what_did_not_change_gives_the_same_as_predicting_all(problem, width):
    from dataclasses import replace

    task, predictor = small_world(problem)
    # observations end at ten times the width
    task = replace(task, scale=replace(task.scale, width=np.full_like(task.scale.width, width)))
    one, two = lived(task, predictor), lived(task, predictor)
    other = AnalyticPredictor(second(problem).values, p_feasible=predictor.p_feasible, version="analytic-3")
    changed, whole = Changed(other, problem.property_keys.index("dmax_mm")), OnlyCounts(other)
    recompute(one, task, other, None)
    done = recompute(two, task, whole, None, threads=2, changed=changed)
    assert changed.asked == done.predictions
    assert (whole.asked == 0) == (width == 100.0)
    np.testing.assert_array_equal(one.column("terminateds"), two.column("terminateds"))
    for name in ("rewards", "obs", "next_obs"):
        np.testing.assert_allclose(one.column(name), two.column(name), atol=2e-4)


def test_robust_rewards_are_predicted_anew(problem):
    from dataclasses import replace

    task, predictor = small_world(problem)
    robust = task.settings.reward.model_copy(update={"robust": True})
    task = replace(task, settings=task.settings.model_copy(update={"reward": robust}))
    buffer, other = lived(task, predictor, n_steps=10), second(problem)
    changed, whole = Changed(other, 0), OnlyCounts(other)
    recompute(buffer, task, whole, None, changed=changed)
    assert changed.asked == 0 and whole.asked > 0
