"""Expert rules, how they enter rewards, and the language model that scores in the background."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from env_worlds import small_world
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_server import openai_server, says

from aimat_ray.config import DesignSettings, KnowledgeSettings, LlmSettings
from aimat_ray.data.composition import parse_formulas
from aimat_ray.data.sources import load_data
from aimat_ray.refine.knowledge.companion import KbrCompanion
from aimat_ray.refine.knowledge.language import LanguageScorer
from aimat_ray.refine.knowledge.reward import KnowledgeReward
from aimat_ray.refine.knowledge.rules import RULES, RuleScorer
from aimat_ray.refine.llm import LlmClient
from aimat_ray.rl.run_dir import RunDirectory

VITRELOY = "Zr41.2Ti13.8Cu12.5Ni10Be22.5"  # casts to 50 mm
GLASSES = [VITRELOY, "Zr60Cu20Al10Ni10", "La55Al25Ni20", "Pd40Cu30Ni10P20", "Mg65Cu25Gd10"]
CRYSTALS = ["Fe90Cr10", "Cu70Zn30", "Ni80Cr20", "Al95Cu5", "Ti90V10"]


@pytest.fixture
def scorer(problem):
    return RuleScorer(problem)


def test_glass_formers_score_above_plain_alloys(problem, scorer):
    glass, crystal = (scorer(parse_formulas(names, problem.elements)) for names in (GLASSES, CRYSTALS))
    assert glass.min() > crystal.max()
    assert glass.mean() > 0 > crystal.mean()


def test_contributions_add_up_and_are_named(problem, scorer):
    scores = scorer.score(parse_formulas([VITRELOY], problem.elements))
    parts = scores.explain(0)
    assert set(parts) == {rule.name for rule in RULES}
    assert sum(parts.values()) == pytest.approx(scores.total[0])
    assert parts["negative_enthalpy"] > 0


def test_reduced_glass_temperature_counts_where_it_is_predicted(problem, scorer):
    at_frac = parse_formulas([VITRELOY] * 3, problem.elements)
    quantities = np.full((3, len(problem.quantity_keys)), np.nan)
    quantities[:, problem.quantity_index("trg")] = [0.5, 0.58, 0.66]
    low, middle, high = scorer.score(at_frac, quantities).contributions[:, 4]
    assert low < -0.9 and middle == pytest.approx(0) and high > 0.9


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_scores_stay_within_their_range(seed):
    from aimat_ray.problem import load_problem

    problem = load_problem()
    at_frac = np.random.default_rng(seed).dirichlet(np.full(52, 0.1), 20)
    scores = RuleScorer(problem).score(at_frac)
    assert np.abs(scores.total).max() <= 1 and np.abs(scores.contributions).max() <= 1


# ---- reward


def rewarding(problem, scorer=None, **options):
    task, _ = small_world(problem)
    known = scorer or RuleScorer(problem)
    return task, KnowledgeReward(known, task, KnowledgeSettings(scorer="rules", **options))


def observations(task, at_frac):
    obs = np.zeros((len(at_frac), task.layout.size), np.float32)
    obs[:, task.layout.blocks["at_frac"]] = at_frac
    return obs


def test_it_begins_in_the_last_fifth_of_the_steps_or_of_another_measure(problem, tmp_path):
    task, _ = small_world(problem)
    bench = SimpleNamespace(task=task, problem=problem, data=load_data("oracle:0", problem))
    run = DesignSettings(steps=10_000, knowledge=KnowledgeSettings(scorer="rules"))

    def active(progress, env_steps):
        companion = KbrCompanion(run, lambda line: None, progress)
        companion.join(bench, RunDirectory(tmp_path), False)
        algorithm = SimpleNamespace(env_steps=0, buffer=Empty(), listeners=[])
        companion.start(algorithm, bench, None)
        algorithm.env_steps = env_steps
        return bool(companion.after_iteration(algorithm)["knowledge_active"])

    assert [active(None, steps) for steps in (7_999, 8_000)] == [False, True]
    assert [active(lambda algorithm, done=done: done, 10) for done in (0.79, 0.8)] == [False, True]


def test_a_walk_earns_the_gain_between_its_ends_and_no_more(problem):
    task, reward = rewarding(problem, weight=0.1)
    path = np.random.default_rng(0).dirichlet(np.full(52, 0.2), 9)
    obs = observations(task, path)
    there = reward.bonus(obs[:-1], obs[1:])
    scorer = RuleScorer(problem)
    quantities = obs[:, task.layout.blocks["quantities"]] * task.scale.width + task.scale.centre
    ends = scorer(path, quantities)[[0, -1]]
    assert there.sum() == pytest.approx(0.1 * (ends[1] - ends[0]), abs=1e-4)
    back = reward.bonus(obs[::-1][:-1], obs[::-1][1:])
    assert there.sum() + back.sum() == pytest.approx(0.0, abs=1e-9)


class Empty:
    n_trusted = 0

    def __len__(self):
        return 0


class Liar:
    def __call__(self, at_frac, quantities=None):
        return np.where(np.arange(len(at_frac)) % 3 == 0, np.nan, 1e9 * (-1.0) ** np.arange(len(at_frac)))

    def close(self):
        pass


def test_no_scorer_can_exceed_the_cap(problem):
    task, reward = rewarding(problem, Liar(), weight=0.2)
    obs = observations(task, np.random.default_rng(0).dirichlet(np.full(52, 0.2), 12))
    bonus = reward.bonus(obs, obs[::-1])
    assert np.abs(bonus).max() <= 0.4
    assert (bonus[np.arange(12) % 3 == 0] == 0).all()  # what is not known changes nothing
    columns = {"obs": obs, "next_obs": obs[::-1], "rewards": np.ones(12, np.float32)}
    reward.add_to(columns)
    np.testing.assert_allclose(columns["rewards"], 1 + bonus, atol=1e-6)


# ---- the language model


@pytest.fixture
def language(problem, make_table, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    table = make_table(GLASSES + CRYSTALS, {"dmax_mm": [50, 10, 5, 20, 8, None, None, None, None, None]})
    made = []

    def start(server, **llm):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        client = LlmClient(LlmSettings(**({"retries": 0, "timeout_s": 5.0} | llm)), tmp_path / "cache")
        made.append(LanguageScorer(client, table, problem, KnowledgeSettings(scorer="llm", batch=4, neighbours=3)))
        return made[-1]

    yield start
    for scorer in made:
        scorer.close()


def test_scores_arrive_later_and_training_does_not_wait(problem, language):
    at_frac = parse_formulas(GLASSES[:4], problem.elements)
    with openai_server(says({"scores": [0.9, 5.0, -7.0]}, delay_s=0.5)) as server:
        scorer = language(server)
        began = time.monotonic()
        assert np.isnan(scorer(at_frac)).all()
        assert time.monotonic() - began < 0.4  # the server takes 0.5 s
        assert scorer.drain(30)
        scores = scorer(at_frac)
    assert sorted(scores.tolist()) == [-1.0, 0.0, 0.9, 1.0]  # clipped; 0 for the one that was left out
    (request,) = server.requests
    alloys = json.loads(request["messages"][1]["content"])["alloys"]
    assert len(alloys) == 4
    similar = next(a for a in alloys if a["composition_at_pct"].startswith("Zr41"))["similar_measured"]
    assert similar[0]["dmax_mm"] == 50 and len(similar) == 3


def test_a_composition_is_asked_about_once(problem, language):
    near = parse_formulas(["Zr60Cu20Al10Ni10", "Zr60.2Cu20Al9.9Ni9.9"], problem.elements)
    with openai_server(says({"scores": [0.5]})) as server:
        scorer = language(server)
        for _ in range(3):
            scorer(near)
            assert scorer.drain(30)
        assert len(server.requests) == 1
    assert scorer(near).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("lie", [{"scores": ["good"]}, {"scores": None}, {"scores": [float("inf")]}, "NaN"])
def test_nonsense_scores_nothing_and_stops_the_questions(problem, language, lie):
    with openai_server(says(lie if isinstance(lie, str) else json.dumps(lie))) as server:
        scorer = language(server)
        scorer(parse_formulas(GLASSES, problem.elements))
        assert scorer.drain(30)
        assert "no usable answer" in scorer.stopped_by
        assert np.isnan(scorer(parse_formulas(GLASSES, problem.elements))).all()


def test_the_queue_is_bounded(problem, language):
    with openai_server(says({"scores": []}, delay_s=0.3)) as server:
        scorer = language(server)
        scorer(np.random.default_rng(0).dirichlet(np.full(52, 0.2), 2_000))
        assert len(scorer._waiting) <= 256
