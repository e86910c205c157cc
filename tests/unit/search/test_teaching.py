"""What a distilled surrogate is taught, and how its answers are compared."""

from __future__ import annotations

import numpy as np
import pytest
from analytic_world import AnalyticPredictor, linear
from env_worlds import small_world

from aimat_ray.env.legality import check_legality
from aimat_ray.problem import DesignProblem
from aimat_ray.search.fidelity import fidelity
from aimat_ray.search.teaching import Lessons, Recorder, lessons_near_paths


def test_every_answer_is_kept_with_its_question(problem: DesignProblem) -> None:
    _, predictor = small_world(problem)
    recorder = Recorder(predictor)
    x = np.eye(len(problem.elements))[:3]
    recorder.predict(x)
    recorder.predict(x[:1])
    lessons = recorder.lessons()
    assert len(lessons) == recorder.n == 4
    np.testing.assert_array_equal(lessons.at_frac, x[[0, 1, 2, 0]])
    np.testing.assert_array_equal(lessons.answers.mean, predictor.predict(x[[0, 1, 2, 0]]).mean)
    assert len(lessons.and_also(lessons)) == 8


@pytest.mark.parametrize("led", [False, True])
def test_lessons_are_legal_varied_and_as_many_as_asked(problem: DesignProblem, led: bool) -> None:
    task, predictor = small_world(problem)
    scorer = predictor if led else None
    lessons = lessons_near_paths(task, predictor, np.random.default_rng(0), 5_000, scorer)
    assert 5_000 <= len(lessons) <= 40_000
    base = lessons.at_frac.argmax(axis=1)
    row = np.array([task.windows.base.tolist().index(b) for b in base])
    assert check_legality(lessons.at_frac, task.windows.rows(row)).legal.mean() > 0.95
    assert set(row) == {0, 1}
    assert len(np.unique(lessons.at_frac.round(4), axis=0)) > 0.5 * len(lessons)
    reached = lessons.answers.mean[:, problem.property_keys.index("dmax_mm")] >= 8
    assert 0.05 < reached.mean() < 0.95  # both sides of the goal


def test_the_same_seed_gives_the_same_lessons(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    first, second = (lessons_near_paths(task, predictor, np.random.default_rng(3), 1_000) for _ in range(2))
    np.testing.assert_array_equal(first.at_frac, second.at_frac)


def test_fidelity_by_hand(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    cu, al = problem.element_index["Cu"], problem.element_index["Al"]
    at_frac = np.zeros((4, len(problem.elements)))
    at_frac[:, problem.element_index["Zr"]] = 0.6
    at_frac[:, al] = [0.20, 0.18, 0.14, 0.10]  # 10, 9, 7 and 5 mm; the goal is 8
    at_frac[:, cu] = 0.4 - at_frac[:, al]
    net = AnalyticPredictor(
        linear(problem, dmax_mm={"Al": 0.5, "Cu": 0.1}),  # 12, 11.2, 9.6, 8: all four at the goal
        p_feasible=lambda x: np.where(x[:, al] > 0.12, 1.0, 0.3),  # of which the last is not feasible
        in_domain=lambda x: (x[:, al] > 0.19).astype(float),
        version="net",
    )
    found = fidelity(task, net, Lessons(at_frac, predictor.predict(at_frac)))
    assert found["n"] == 4
    assert found["p_agreement"] == 0.75
    assert found["domain_agreement"] == 0.25
    # errors 2, 2.2, 2.6, 3 against deviations 2.25, 1.25, -.75, -2.75 from the mean of 7.75
    error, deviation = 2**2 + 2.2**2 + 2.6**2 + 3**2, 2.25**2 + 1.25**2 + 0.75**2 + 2.75**2
    assert found["r2"]["dmax_mm"] == pytest.approx(1 - error / deviation, abs=1e-4)
    assert found["goal"] == {
        "n": 4, "agreement": 0.75, "n_true": 2, "n_said": 3, "precision": pytest.approx(2 / 3, abs=1e-4), "recall": 1.0,
    }  # fmt: skip


def test_fidelity_without_any_goal(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    at_frac = np.zeros((1, len(problem.elements)))
    at_frac[0, problem.element_index["Fe"]] = 1.0  # no base of this task
    found = fidelity(task, predictor, Lessons(at_frac, predictor.predict(at_frac)))
    assert found["goal"] == {
        "n": 0, "agreement": None, "n_true": 0, "n_said": 0, "precision": None, "recall": None,
    }  # fmt: skip
