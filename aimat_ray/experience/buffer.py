"""Flat replay buffer: one numpy ring per column, with a fixed set of trusted rows mixed into the batches.

    buffer = FlatReplayBuffer(transition_schema(obs_size=110, action_size=52), capacity=200_000, rng=rng)
    buffer.set_trusted(pool_columns)
    while training:
        buffer.add(columns_of_new_transitions)
        batch = buffer.sample(256)

Ring and trusted rows live in the same arrays (trusted rows behind the ring), so a batch is one index array and one
gather per column, whatever it is mixed from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from aimat_ray.errors import ConfigError, DataError

Array = NDArray[Any]
Columns = Mapping[str, Array]
Schema = Mapping[str, tuple[tuple[int, ...], DTypeLike]]
OfflineMode = Literal["none", "reward_replacement", "fixed", "annealed"]

CORE_COLUMNS = ("obs", "actions", "rewards", "next_obs", "terminateds")
# The paper's rule (METHOD section 3): at most 5 % of a batch, from around the batch's mean reward plus 1.
MAX_REPLACED = 0.05
REPLACEMENT_LEVEL = 1.0
# Chosen here, because the paper only says "around": the tenth of the pool nearest to that level, drawn at random.
REPLACEMENT_WINDOW = 0.1


def transition_schema(obs_size: int, action_size: int, extras: Schema | None = None) -> dict[str, Any]:
    """The columns of a transition: name -> (shape of one row, dtype).

    Args:
        obs_size: Length of an observation.
        action_size: Length of an action, stored in [-1, 1].
        extras: Further columns, such as `label`, `label_weight`, `at_frac`, `next_at_frac`, `effect`, `version`.
    """
    f32 = np.float32
    core: dict[str, Any] = {
        "obs": ((obs_size,), f32),
        "actions": ((action_size,), f32),
        "rewards": ((), f32),
        "next_obs": ((obs_size,), f32),
        "terminateds": ((), f32),
    }
    return core | dict(extras or {})


@dataclass(frozen=True, slots=True)
class OfflineShare:
    """How trusted rows enter a batch.

    Attributes:
        mode: `none`; `reward_replacement` (the paper's rule); `fixed` (`share` of every batch) or `annealed` (linearly
            from `share` to `share_end` while `anneal_rows` rows are added).
        share: Share of a batch, 0..1.
        share_end: Share at the end of the annealing.
        anneal_rows: Rows added to the ring until `share_end` is reached.
    """

    mode: OfflineMode = "none"
    share: float = 0.0
    share_end: float = 0.0
    anneal_rows: int = 100_000

    def __post_init__(self) -> None:
        if self.mode not in ("none", "reward_replacement", "fixed", "annealed"):
            raise ConfigError(f"offline mode: expected none, reward_replacement, fixed or annealed, got {self.mode!r}")
        if not (0 <= self.share <= 1 and 0 <= self.share_end <= 1):
            raise ConfigError(f"offline shares must lie in 0..1, got {self.share} and {self.share_end}")
        if self.anneal_rows < 1:
            raise ConfigError(f"anneal_rows must be at least 1, got {self.anneal_rows}")

    def at(self, n_added: int) -> float:
        """Share of a batch after `n_added` rows (0 in the modes without a share)."""
        if self.mode == "fixed":
            return self.share
        if self.mode == "annealed":
            done = min(n_added / self.anneal_rows, 1.0)
            return self.share + done * (self.share_end - self.share)
        return 0.0


class FlatReplayBuffer:
    """Ring buffer of transitions plus trusted rows.

    Args:
        schema: Name -> (shape of one row, dtype); must hold the core columns (`transition_schema` makes one).
        capacity: Rows that the ring keeps; the oldest are overwritten.
        rng: Generator that draws the batches; its state belongs to the buffer's state.
        offline: How trusted rows enter a batch.
    """

    def __init__(
        self,
        schema: Schema,
        capacity: int,
        rng: np.random.Generator,
        offline: OfflineShare | None = None,
    ) -> None:
        missing = [name for name in CORE_COLUMNS if name not in schema]
        if missing:
            raise ConfigError(f"replay schema lacks {', '.join(missing)}; start from transition_schema()")
        if capacity < 1:
            raise ConfigError(f"replay capacity must be at least 1 row, got {capacity}")
        self.schema = {name: (tuple(shape), np.dtype(dtype)) for name, (shape, dtype) in schema.items()}
        self.capacity = int(capacity)
        self.offline = offline or OfflineShare()
        self.rng = rng
        self.n_added = 0  # rows ever added: drives the annealing
        self.n_trusted = 0
        self._size = 0
        self._next = 0
        self._store = self._allocate(0)
        self._by_reward: NDArray[np.intp] = np.empty(0, np.intp)  # trusted rows, lowest reward first

    def __len__(self) -> int:
        return self._size

    def _allocate(self, n_trusted: int) -> dict[str, Array]:
        rows = self.capacity + n_trusted
        return {name: np.zeros((rows, *shape), dtype) for name, (shape, dtype) in self.schema.items()}

    # ------------------------------------------------------------------ filling
    def add(self, columns: Columns) -> None:
        """Append transitions, overwriting the oldest when the ring is full.

        Args:
            columns: Name -> rows. Core columns are required, absent extras are stored as zeros.
        """
        n = self._check(columns)
        self.n_added += n
        skip = max(n - self.capacity, 0)  # of more rows than fit, only the last survive
        index = (self._next + np.arange(skip, n)) % self.capacity
        contiguous = index.size > 0 and index[-1] - index[0] == index.size - 1
        where: slice | NDArray[np.intp] = slice(index[0], index[-1] + 1) if contiguous else index
        for name, stored in self._store.items():
            stored[where] = columns[name][skip:] if name in columns else 0
        self._next = (self._next + n) % self.capacity
        self._size = min(self._size + n, self.capacity)

    def set_trusted(self, columns: Columns) -> None:
        """Replace the trusted rows (zero rows take them away)."""
        n = self._check(columns)
        store = self._allocate(n)
        for name, new in store.items():
            new[: self._size] = self._store[name][: self._size]
            if name in columns:
                new[self.capacity :] = columns[name]
        self._store, self.n_trusted = store, n
        self._sort_trusted()

    def _check(self, columns: Columns) -> int:
        """Number of rows in `columns`; a DataError when they do not fit the schema."""
        missing = [name for name in CORE_COLUMNS if name not in columns]
        unknown = [name for name in columns if name not in self.schema]
        if missing or unknown:
            raise DataError(
                f"replay columns: missing {missing}, unknown {unknown}; the schema declares {list(self.schema)}"
            )
        n = len(columns["rewards"])
        for name, values in columns.items():
            expected = (n, *self.schema[name][0])
            if np.shape(values) != expected:
                raise DataError(f"replay column {name}: expected shape {expected}, got {np.shape(values)}")
        return n

    # ------------------------------------------------------------------ sampling
    def sample(
        self,
        n: int,
        rng: np.random.Generator | None = None,
        batches: int = 1,
        names: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        """Draw batches with replacement; each is mixed with trusted rows on its own.

        Args:
            n: Rows of one batch.
            rng: Generator to draw with; by default the buffer's own.
            batches: Number of batches, returned one behind the other.
            names: Columns to return; by default all.

        Returns:
            Name -> new array of n * batches rows.
        """
        index = self._draw(n, batches, rng or self.rng).reshape(-1)
        return {name: self._store[name].take(index, axis=0) for name in names or self._store}

    def _draw(self, n: int, batches: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Positions in the store, [batches, n]."""
        if self._size == 0 and self.n_trusted == 0:
            raise DataError("the replay buffer is empty: add transitions or set trusted rows before sampling")
        if self._size == 0:
            return self.capacity + rng.integers(self.n_trusted, size=(batches, n))
        index = rng.integers(self._size, size=(batches, n))
        if self.n_trusted == 0:
            return index
        if self.offline.mode == "reward_replacement":
            self._replace_by_reward(index, rng)
        else:
            n_offline = round(self.offline.at(self.n_added) * n)
            if n_offline:
                index[:, :n_offline] = self.capacity + rng.integers(self.n_trusted, size=(batches, n_offline))
        return index

    def _replace_by_reward(self, index: NDArray[np.intp], rng: np.random.Generator) -> None:
        """The paper's rule, per batch, in place. Rows of a batch are exchangeable, so its first ones are swapped."""
        rewards = self._store["rewards"]
        trusted = rewards[self.capacity :]
        pool_mean = trusted.mean()
        batch_mean = rewards[index].mean(axis=1)
        share = np.clip((pool_mean - batch_mean) / 2, 0.0, MAX_REPLACED)
        count = (share * index.shape[1]).astype(int)
        for row in np.flatnonzero(count):
            window = self._trusted_around(float(batch_mean[row]) + REPLACEMENT_LEVEL, int(count[row]))
            index[row, : count[row]] = self.capacity + rng.choice(window, size=count[row], replace=False)

    def _trusted_around(self, level: float, at_least: int) -> NDArray[np.intp]:
        """Trusted rows whose reward is nearest in rank to `level`."""
        ranked = self._store["rewards"][self.capacity :][self._by_reward]
        width = min(max(at_least, round(REPLACEMENT_WINDOW * self.n_trusted)), self.n_trusted)
        start = int(np.searchsorted(ranked, level)) - width // 2
        start = min(max(start, 0), self.n_trusted - width)
        window = self._by_reward[start : start + width]
        return window if len(window) >= at_least else np.resize(window, at_least)

    def _sort_trusted(self) -> None:
        self._by_reward = np.argsort(self._store["rewards"][self.capacity :], kind="stable")

    # ------------------------------------------------------------------ reading and rewriting
    def column(self, name: str) -> Array:
        """The live rows of a column, [size, ...]: a view, in storage order. Treat it as read-only."""
        return self._store[name][: self._size]

    def trusted_column(self, name: str) -> Array:
        """The trusted rows of a column, [n_trusted, ...]: a view. Treat it as read-only."""
        return self._store[name][self.capacity :]

    def overwrite(self, columns: Columns) -> None:
        """Put new values in place of the live rows of some columns, in storage order.

        Args:
            columns: Name -> rows, as many as the buffer holds.
        """
        for name, values in columns.items():
            expected = (self._size, *self.schema[name][0])
            if np.shape(values) != expected:
                raise DataError(f"overwriting column {name}: expected shape {expected}, got {np.shape(values)}")
            self._store[name][: self._size] = values

    def rewrite(self, column: str, function: Callable[[dict[str, Array]], Array], needs: tuple[str, ...] = ()) -> None:
        """Recompute a column of all live and trusted rows in one batched pass, such as rewards after a surrogate swap.

        Args:
            column: Column to overwrite.
            function: Receives the needed columns (copies; live rows first, then trusted), returns the new values.
            needs: Columns that the function reads; by default all.
        """
        names = needs or tuple(self.schema)
        given = {name: np.concatenate([self.column(name), self.trusted_column(name)]) for name in names}
        values = np.asarray(function(given))
        expected = (self._size + self.n_trusted, *self.schema[column][0])
        if values.shape != expected:
            raise DataError(f"rewrite of {column}: expected shape {expected}, got {values.shape}")
        self._store[column][: self._size] = values[: self._size]
        self._store[column][self.capacity :] = values[self._size :]
        self._sort_trusted()

    # ------------------------------------------------------------------ state
    def get_state(self) -> dict[str, Array]:
        """Everything that a resumed run needs, as plain arrays (np.savez-able, nothing to unpickle)."""
        live = {f"live/{name}": self.column(name).copy() for name in self.schema}
        trusted = {f"trusted/{name}": self.trusted_column(name).copy() for name in self.schema}
        counters = np.array([self.capacity, self._size, self._next, self.n_added, self.n_trusted], np.int64)
        return live | trusted | {"counters": counters, "rng": generator_to_array(self.rng)}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Take over a state from `get_state` of a buffer with the same schema and capacity."""
        capacity, size, position, n_added, n_trusted = (int(v) for v in state["counters"])
        known = {key.split("/", 1)[1] for key in state if key.startswith("live/")}
        if capacity != self.capacity or known != set(self.schema):
            raise DataError(
                f"replay state of {capacity} rows with columns {sorted(known)} does not fit a buffer of "
                f"{self.capacity} rows with columns {sorted(self.schema)}; resume with the stored run's configuration"
            )
        self._store = self._allocate(n_trusted)
        for name, stored in self._store.items():
            stored[:size] = state[f"live/{name}"]
            stored[capacity:] = state[f"trusted/{name}"]
        self._size, self._next, self.n_added, self.n_trusted = size, position, n_added, n_trusted
        self._sort_trusted()
        array_to_generator(state["rng"], self.rng)


def generator_to_array(rng: np.random.Generator) -> Array:
    """The state of a generator as a 0-d text array (its 128-bit integers fit no numeric dtype)."""
    return np.array(json.dumps(rng.bit_generator.state))


def array_to_generator(state: Array, rng: np.random.Generator) -> None:
    """Put a state from `generator_to_array` into `rng`."""
    rng.bit_generator.state = json.loads(str(state))
