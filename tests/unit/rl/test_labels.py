"""Where the labels of a run come from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from env_worlds import small_world

from aimat_ray.config import AgentSettings, DesignSettings, EnvSettings
from aimat_ray.env.episodes import CountingPredictor
from aimat_ray.env.walk import fresh_walks
from aimat_ray.problem import DesignProblem
from aimat_ray.rl.labels import FirstLabels, make_labeler


def bench_of(problem: DesignProblem, labels: str, scorer: Any, **env: Any) -> Any:
    task, predictor = small_world(problem, **env)
    settings = DesignSettings(agent=AgentSettings(labels=labels), env=EnvSettings(**env))  # type: ignore[arg-type]
    return SimpleNamespace(task=task, predictor=CountingPredictor(predictor), scorer=scorer, settings=settings)


@pytest.mark.parametrize("with_net", [False, True])
def test_lookahead_labels_ask_the_net_where_there_is_one(problem: DesignProblem, with_net: bool) -> None:
    _, predictor = small_world(problem)
    net = CountingPredictor(predictor)
    bench = bench_of(problem, "lookahead", net if with_net else None)
    state = fresh_walks(bench.task, predictor, np.arange(6) % 2, np.random.default_rng(0))
    labeler = make_labeler(bench, None)  # they need no archive
    assert labeler is not None
    effect, weight = labeler(state)
    assert (net.n_predictions, bench.predictor.n_predictions) == ((192, 0) if with_net else (0, 192))  # 6 walks x 32
    assert effect.shape == state.at_frac.shape
    assert weight.max() == 1


def test_no_labels_without_an_archive_or_when_none_are_asked_for(problem: DesignProblem) -> None:
    assert make_labeler(bench_of(problem, "archive", None), None) is None
    assert make_labeler(bench_of(problem, "none", None), None) is None
    assert make_labeler(bench_of(problem, "lookahead", None, mode="paper"), None) is None


def test_the_first_labeler_that_has_a_label_gives_it() -> None:
    def says(value: float, rows: list[int]) -> Any:
        def label(state: Any) -> Any:
            n = len(state)
            weight = np.isin(state.ids, rows).astype(np.float32)
            return np.full((n, 2), value, np.float32), weight

        return label

    class Rows:
        def __init__(self, ids: np.ndarray) -> None:
            self.ids = ids

        def __len__(self) -> int:
            return len(self.ids)

        def rows(self, index: np.ndarray) -> Any:
            return Rows(self.ids[index])

    effect, weight = FirstLabels((says(1.0, [0, 2]), says(2.0, [1, 2])))(Rows(np.arange(4)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(weight, [1, 1, 1, 0])
    np.testing.assert_array_equal(effect[:3, 0], [1, 2, 1])
