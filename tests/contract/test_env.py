"""The environment against gymnasium's contract and its own promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from env_worlds import small_world
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from aimat_ray.data.goals import goal_for_base
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.env.alloy_env import AlloyEnv, AlloyVectorEnv
from aimat_ray.env.goals import HarderGoals, RelativeGoals
from aimat_ray.env.legality import FloatArray, check_legality
from aimat_ray.env.task import DesignTask, fixed_goals, make_task
from aimat_ray.env.walk import judge, limits_of
from aimat_ray.prediction import Prediction, Predictor
from aimat_ray.problem import DesignProblem


class CountsCalls:
    """A predictor that counts questions."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.calls: list[int] = []

    @property
    def version(self) -> str:
        return self.predictor.version

    def predict(self, at_frac: FloatArray) -> Prediction:
        self.calls.append(len(at_frac))
        return self.predictor.predict(at_frac)


@pytest.fixture(scope="module")
def oracle(problem: DesignProblem) -> AlloyData:
    return load_data("oracle:0", problem)


def oracle_task(data: AlloyData, **settings: Any) -> tuple[DesignTask, Predictor]:
    from aimat_ray.config import EnvSettings

    problem = data.problem
    goals = {base: goal_for_base(problem, data, base) for base in ("Zr", "Cu", "Fe", "Mg", "La", "Au")}
    known = tuple(goal for goal in goals.values() if goal is not None)
    bases = tuple(goal.base for goal in known)
    task = make_task(problem, data, bases, fixed_goals(problem, known), EnvSettings(**settings))
    assert data.oracle is not None
    return task, data.oracle


