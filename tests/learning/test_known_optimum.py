from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from known_optimum import PROBLEMS, greedy_optimum, share_of_optimum, share_of_random, train

from aimat_ray.data.composition import parse_formula
from aimat_ray.env.legality import check_legality
from aimat_ray.env.walk import limits_of


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    from aimat_ray.registry.runtime import ray_running

    with ray_running(num_cpus=1):
        yield


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_optimum_is_what_the_formula_says(name: str) -> None:
    known = PROBLEMS[name]()
    best = {"interior": "Zr50Cu30Al12Ni8", "corner": "Zr40Cu30Al20Ni10"}[name]
    at_frac = parse_formula(best, known.task.problem.elements)[None]
    assert check_legality(at_frac, limits_of(known.task, np.zeros(1, dtype=np.intp))).legal.all()
    assert known.predictor.predict(at_frac).mean[0, 0] == pytest.approx(known.optimum)
    assert greedy_optimum() == pytest.approx(53.0)
    # nothing legal is better, and random walks do not get there
    assert share_of_random(known).max() < 0.98


@pytest.mark.timeout(300)
def test_td3_comes_within_2_percent_at_a_corner(ray: None) -> None:
    known = PROBLEMS["corner"]()
    policy = train(known, steps=8_000, seed=0, updates_per_step=0.5, random_steps=1_000, learning_starts=1_000)
    assert share_of_optimum(known, policy).mean() >= 0.98


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_td3_comes_within_2_percent_in_every_seed(name: str, seed: int, ray: None) -> None:
    known = PROBLEMS[name]()
    assert share_of_optimum(known, train(known, steps=20_000, seed=seed)).mean() >= 0.98
