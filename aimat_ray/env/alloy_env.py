"""The design environment as gymnasium sees it: a native vector environment and its single form, nothing else."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from aimat_ray.data.composition import composition_key
from aimat_ray.env.legality import BoolArray, FloatArray
from aimat_ray.env.observation import Float32Array
from aimat_ray.env.snapshot import generator_from_text, generator_to_text, walks_from_arrays, walks_to_arrays
from aimat_ray.env.statistics import WalkStatistics
from aimat_ray.env.task import DesignTask
from aimat_ray.env.transition import PAPER_SLOTS
from aimat_ray.env.walk import WalkState, advance, fresh_walks, judge, observe, predict_legal
from aimat_ray.prediction import Predictor

_EXPECTED_STEPS = 20  # of a walk, while nothing is known about its base
_RESERVOIR = 256  # starts drawn at once, so that resets do not cost a surrogate call each
_IDENTITY_DECIMALS = 2  # a composition is the same when it agrees to 0.01 at%


class Labeler(Protocol):
    """Says what a good move would change, for the behaviour-cloning term of the agent."""

    def __call__(self, state: WalkState) -> tuple[Float32Array, Float32Array]:
        """Wanted effects, [B, E] in units of the largest step, and their weights, [B]; weight 0 means no label."""


@runtime_checkable
class Remembering(Protocol):
    """A labeler that keeps something about open walks, which a checkpoint needs too."""

    def recall(self, state: WalkState) -> dict[str, NDArray[Any]]:
        """What is kept about these walks."""

    def remember(self, state: WalkState, kept: dict[str, NDArray[Any]]) -> None:
        """Continue from `recall`."""


class VisitCounter:
    """Counts visits of goal compositions in one run, for the published reward."""

    def __init__(self) -> None:
        self._visits: dict[bytes, int] = {}

    def visit(self, at_frac: FloatArray, goal: BoolArray) -> FloatArray:
        """1/sqrt(n) for the n-th visit of each goal composition, 0 elsewhere, [B]."""
        novelty = np.zeros(len(at_frac))
        rows = np.flatnonzero(goal)
        for row, key in zip(rows, composition_key(at_frac[rows], _IDENTITY_DECIMALS), strict=True):
            self._visits[key] = self._visits.get(key, 0) + 1
            novelty[row] = self._visits[key] ** -0.5
        return novelty

    def get_state(self) -> dict[str, NDArray[Any]]:
        """The counts, as arrays."""
        keys = [key.hex() for key in self._visits]
        return {"keys": np.array(keys, dtype=str), "counts": np.array(list(self._visits.values()), dtype=np.int64)}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from the counts."""
        pairs = zip(state["keys"].tolist(), state["counts"].tolist(), strict=True)
        self._visits = {bytes.fromhex(key): count for key, count in pairs}


def spaces(task: DesignTask) -> tuple[gym.spaces.Box, gym.spaces.Box]:
    """Observation and action space of one walk."""
    n_actions = PAPER_SLOTS if task.settings.mode == "paper" else len(task.problem.elements)
    observation = gym.spaces.Box(-10.0, 10.0, (task.layout.size,), np.float32)
    return observation, gym.spaces.Box(-1.0, 1.0, (n_actions,), np.float32)


