"""Distilled surrogates: one function in numpy and torch, close to its teacher, stored under its version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from env_worlds import small_world

from aimat_ray.config import DesignSettings, DistilSettings
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import fresh_walks
from aimat_ray.errors import ArtifactError
from aimat_ray.prediction import Predictor
from aimat_ray.problem import DesignProblem
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.distil import distil, get_or_distil, redistilled, refreshed
from aimat_ray.rl.distilled_net import DistilledNet
from aimat_ray.rl.prepare import Workbench
from aimat_ray.search.distilled import DistilledSurrogate, chemistry_of, features, stored_distilled

SMALL = DistilSettings(
    answers=3_000, led_answers=1_000, held_out_answers=1_000, width=32, epochs=20, batch_size=128, lr=5e-3
)


@pytest.fixture(scope="module")
def world(problem: DesignProblem) -> tuple[DesignTask, Predictor]:
    return small_world(problem)


@pytest.fixture(scope="module")
def net(world: tuple[DesignTask, Predictor]) -> DistilledSurrogate:
    return distil(*world, SMALL)


def test_it_imitates_its_teacher_where_walks_go(world: tuple[DesignTask, Predictor], net: DistilledSurrogate) -> None:
    task, teacher = world
    state = fresh_walks(task, teacher, np.arange(200) % 2, np.random.default_rng(77))
    dmax = task.problem.property_keys.index("dmax_mm")
    own, true = net.predict(state.at_frac), state.prediction
    error = np.abs(own.mean[:, dmax] - true.mean[:, dmax])
    assert error.mean() < 0.1 * true.mean[:, dmax].std()
    assert ((own.p_feasible >= 0.5) == (true.p_feasible >= 0.5)).mean() > 0.95
    assert (own.lower <= own.mean).all() and (own.mean <= own.upper).all() and (own.spread >= 0).all()
    assert own.version == net.version != teacher.version
    assert net.teacher == teacher.version
    for kind in ("searches", "led"):
        measured = net.fidelity[kind]
        assert measured["n"] >= 1_000
        assert measured["r2"]["dmax_mm"] > 0.97
        assert measured["p_agreement"] > 0.95
        assert measured["goal"]["agreement"] > 0.9
        assert measured["goal"]["n_true"] > 0


def test_torch_gives_the_same_answers(world: tuple[DesignTask, Predictor], net: DistilledSurrogate) -> None:
    task, teacher = world
    at_frac = fresh_walks(task, teacher, np.arange(30) % 2, np.random.default_rng(5)).at_frac
    twin, own = DistilledNet(net, frozen=True)(torch.as_tensor(at_frac, dtype=torch.float32)), net.predict(at_frac)
    np.testing.assert_allclose(twin["mean"].numpy(), own.mean, atol=2e-3)
    np.testing.assert_allclose(twin["p_feasible"].numpy(), own.p_feasible, atol=1e-3)
    np.testing.assert_allclose(twin["distance"].numpy().clip(0), own.distance, atol=1e-3)


def test_its_slopes_are_those_of_the_teacher(world: tuple[DesignTask, Predictor], net: DistilledSurrogate) -> None:
    task, teacher = world
    at_frac = fresh_walks(task, teacher, np.zeros(50, dtype=np.intp), np.random.default_rng(6)).at_frac
    x = torch.tensor(at_frac, dtype=torch.float32, requires_grad=True)
    dmax = task.problem.property_keys.index("dmax_mm")
    DistilledNet(net, frozen=True)(x)["mean"][:, dmax].sum().backward()
    aluminium, copper = (task.problem.element_index[e] for e in ("Al", "Cu"))
    present = (at_frac[:, aluminium] > 0.01) & (at_frac[:, copper] > 0.01)
    slope = (x.grad[:, aluminium] - x.grad[:, copper]).numpy()[present]
    assert np.median(slope) == pytest.approx(50.0, rel=0.2)  # 0.5 mm per at% of aluminium put in copper's place


def test_features_by_hand() -> None:
    properties = np.array([[1.0], [-2.0]])
    enthalpies = np.array([[0.0, 3.0], [3.0, 0.0]])
    (row,) = features(np.array([[0.25, 0.75]]), properties, enthalpies)
    mean = 0.25 - 1.5
    # x, root x, mean, variance .25 * 1 + .75 * 4 - mean^2, 4 * .25 * .75 * 3 twice, entropy
    expected = [0.25, 0.75, 0.2501**0.5, 0.7501**0.5, mean, 3.25 - mean**2, 2.25, 2.25, 0.5623]
    np.testing.assert_allclose(row, expected, atol=1e-4)


def test_chemistry_has_no_gaps(problem: DesignProblem) -> None:
    properties, enthalpies = chemistry_of(problem.elements)
    assert np.isfinite(properties).all() and np.isfinite(enthalpies).all()


def test_stored_and_read_again(net: DistilledSurrogate, tmp_path: Path) -> None:
    net.save(tmp_path / "net")
    net.save(tmp_path / "net")  # over an older one
    again = DistilledSurrogate.load(tmp_path / "net")
    assert (again.version, again.teacher, again.fidelity) == (net.version, net.teacher, net.fidelity)
    x = np.full((3, len(net.elements)), 1 / len(net.elements))
    np.testing.assert_array_equal(again.predict(x).mean, net.predict(x).mean)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net"]


def test_a_damaged_one_is_refused(net: DistilledSurrogate, tmp_path: Path) -> None:
    net.save(tmp_path / "net")
    weights = tmp_path / "net" / "net.npz"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="damaged"):
        DistilledSurrogate.load(tmp_path / "net")
    with pytest.raises(ArtifactError, match="aimat surrogate distil"):
        DistilledSurrogate.load(tmp_path / "none")


def test_a_new_version_of_the_surrogate_gets_a_new_net(
    world: tuple[DesignTask, Predictor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, teacher = world
    store, made = SurrogateStore(tmp_path), []
    tiny = SMALL.model_copy(update={"answers": 600, "led_answers": 0, "held_out_answers": 100, "epochs": 1})

    def task_of_now() -> DesignTask:
        made.append(1)
        return task

    first = get_or_distil(store, "default", task_of_now, teacher, tiny)
    assert get_or_distil(store, "default", task_of_now, teacher, tiny).version == first.version
    assert len(made) == 1  # found, not made again
    swapped = replace(teacher, version="analytic-2")
    assert stored_distilled(store.root, "default", "analytic-2") is None
    second = get_or_distil(store, "default", task_of_now, swapped, tiny)
    assert (first.teacher, second.teacher, len(made)) == ("analytic-1", "analytic-2", 2)
    assert get_or_distil(store, "default", task_of_now, teacher, tiny, again=True).version == first.version  # same seed
    assert store.versions("default") == []  # it is no version of the bundle


def test_after_a_swap_a_run_gets_the_net_of_the_new_version(
    world: tuple[DesignTask, Predictor], net: DistilledSurrogate, tmp_path: Path
) -> None:
    task, teacher = world
    store, swapped = SurrogateStore(tmp_path), replace(teacher, version="analytic-3")
    settings = DesignSettings(distil=SMALL.model_copy(update={"led_answers": 600, "held_out_answers": 100}))
    parts: dict[str, Any] = {"data": None, "goals": (), "task": task, "judge": None, "settings": settings}
    bench = Workbench(
        problem=task.problem, bundle=SimpleNamespace(name="default"), predictor=swapped, distilled=net, **parts
    )  # fmt: skip
    assert bench.scorer is None  # it imitates the version before
    later = refreshed(bench, store)
    assert later.scorer is later.distilled is not None
    assert later.distilled.teacher == "analytic-3"
    assert refreshed(later, store) is later
    again = refreshed(bench, store)  # the store has it now
    assert again.distilled is not None and again.distilled.version == later.distilled.version
    without = replace(bench, distilled=None)
    assert refreshed(without, store) is without


def test_a_swap_refreshes_the_net(world: tuple[DesignTask, Predictor], net: DistilledSurrogate) -> None:
    task, teacher = world
    assert redistilled(net, task, teacher, SMALL) is net
    dmax = task.problem.property_keys.index("dmax_mm")

    def changed(at_frac: np.ndarray) -> np.ndarray:
        values = teacher.values(at_frac)  # type: ignore[attr-defined]
        values[:, dmax] += 5.0
        return values

    swapped = replace(teacher, values=changed, version="analytic-2")
    fresh = redistilled(net, task, swapped, SMALL)
    assert fresh.teacher == "analytic-2"
    assert fresh.fidelity["led"]["r2"]["dmax_mm"] > 0.9
    state = fresh_walks(task, swapped, np.arange(100) % 2, np.random.default_rng(8))
    error = np.abs(fresh.predict(state.at_frac).mean[:, dmax] - state.prediction.mean[:, dmax]).mean()
    assert error < 0.5  # the old net is 5 mm off
