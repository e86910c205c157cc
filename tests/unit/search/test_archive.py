"""The archive: filling, storing, choosing targets, walking, labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from analytic_world import AnalyticPredictor, walks_at
from env_worlds import small_world

from aimat_ray.config import RewardSettings
from aimat_ray.data.composition import parse_formulas
from aimat_ray.env.episodes import CountingPredictor, run_episodes
from aimat_ray.env.goals import HarderGoals, RelativeGoals
from aimat_ray.env.legality import check_legality
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import fresh_walks, limits_of, move
from aimat_ray.errors import ArtifactError, ProblemError, RunError
from aimat_ray.problem import DesignProblem
from aimat_ray.search.archive import Archive
from aimat_ray.search.archive_build import build_archive
from aimat_ray.search.archive_walk import ArchiveLabeler, ArchiveWalk, Targets


@pytest.fixture(scope="module")
def built(problem: DesignProblem) -> tuple[DesignTask, AnalyticPredictor, Archive]:
    task, predictor = small_world(problem)
    return task, predictor, build_archive(task, predictor, np.random.default_rng(0), n_per_base=12, budget=3_000)


def by_hand(problem: DesignProblem, formulas: list[str], base: str = "Zr") -> Archive:
    _, predictor = small_world(problem)
    at_frac = parse_formulas(formulas, problem.elements)
    return Archive(problem.elements, np.array([base] * len(formulas)), at_frac, predictor.predict(at_frac), 99)


def test_built_alloys_are_distinct_legal_and_at_the_goal(
    built: tuple[DesignTask, AnalyticPredictor, Archive],
) -> None:
    task, _, archive = built
    assert set(archive.base.tolist()) == {"Zr", "Cu"}
    dmax = task.problem.property_keys.index("dmax_mm")
    for b, symbol in enumerate(task.bases):
        own = archive.rows(archive.base == symbol)
        assert 4 <= len(own) <= 12
        assert check_legality(own.at_frac, limits_of(task, np.full(len(own), b))).legal.all()
        assert (own.prediction.mean[:, dmax] >= 8).all()
        assert (own.prediction.p_feasible >= 0.5).all()
        apart = np.abs(own.at_frac[:, None] - own.at_frac[None]).max(axis=2) + np.eye(len(own))
        assert apart.min() > 0.01
    assert 2 * 2_500 < archive.predictions_spent < 2 * 3_000 + 2_000


def test_the_same_seed_builds_the_same_archive(built: tuple[DesignTask, AnalyticPredictor, Archive]) -> None:
    task, predictor, archive = built
    again = build_archive(task, predictor, np.random.default_rng(0), n_per_base=12, budget=3_000)
    np.testing.assert_array_equal(again.at_frac, archive.at_frac)


def test_nothing_to_find_says_so(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    hard = replace(task, goals=HarderGoals(task.goals, 10.0))
    with pytest.raises(ProblemError, match="raise its budget or lower the goal"):
        build_archive(hard, predictor, np.random.default_rng(0), budget=300)
    hopeless = replace(predictor, p_feasible=lambda x: np.zeros(len(x)))
    with pytest.raises(ProblemError, match="nothing to search"):
        build_archive(task, hopeless, np.random.default_rng(0), budget=300)


def test_saving_keeps_every_bit(built: tuple[DesignTask, AnalyticPredictor, Archive], tmp_path: Path) -> None:
    _, _, archive = built
    archive.save(tmp_path / "archive")
    again = Archive.load(tmp_path / "archive")
    np.testing.assert_array_equal(again.at_frac, archive.at_frac)
    np.testing.assert_array_equal(again.base, archive.base)
    np.testing.assert_array_equal(again.prediction.mean, archive.prediction.mean)
    np.testing.assert_array_equal(again.prediction.reason, archive.prediction.reason)
    assert (again.version, again.elements) == (archive.version, archive.elements)
    assert again.predictions_spent == archive.predictions_spent


def test_damage_is_found(built: tuple[DesignTask, AnalyticPredictor, Archive], tmp_path: Path) -> None:
    _, _, archive = built
    with pytest.raises(ArtifactError, match="can't be read"):
        Archive.load(tmp_path / "nowhere")
    archive.save(tmp_path)
    alloys = tmp_path / "alloys.npz"
    good = alloys.read_bytes()
    alloys.write_bytes(good[:-1] + b"x")
    with pytest.raises(ArtifactError, match="checksum"):
        Archive.load(tmp_path)
    alloys.write_bytes(good)
    manifest = json.loads((tmp_path / "archive.json").read_text())
    (tmp_path / "archive.json").write_text(json.dumps(manifest | {"format": "other"}))
    with pytest.raises(ArtifactError, match="format 'other'"):
        Archive.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another folder"):
        archive.save(tmp_path / "file" / "below")


def test_refreshed_predictions_are_those_of_the_new_surrogate(problem: DesignProblem) -> None:
    archive = by_hand(problem, ["Zr60Cu24Al16"])
    _, predictor = small_world(problem)
    renewed = archive.refreshed(replace(predictor, version="analytic-2"))
    assert renewed.version == "analytic-2" and archive.version == "analytic-1"
    assert renewed.predictions_spent == 100


def test_walks_go_straight_to_the_nearest_alloy(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    archive = by_hand(problem, ["Zr60Cu22Al18", "Zr50Ni28Al20Ti2"])
    start = walks_at(task, predictor, ["Zr64Cu30Al6", "Zr50Ni28Al8Ti14"])
    counter = CountingPredictor(predictor)
    walk = ArchiveWalk.of(archive, task)
    episodes = run_episodes(task, counter, start, walk, np.random.default_rng(0), keep_path=True)
    assert episodes.goal.all()
    # 12 at% of Al lie ahead, 5 at a time, but 10 of them are enough for 8 mm with 6 + 10; the second needs 2.4 at% only
    np.testing.assert_array_equal(episodes.steps, [2, 1])
    assert counter.n_predictions == 3
    first_step = episodes.path[1, 0] - episodes.path[0, 0]  # type: ignore[index]
    target = archive.at_frac[0] - start.at_frac[0]
    np.testing.assert_allclose(first_step, target * 0.05 / np.abs(target).max(), atol=1e-12)


def test_the_walk_of_a_built_archive_arrives(built: tuple[DesignTask, AnalyticPredictor, Archive]) -> None:
    task, predictor, archive = built
    start = fresh_walks(task, predictor, np.arange(60, dtype=np.intp) % 2, np.random.default_rng(5))
    for ranking in ("nearest", "robust"):
        walk = ArchiveWalk.of(archive, task, ranking)  # type: ignore[arg-type]
        episodes = run_episodes(task, CountingPredictor(predictor), start, walk, np.random.default_rng(0))
        assert episodes.goal.mean() > 0.9
        assert episodes.predictions == episodes.n_steps


def test_only_alloys_that_meet_the_walks_own_goal_are_targets(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    # 8 mm and 10 mm
    archive = by_hand(problem, ["Zr60Cu24Al16", "Zr60Cu20Al20"])
    state = walks_at(task, predictor, ["Zr60Cu30Al10"] * 3)
    d = problem.quantity_index("dmax_mm")
    at_least = state.goals.at_least.copy()
    at_least[:, d] = (8, 9, 11)
    state = replace(state, goals=replace(state.goals, at_least=at_least))
    target, known = Targets(archive, task).choose(state)
    np.testing.assert_array_equal(known, [True, True, False])
    # nothing meets 11 mm: the closest to it is the second
    np.testing.assert_array_equal(target, archive.at_frac[[0, 1, 1]])


def test_the_allowed_change_rules_targets_out(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    archive = by_hand(problem, ["Zr60Cu24Al16", "Zr60Cu20Al20"])
    state = walks_at(task, predictor, ["Zr60Cu30Al10"] * 2)
    state = replace(state, goals=replace(state.goals, max_change=np.array([0.06, 0.05])))
    target, known = Targets(archive, task).choose(state)
    np.testing.assert_array_equal(known, [True, False])
    np.testing.assert_array_equal(target[0], archive.at_frac[0])


def test_robust_ranking_takes_the_nearest_of_the_safest(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    # one margin of 0 and four of 2 in 8 mm; the first is the nearest, then come the safe ones in this order
    safe = ["Zr60Cu20Al20", "Zr62Cu18Al20", "Zr64Cu16Al20", "Zr66Cu14Al20"]
    archive = by_hand(problem, ["Zr60Cu24Al16", *safe])
    state = walks_at(task, predictor, ["Zr60Cu30Al10"])
    near, _ = Targets(archive, task, "nearest").choose(state)
    robust, _ = Targets(archive, task, "robust").choose(state)
    np.testing.assert_array_equal(near[0], archive.at_frac[0])
    np.testing.assert_array_equal(robust[0], archive.at_frac[1])
    in_domain = np.array([True, False, False, False, False])
    outside = replace(archive, prediction=replace(archive.prediction, in_domain=in_domain))
    robust, _ = Targets(outside, task, "robust").choose(state)
    np.testing.assert_array_equal(robust[0], archive.at_frac[0])


def test_a_robust_goal_needs_a_target_inside_the_domain(problem: DesignProblem) -> None:
    task, predictor = small_world(problem, reward=RewardSettings(robust=True))
    archive = by_hand(problem, ["Zr60Cu24Al16"])
    outside = replace(archive, prediction=replace(archive.prediction, in_domain=np.array([False])))
    state = walks_at(task, predictor, ["Zr60Cu30Al10"])
    assert Targets(archive, task).choose(state)[1][0]
    assert not Targets(outside, task).choose(state)[1][0]


def test_a_base_that_the_archive_does_not_know_gets_mapped_alloys(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    archive = by_hand(problem, ["Zr60Cu24Al16"])
    state = walks_at(task, predictor, ["Cu60Zr30Ti10"], bases=[1])
    target, known = Targets(archive, task).choose(state)
    assert not known[0]  # nobody has predicted the mapped alloy
    assert check_legality(target, limits_of(task, state.base)).legal[0]
    empty = archive.rows(np.zeros(0, dtype=np.intp))
    target, known = Targets(empty, task).choose(state)
    assert not known[0]
    np.testing.assert_array_equal(target, state.at_frac)  # nowhere to go
    np.testing.assert_array_equal(ArchiveWalk.of(empty, task)(state, np.random.default_rng(0)), 0)


def test_labels_are_the_walks_own_steps_but_never_tiny(built: tuple[DesignTask, AnalyticPredictor, Archive]) -> None:
    task, predictor, archive = built
    state = fresh_walks(task, predictor, np.arange(50, dtype=np.intp) % 2, np.random.default_rng(7))
    effect, weight = ArchiveLabeler(Targets(archive, task))(state)
    assert effect.dtype == weight.dtype == np.float32
    walked = move(task, state, ArchiveWalk.of(archive, task)(state, np.random.default_rng(0)))
    own = (walked - state.at_frac) / task.max_step
    length = np.abs(own).max(axis=1)
    assert 0 < length.min() < 0.3 < length.max()  # steps that lead to near targets are short
    np.testing.assert_allclose(effect, own * np.maximum(0.3 / length, 1.0)[:, None], atol=1e-6)
    np.testing.assert_array_equal(weight, 1)


def test_mixed_goals_give_each_walk_its_own_label(problem: DesignProblem) -> None:
    task, predictor = small_world(problem)
    d = problem.quantity_index("dmax_mm")
    relative = replace(task, goals=RelativeGoals((d,), (), problem.maximize, gain=(0.1, 0.3), max_change=0.2))
    archive = build_archive(relative, predictor, np.random.default_rng(0), n_per_base=16, budget=2_000)
    state = fresh_walks(relative, predictor, np.arange(200, dtype=np.intp) % 2, np.random.default_rng(1))
    target, known = Targets(archive, relative).choose(state)
    change = 0.5 * np.abs(target - state.start).sum(axis=1)
    assert 0.1 < known.mean() < 1
    assert (change[known] <= 0.2 + 1e-9).all()
    values = predictor.predict(target).mean[:, problem.property_keys.index("dmax_mm")]
    assert (values[known] >= state.goals.at_least[known, d]).all()
    one_by_one = [Targets(archive, relative).choose(state.rows(np.array([i])))[0][0] for i in range(40)]
    np.testing.assert_array_equal(target[:40], one_by_one)


def test_in_paper_mode_only_alloys_of_the_same_elements_can_be_walked_to(problem: DesignProblem) -> None:
    task, predictor = small_world(problem, mode="paper")
    archive = by_hand(problem, ["Zr60Al20Ni20", "Zr60Cu20Al20"])
    state = walks_at(task, predictor, ["Zr62Cu30Al8", "Zr62Ti30Al8"])
    target, known = Targets(archive, task).choose(state)
    np.testing.assert_array_equal(known, [True, False])
    np.testing.assert_array_equal(target, [archive.at_frac[1], state.at_frac[1]])
    episodes = run_episodes(
        task, CountingPredictor(predictor), state, ArchiveWalk.of(archive, task), np.random.default_rng(0), 10
    )
    np.testing.assert_array_equal(episodes.goal, [True, False])