def random_actions(env: AlloyVectorEnv, seed: int, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = env.action_space.shape
    return [rng.uniform(-1, 1, shape).astype(np.float32) for _ in range(n)]


@pytest.mark.parametrize("mode", ["simplex", "paper"])
@pytest.mark.parametrize("observation", ["full", "fractions"])
@pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")
def test_single_form_passes_the_checker(problem: DesignProblem, mode: str, observation: str) -> None:
    task, predictor = small_world(problem, mode=mode, observation=observation)
    check_env(AlloyEnv(task, predictor), skip_render_check=True)


@pytest.mark.parametrize("mode", ["simplex", "paper"])
def test_two_copies_with_one_seed_agree(oracle: AlloyData, mode: str) -> None:
    task, predictor = oracle_task(oracle, mode=mode)
    one, two = (AlloyVectorEnv(24, task, predictor, max_steps=9) for _ in range(2))
    np.testing.assert_array_equal(one.reset(seed=7)[0], two.reset(seed=7)[0])
    for action in random_actions(one, 3, 50):
        first, second = one.step(action), two.step(action)
        for a, b in zip(first[:4], second[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        assert first[4].keys() == second[4].keys()
        for name in first[4]:
            np.testing.assert_array_equal(first[4][name], second[4][name])
    assert not np.array_equal(one.reset(seed=8)[0], two.reset(seed=9)[0])


@pytest.mark.parametrize("mode", ["simplex", "paper"])
def test_vector_equals_single(oracle: AlloyData, mode: str) -> None:
    """Every walk of a batch goes as it would alone, to the bit."""
    task, predictor = oracle_task(oracle, mode=mode)
    batch = AlloyVectorEnv(12, task, predictor)
    batch.reset(seed=1)
    alone = []
    for i in range(12):
        env = AlloyVectorEnv(1, task, predictor)
        env.reset(seed=1)
        env.state = batch.state.rows(np.array([i]))
        alone.append(env)
    running = np.ones(12, dtype=bool)
    for action in random_actions(batch, 2, 15):
        observation, reward, terminated, truncated, _ = batch.step(action)
        for i in np.flatnonzero(running):
            row = alone[i].step(action[i : i + 1])
            np.testing.assert_array_equal(row[0][0], observation[i])
            assert (row[1][0], row[2][0], row[3][0]) == (reward[i], terminated[i], truncated[i])
        running &= ~(terminated | truncated)


def test_single_form_is_a_vector_of_one(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    single, vector = AlloyEnv(task, predictor), AlloyVectorEnv(1, task, predictor)
    np.testing.assert_array_equal(single.reset(seed=4)[0], vector.reset(seed=4)[0][0])
    for action in random_actions(vector, 5, 10):
        one, many = single.step(action[0]), vector.step(action)
        np.testing.assert_array_equal(one[0], many[0][0])
        assert one[1:4] == (many[1][0], many[2][0], many[3][0])


def test_next_step_autoreset(problem: DesignProblem) -> None:
    """The step after an end ignores the action, costs nothing, and returns the next episode's first observation."""
    task, predictor = small_world(problem)
    env = AlloyVectorEnv(16, task, predictor, max_steps=3)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    env.reset(seed=0)
    ended = np.zeros(16, dtype=bool)
    seen_ends = 0
    for action in random_actions(env, 1, 30):
        before = env.state
        observation, reward, terminated, truncated, info = env.step(action)
        assert (reward[ended] == 0).all()
        assert not terminated[ended].any() and not truncated[ended].any()
        assert (env.state.step[ended] == 0).all()
        np.testing.assert_array_equal(env.state.start[ended], env.state.at_frac[ended])
        started = judge(task, env.state.rows(ended)) if ended.any() else None
        assert started is None or (started.feasible.all() and not started.goal.any())
        walking = ~ended
        assert (env.state.step[walking] == before.step[walking] + 1).all()
        np.testing.assert_array_equal(env.state.start[walking], before.start[walking])
        if "effect" in info:
            assert (info["effect"][ended] == 0).all()
        assert observation.dtype == np.float32 and env.observation_space.contains(observation)
        ended = terminated | truncated
        seen_ends += int(ended.sum())
    assert seen_ends > 50


def test_terminated_is_not_truncated(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    env = AlloyVectorEnv(64, task, predictor, max_steps=6)
    env.reset(seed=0)
    n_goal = n_infeasible = n_truncated = 0
    for action in random_actions(env, 2, 60):
        _, _, terminated, truncated, info = env.step(action)
        assert not (terminated & truncated).any()
        verdict = judge(task, env.state)
        np.testing.assert_array_equal(terminated, (verdict.goal | ~verdict.feasible) & (env.state.step > 0))
        np.testing.assert_array_equal(truncated, (env.state.step == 6) & ~terminated)
        np.testing.assert_array_equal(info["goal"], verdict.goal & (env.state.step > 0))
        n_goal += int(verdict.goal[terminated].sum())
        n_infeasible += int((~verdict.feasible[terminated]).sum())
        n_truncated += int(truncated.sum())
    assert min(n_goal, n_infeasible, n_truncated) > 5


def test_one_surrogate_call_per_vector_step(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    counting = CountsCalls(predictor)
    env = AlloyVectorEnv(32, task, counting)
    env.reset(seed=0)
    counting.calls.clear()
    walking = 32
    for action in random_actions(env, 3, 12):
        before = len(counting.calls)
        _, _, terminated, truncated, _ = env.step(0.3 * action)
        assert counting.calls[before:] == [walking]  # walks that start anew come from prepared starts
        walking = int((~(terminated | truncated)).sum())


def test_simplex_walks_are_always_legal(oracle: AlloyData) -> None:
    task, predictor = oracle_task(oracle)
    env = AlloyVectorEnv(64, task, predictor, max_steps=20)
    env.reset(seed=0)
    for action in random_actions(env, 4, 40):
        before = env.state
        _, _, _, _, info = env.step(action)
        assert check_legality(env.state.at_frac, limits_of(task, env.state.base)).legal.all()
        walked = env.state.step > 0
        change = info["effect"][walked] * task.max_step
        np.testing.assert_allclose((before.at_frac + 0)[walked] + change, env.state.at_frac[walked], atol=1e-8)


def test_bases_get_equal_shares_of_the_steps(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    zirconium, titanium = problem.element_index["Zr"], problem.element_index["Ti"]

    def p_feasible(at_frac: FloatArray) -> FloatArray:  # Cu alloys (less Zr) do not stand the titanium that all get
        return np.where((at_frac[:, zirconium] < 0.39) & (at_frac[:, titanium] > 0.08), 0.1, 1.0)

    task = replace(task, goals=HarderGoals(task.goals, 10.0))  # out of reach
    env = AlloyVectorEnv(64, task, replace(predictor, p_feasible=p_feasible), max_steps=24)
    env.reset(seed=0)
    action = np.full(env.action_space.shape, -0.1)
    action[:, titanium] = 1.0
    walks, steps = np.zeros(2), np.zeros(2)
    for _ in range(200):
        before = env.state
        env.step(action)
        steps += np.bincount(env.state.base[env.state.step > 0], minlength=2)
        walks += np.bincount(before.base[env.state.step == 1], minlength=2)
    assert walks[task.bases.index("Cu")] > 4 * walks[task.bases.index("Zr")]
    assert 0.8 < steps[0] / steps[1] < 1.25


def test_only_the_first_visit_of_a_goal_ends_a_paper_episode(problem: DesignProblem) -> None:
    from aimat_ray.config import RewardSettings

    task, predictor = small_world(problem, reward=RewardSettings(kind="paper"))
    env = AlloyVectorEnv(2, task, predictor)
    env.reset(seed=0)
    goal = env.state.at_frac.copy()
    position = {symbol: i for i, symbol in enumerate(problem.elements)}
    for row in goal:
        row[:] = 0
        row[[position["Zr"], position["Cu"], position["Al"]]] = (0.6, 0.2, 0.2)
    base = np.full(2, task.bases.index("Zr"), dtype=np.intp)
    env.state = replace(env.state, at_frac=goal, base=base, prediction=predictor.predict(goal))
    _, reward, terminated, _, info = env.step(np.zeros(env.action_space.shape))
    assert info["goal"].all()
    np.testing.assert_array_equal(terminated, [True, False])  # both stand at one composition
    assert reward[0] - reward[1] == pytest.approx(0.2 - 0.2 / np.sqrt(2))


def test_state_can_be_stored_and_taken_up(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    task = replace(task, goals=RelativeGoals((3,), (0,), problem.maximize))
    one = AlloyVectorEnv(8, task, predictor, max_steps=5)
    one.reset(seed=0)
    actions = random_actions(one, 5, 40)
    for action in actions[:20]:
        one.step(action)
    two = AlloyVectorEnv(8, task, predictor, max_steps=5)
    two.set_state(one.get_state())
    for action in actions[20:]:
        for a, b in zip(one.step(action)[:4], two.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)


def test_after_a_swap_predictions_are_renewed(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)

    class Swappable:
        current = predictor

        @property
        def version(self) -> str:
            return self.current.version

        def predict(self, at_frac: FloatArray) -> Prediction:
            return self.current.predict(at_frac)

    swappable = Swappable()
    env = AlloyVectorEnv(8, task, swappable, max_steps=4)
    env.reset(seed=0)
    actions = random_actions(env, 6, 12)
    env.step(actions[0])
    swappable.current = replace(predictor, version="analytic-2")
    env.refresh()
    for action in actions:
        env.step(action)
    assert env.state.prediction.version == "analytic-2"