class AlloyVectorEnv(VectorEnv[Any, Any, Any]):
    """Many design walks with one surrogate call per step.

    Autoreset follows gymnasium's NEXT_STEP: the step after an episode's end ignores the action and returns the first
    observation of the next episode. Terminated means goal, infeasible or illegal; truncated means the step limit.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}

    def __init__(
        self,
        num_envs: int,
        task: DesignTask,
        predictor: Predictor,
        *,
        max_steps: int | None = None,
        seed: int | None = None,
        labeler: Labeler | None = None,
    ) -> None:
        self.num_envs = num_envs
        self.task = task
        self.predictor = predictor
        self.labeler = labeler
        self.max_steps = max_steps or task.settings.max_steps
        self.single_observation_space, self.single_action_space = spaces(task)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rng = np.random.default_rng(seed)
        self._novelty = VisitCounter()
        self._reservoir: WalkState | None = None
        self._taken = 0
        self._ended = np.zeros(num_envs, dtype=bool)
        self._statistics = WalkStatistics()
        self._started, self._walked = np.zeros((2, len(task.bases)), dtype=np.int64)  # walks and steps of each base
        self.state: WalkState

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start all walks anew."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
            self._reservoir = None
        self.state = self._new_walks(self.num_envs)
        self._ended[:] = False
        return observe(self.task, self.state), {}

    def step(
        self, actions: NDArray[np.floating[Any]]
    ) -> tuple[Float32Array, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """Step every walk; those that ended in the step before start anew instead."""
        starting = self._ended
        if not starting.any():
            return self._advance(np.asarray(actions, dtype=np.float64), np.arange(self.num_envs))
        self.state = self.state.updated(starting, self._new_walks(int(starting.sum())))
        return self._advance(np.asarray(actions, dtype=np.float64), np.flatnonzero(~starting))

    def refresh(self) -> None:
        """Predict the current compositions again, after the predictor has adopted another version."""
        self._reservoir = None
        state = self.state
        prediction = predict_legal(self.task, self.predictor, state.at_frac, state.prediction)
        self.state = WalkState(state.at_frac, state.start, state.base, state.step, state.goals, prediction)

    def observations(self) -> Float32Array:
        """What the walks see now, [B, layout.size]."""
        return observe(self.task, self.state)

    def _advance(
        self, actions: FloatArray, walking: NDArray[np.intp]
    ) -> tuple[Float32Array, FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        terminated = np.zeros(self.num_envs, dtype=bool)
        truncated = np.zeros(self.num_envs, dtype=bool)
        reward = np.zeros(self.num_envs)
        info: dict[str, Any] = {}
        if walking.size:
            everyone = walking.size == self.num_envs
            before = self.state if everyone else self.state.rows(walking)
            novelty = self._novelty if self.task.settings.reward.kind == "paper" else None
            after, verdict, parts, fresh = advance(self.task, self.predictor, before, actions[walking], novelty)
            self.state = after if everyone else self.state.updated(walking, after)
            reward[walking] = parts.total
            # With the published reward only the first visit of a goal composition ends the episode.
            terminated[walking] = ~verdict.feasible | (verdict.goal & (fresh >= 1.0))
            truncated[walking] = ~terminated[walking] & (after.step >= self.max_steps)
            ended = (terminated | truncated)[walking]
            self._walked += np.bincount(after.base, minlength=len(self._walked))
            self._statistics.add(self.task, after, verdict, parts, ended)
            info = self._info(before, after, verdict.goal, walking)
        self._ended = terminated | truncated
        return observe(self.task, self.state), reward, terminated, truncated, info

    def _info(self, before: WalkState, after: WalkState, goal: BoolArray, walking: NDArray[np.intp]) -> dict[str, Any]:
        """Extra columns of the step's transitions: its effect, and labels where somebody gives them."""
        columns: dict[str, NDArray[Any]] = {"goal": goal, "max_change": before.goals.max_change}
        if self.task.settings.mode == "simplex":
            columns["effect"] = ((after.at_frac - before.at_frac) / self.task.max_step).astype(np.float32)
        if self.labeler is not None:
            columns["label"], columns["label_weight"] = self.labeler(before)
        if len(walking) == self.num_envs:
            return columns
        return {name: _scatter(values, walking, self.num_envs) for name, values in columns.items()}

    def take_statistics(self) -> WalkStatistics:
        """What was seen since the last call."""
        taken, self._statistics = self._statistics, WalkStatistics()
        return taken

    def get_state(self) -> dict[str, Any]:
        """Open episodes, prepared starts, visits and the generator, as nested arrays for a checkpoint."""
        state: dict[str, Any] = {
            "walks": walks_to_arrays(self.state),
            "ended": self._ended.copy(),
            "taken": self._taken,
            "started": self._started.copy(),
            "walked": self._walked.copy(),
            "visits": self._novelty.get_state(),
            "rng": generator_to_text(self._rng),
        }
        if self._reservoir is not None:
            state["reservoir"] = walks_to_arrays(self._reservoir)
        if isinstance(self.labeler, Remembering):
            state["labels"] = self.labeler.recall(self.state)
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_state`."""
        self.state, self._ended = walks_from_arrays(state["walks"]), np.array(state["ended"])
        self._reservoir = walks_from_arrays(state["reservoir"]) if "reservoir" in state else None
        self._taken = int(state["taken"])
        self._started, self._walked = np.array(state["started"]), np.array(state["walked"])
        if "labels" in state and isinstance(self.labeler, Remembering):
            self.labeler.remember(self.state, state["labels"])
        self._novelty.set_state(state["visits"])
        generator_from_text(state["rng"], self._rng)

    def _new_walks(self, n: int) -> WalkState:
        """Take `n` prepared starts."""
        if self._reservoir is None or self._reservoir.prediction.version != self.predictor.version:
            self._refill(n)
        assert self._reservoir is not None
        if self._taken + n > len(self._reservoir):
            self._refill(n)
        new = self._reservoir.rows(np.arange(self._taken, self._taken + n))
        self._taken += n
        self._started += np.bincount(new.base, minlength=len(self._started))
        return new

    def _refill(self, n: int) -> None:
        # Equal shares of steps, not of walks, for all bases: hopeless walks are long, those near the brink short.
        steps = self._walked + float(_EXPECTED_STEPS)
        share = (self._started + 1.0) / steps / steps  # of walks so long, and the more, the less a base has had so far
        base = self._rng.choice(len(share), size=max(n, _RESERVOIR), p=share / share.sum())
        self._reservoir = fresh_walks(self.task, self.predictor, base, self._rng)
        self._taken = 0


def _scatter(values: NDArray[Any], index: NDArray[np.intp], size: int) -> NDArray[Any]:
    full = np.zeros((size, *values.shape[1:]), dtype=values.dtype)
    full[index] = values
    return full


class AlloyEnv(gym.Env[Float32Array, NDArray[np.float32]]):
    """The single form: one walk, for gymnasium's checker and for trying things by hand."""

    metadata = {"render_modes": []}

    def __init__(self, task: DesignTask, predictor: Predictor, *, max_steps: int | None = None) -> None:
        self._walks = AlloyVectorEnv(1, task, predictor, max_steps=max_steps)
        self.observation_space = self._walks.single_observation_space
        self.action_space = self._walks.single_action_space

    @property
    def state(self) -> WalkState:
        """The walk, as a batch of one."""
        return self._walks.state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start a new walk."""
        super().reset(seed=seed)
        observation, info = self._walks.reset(seed=seed)
        return observation[0], info

    def step(self, action: NDArray[np.float32]) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Take one step."""
        observation, reward, terminated, truncated, _ = self._walks.step(np.asarray(action)[None])
        goal = bool(judge(self.task, self.state).goal[0])
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {"goal": goal}

    @property
    def task(self) -> DesignTask:
        """What is designed."""
        return self._walks.task
