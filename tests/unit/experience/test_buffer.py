"""The flat replay buffer against numbers worked by hand and against a plain list model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimat_ray.errors import ConfigError, DataError
from aimat_ray.experience.buffer import FlatReplayBuffer, OfflineShare, transition_schema

SCHEMA = transition_schema(2, 1, {"version": ((), np.int64)})


def rows(rewards: Any, **extra: Any) -> dict[str, np.ndarray]:
    r = np.asarray(rewards, np.float32)
    n = len(r)
    obs = np.stack([r, r], 1) if n else np.zeros((0, 2))
    columns = {"obs": obs, "actions": r[:, None], "rewards": r, "next_obs": obs + 1, "terminateds": np.zeros(n)}
    return columns | extra


def make(capacity: int = 8, offline: OfflineShare | None = None, seed: int = 0) -> FlatReplayBuffer:
    return FlatReplayBuffer(SCHEMA, capacity, np.random.default_rng(seed), offline)


def test_ring_keeps_the_newest_rows() -> None:
    buffer = make(capacity=4)
    buffer.add(rows([1, 2, 3]))
    buffer.add(rows([4, 5, 6]))  # 5 and 6 overwrite 1 and 2
    assert len(buffer) == 4
    assert sorted(buffer.column("rewards").tolist()) == [3, 4, 5, 6]
    assert buffer.n_added == 6


def test_more_rows_than_capacity_keep_the_last() -> None:
    buffer = make(capacity=4)
    buffer.add(rows(range(11)))
    assert sorted(buffer.column("rewards").tolist()) == [7, 8, 9, 10]


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
@settings(deadline=None, max_examples=60)
def test_ring_equals_a_list_of_the_newest(sizes: list[int], capacity: int) -> None:
    buffer, everything, n = make(capacity), [], 0
    for size in sizes:
        new = list(range(n, n + size))
        n += size
        everything += new
        buffer.add(rows(new))
    assert sorted(buffer.column("rewards").tolist()) == everything[-capacity:]


def test_rows_stay_together_when_sampled() -> None:
    buffer = make(capacity=100)
    buffer.add(rows(np.arange(50.0), version=np.arange(50)))
    batch = buffer.sample(64)
    assert (batch["obs"][:, 0] == batch["rewards"]).all()
    assert (batch["next_obs"] == batch["obs"] + 1).all()
    assert (batch["version"] == batch["rewards"]).all()


def test_absent_extras_are_zero_even_over_old_rows() -> None:
    buffer = make(capacity=2)
    buffer.add(rows([1, 2], version=np.array([7, 7])))
    buffer.add(rows([3, 4]))
    assert buffer.column("version").tolist() == [0, 0]


def test_adding_does_not_keep_the_callers_arrays() -> None:
    buffer, columns = make(), rows([1.0])
    buffer.add(columns)
    columns["rewards"][0] = 99
    assert buffer.column("rewards")[0] == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"obs": np.zeros((1, 2))}, "missing"),
        (rows([1.0]) | {"colour": np.zeros(1)}, "unknown"),
        (rows([1.0]) | {"obs": np.zeros((1, 3))}, "expected shape"),
        (rows([1.0]) | {"terminateds": np.zeros(2)}, "expected shape"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make().add(columns)


def test_bad_set_ups_are_refused() -> None:
    with pytest.raises(ConfigError, match="lacks"):
        FlatReplayBuffer({"obs": ((2,), np.float32)}, 8, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="capacity"):
        make(capacity=0)
    with pytest.raises(ConfigError, match="offline mode"):
        OfflineShare("sometimes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shares"):
        OfflineShare("fixed", share=1.5)
    with pytest.raises(DataError, match="empty"):
        make().sample(4)


# ---------------------------------------------------------------- trusted rows
def mixed(mode: str, live: Any, trusted: Any, **kwargs: Any) -> FlatReplayBuffer:
    buffer = make(capacity=1000, offline=OfflineShare(mode, **kwargs))  # type: ignore[arg-type]
    buffer.add(rows(live))
    buffer.set_trusted(rows(trusted))
    return buffer


def test_fixed_share_of_every_batch() -> None:
    buffer = mixed("fixed", np.zeros(100), np.ones(10), share=0.25)
    batch = buffer.sample(40, batches=3)["rewards"].reshape(3, 40)
    assert batch.sum(1).tolist() == [10, 10, 10]


def test_annealed_share_is_linear_in_added_rows() -> None:
    share = OfflineShare("annealed", share=0.5, share_end=0.1, anneal_rows=1000)
    # half way: 0.5 - 0.5 * 0.4 = 0.3; beyond the end it stays
    assert [round(share.at(n), 6) for n in (0, 500, 1000, 5000)] == [0.5, 0.3, 0.1, 0.1]


def test_annealing_counts_rows_beyond_the_capacity() -> None:
    buffer = make(capacity=10, offline=OfflineShare("annealed", 1.0, 0.0, anneal_rows=100))
    buffer.set_trusted(rows(np.ones(5)))
    for _ in range(5):
        buffer.add(rows(np.zeros(10)))
    assert buffer.sample(40)["rewards"].sum() == 20  # 50 of 100 rows added: half of the share is left


def test_mode_none_ignores_trusted_rows() -> None:
    assert mixed("none", np.zeros(10), np.ones(10)).sample(64)["rewards"].sum() == 0


@pytest.mark.parametrize(
    ("batch_reward", "pool_mean", "expected"),
    [
        (0.0, 1.0, 5),  # clip(0.5, 0, 0.05) = 0.05 of 100
        (0.0, 0.06, 3),  # (0.06 - 0) / 2 = 0.03 of 100
        (0.5, 0.2, 0),  # the batch is better than the pool
    ],
)
def test_reward_replacement_follows_the_paper(batch_reward: float, pool_mean: float, expected: int) -> None:
    # Float rewards, away from rounding: pool rows are pool_mean + 0.001 on average.
    buffer = mixed("reward_replacement", np.full(200, batch_reward), np.full(50, pool_mean + 0.001))
    batch = buffer.sample(100)["rewards"]
    assert (batch != np.float32(batch_reward)).sum() == expected


def test_replacement_draws_around_batch_mean_plus_one_and_varies() -> None:
    pool = np.linspace(0, 10, 1001)  # level 0 + 1 = 1.0; the nearest tenth of the ranks is 0.5 .. 1.5
    buffer = mixed("reward_replacement", np.zeros(500), pool)
    drawn = np.concatenate([b[b != 0] for b in (buffer.sample(200)["rewards"] for _ in range(30))])
    assert drawn.min() >= 0.49
    assert drawn.max() <= 1.51
    assert len(np.unique(drawn)) > 50  # not always the same rows


def test_replacement_judges_each_batch_on_its_own() -> None:
    buffer = mixed("reward_replacement", np.r_[np.zeros(10), np.full(10, 9.0)], np.full(20, 5.0))
    batches = buffer.sample(400, batches=20)["rewards"].reshape(20, 400)
    for batch in batches:
        own = batch[20:]  # at most 5 % = 20 rows are swapped, the first ones
        if (batch == 5).any():
            assert own.mean() < 5.2
        else:
            assert own.mean() > 4.8


def test_trusted_rows_alone_can_be_sampled() -> None:
    buffer = make(offline=OfflineShare("fixed", 0.5))
    buffer.set_trusted(rows([1, 2, 3]))
    assert set(buffer.sample(64)["rewards"].tolist()) == {1, 2, 3}


def test_setting_trusted_rows_keeps_the_live_ones() -> None:
    buffer = make()
    buffer.add(rows([1, 2]))
    buffer.set_trusted(rows([5]))
    buffer.add(rows([3]))
    assert buffer.column("rewards").tolist() == [1, 2, 3]
    assert buffer.trusted_column("rewards").tolist() == [5]
    buffer.set_trusted(rows([]))
    assert buffer.n_trusted == 0


# ---------------------------------------------------------------- rewriting and state
def test_rewrite_sees_live_and_trusted_rows_in_one_call() -> None:
    buffer = mixed("fixed", [1, 2], [10])
    calls: list[list[float]] = []

    def double(columns: dict[str, np.ndarray]) -> np.ndarray:
        calls.append(columns["rewards"].tolist())
        assert set(columns) == {"rewards", "obs"}
        return columns["rewards"] * 2

    buffer.rewrite("rewards", double, needs=("rewards", "obs"))
    assert calls == [[1, 2, 10]]
    assert buffer.column("rewards").tolist() == [2, 4]
    assert buffer.trusted_column("rewards").tolist() == [20]


def test_rewrite_reorders_the_replacement() -> None:
    buffer = mixed("reward_replacement", np.zeros(500), np.linspace(0, 10, 1001))
    buffer.rewrite("rewards", lambda c: np.where(c["rewards"] > 0, 10 - c["rewards"], 0.0))
    drawn = np.concatenate([b[b != 0] for b in (buffer.sample(200)["rewards"] for _ in range(20))])
    assert (drawn.min() >= 0.49) & (drawn.max() <= 1.51)


def test_rewrite_of_the_wrong_length_is_refused() -> None:
    buffer = make()
    buffer.add(rows([1, 2]))
    with pytest.raises(DataError, match="expected shape"):
        buffer.rewrite("rewards", lambda c: c["rewards"][:1])


@pytest.mark.parametrize("mode", ["none", "reward_replacement", "fixed", "annealed"])
def test_a_restored_buffer_continues_to_the_bit(mode: str, tmp_path: Any) -> None:
    share = OfflineShare(mode, 0.4, 0.1, 60)  # type: ignore[arg-type]
    one = make(capacity=20, offline=share)
    one.set_trusted(rows(np.arange(10.0)))
    one.add(rows(np.arange(33.0)))
    one.sample(16)
    np.savez(tmp_path / "state.npz", **one.get_state())
    other = make(capacity=20, offline=share, seed=99)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        other.set_state(state)
    for buffer in (one, other):
        buffer.add(rows(np.arange(5.0)))
    assert other.n_added == 38
    for _ in range(3):
        first, second = one.sample(32), other.sample(32)
        assert all((first[name] == second[name]).all() for name in SCHEMA)


def test_state_of_another_set_up_is_refused() -> None:
    with pytest.raises(DataError, match="does not fit"):
        make(capacity=9).set_state(make(capacity=8).get_state())


def test_an_explicit_generator_leaves_the_own_one_alone() -> None:
    buffer = make(capacity=100)
    buffer.add(rows(np.arange(100.0)))
    before = buffer.rng.bit_generator.state
    first = buffer.sample(8, np.random.default_rng(1))["rewards"]
    assert (first == buffer.sample(8, np.random.default_rng(1))["rewards"]).all()
    assert buffer.rng.bit_generator.state == before
