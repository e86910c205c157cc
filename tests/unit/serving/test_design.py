"""POST /v1/design over surrogates in this process: wishes, answers, bounds in predictions and time."""

import dataclasses
import json
import time

import numpy as np
import pytest
from asgi_caller import Caller

from aimat_ray.data.composition import parse_formula
from aimat_ray.data.sources import load_data
from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving import designer
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.designer import DesignAsk, DesignDesk, DesignTimeError, LocalDesigner, Timed, merge
from aimat_ray.serving.settings import ServingSettings
from aimat_ray.serving.wishes import BoundedImprovement, DesignRequest, read_wishes

PROBLEM = load_problem()
START = "Zr60Cu20Al10Ni10"


def surrogate(seed, **columns):
    """Properties linear in the fractions: the ones given, for all others 5 of every element; feasible everywhere."""
    weights = np.full((len(PROBLEM.elements), len(PROBLEM.properties)), 5.0)
    weights[:, 0] = 9.0  # p_feasible is a tenth of the first property
    for key, values in columns.items():
        for element, value in values.items():
            weights[PROBLEM.element_index[element], PROBLEM.property_keys.index(key)] = value
    return LinearBundle(f"linear-{seed}", weights)


# Dmax grows with Cu, the yield strength with Al; the judge sees the same of Cu and the opposite of Al.
OWN = surrogate(1, dmax_mm={"Cu": 20.0}, yield_strength_mpa={"Al": 50.0})
JUDGE = surrogate(2, dmax_mm={"Cu": 18.0}, yield_strength_mpa={"Al": 1.0})


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return DesignDesk(PROBLEM, load_data("oracle", PROBLEM), tmp_path_factory.mktemp("no-runs"))


@pytest.fixture(scope="module")
def api(desk):
    context = AppContext(
        PROBLEM, LocalBackend(OWN), ServingSettings(data="oracle"), designer=LocalDesigner(desk, OWN, JUDGE)
    )
    return Caller(make_app(context))


def ask(api, **body):
    body = {"start": START, "wishes": [{"quantity": "dmax_mm", "raise_pct": 10}], "budget": 1500} | body
    return api.post("/v1/design", body)


def at_frac(at_pct):
    return np.array([at_pct.get(element, 0.0) for element in PROBLEM.elements]) / 100


def test_designs_fulfil_the_wish_within_the_allowed_change(api):
    document = ask(api, max_change_at_pct=8, n_designs=4).json()
    assert (document["surrogate_version"], document["judge_version"]) == (OWN.version, JUDGE.version)
    assert document["base"] == "Zr"
    start = parse_formula(START, PROBLEM.elements)
    # Dmax of the start: 5 + 0.2 * 15 = 8 mm; 10 % more is 8.8 mm
    assert document["start"]["properties"]["dmax_mm"]["value"] == pytest.approx(8.0)
    assert document["goal"] == [{"quantity": "dmax_mm", "at_least": pytest.approx(8.8), "at_most": None}]
    assert 1 <= len(document["designs"]) <= 4
    for design in document["designs"]:
        composition = at_frac(design["at_pct"])
        assert 50 * np.abs(composition - start).sum() <= 8 + 1e-6
        predicted = OWN.predict(composition[None]).mean[0, PROBLEM.property_keys.index("dmax_mm")]
        assert design["properties"]["dmax_mm"]["value"] == pytest.approx(predicted, abs=0.01)
        assert predicted >= 8.8 - 1e-6
        assert design["fulfils"]
        assert design["confirmed"], "the judge agrees about Cu"
        assert design["method"] == "evolution"


def test_the_path_leads_from_the_start_to_the_design_in_small_steps(api):
    document = ask(api).json()
    for design in document["designs"]:
        path = np.array([at_frac(step["at_pct"]) for step in design["path"]])
        assert np.allclose(path[0], parse_formula(START, PROBLEM.elements), atol=1e-3)
        assert np.allclose(path[-1], at_frac(design["at_pct"]), atol=1e-3)
        assert np.abs(np.diff(path, axis=0)).max() <= 0.05 + 2e-3
        assert design["path"][-1]["formula"] == design["formula"]


def test_what_the_judge_denies_is_not_confirmed(api):
    document = ask(api, wishes=[{"quantity": "yield_strength_mpa", "raise_pct": 10}]).json()
    assert document["designs"]
    assert not any(design["confirmed"] for design in document["designs"])


def test_without_a_judge_nothing_is_confirmed_or_denied(desk):
    context = AppContext(PROBLEM, LocalBackend(OWN), designer=LocalDesigner(desk, OWN))
    document = ask(Caller(make_app(context))).json()
    assert document["judge_version"] is None
    assert {design["confirmed"] for design in document["designs"]} == {None}


@pytest.mark.parametrize("method", ["evolution", "greedy", "local", "auto"])
def test_every_method_answers_and_the_same_seed_gives_the_same(api, method):
    first, second = (ask(api, method=method, seed=3).json() for _ in range(2))
    assert first["designs"]
    assert first["designs"] == second["designs"]
    assert first["predictions"] <= 1500 + 1000  # a batch that is under way is finished


def test_absolute_bounds_hold_beside_relative_ones(api):
    wishes = [
        {"quantity": "dmax_mm", "at_least": 8.5, "at_most": 9.0},
        {"quantity": "yield_strength_mpa", "keep_pct": 1},
    ]
    document = ask(api, wishes=wishes).json()
    assert document["designs"]
    for design in document["designs"]:
        assert 8.5 <= design["properties"]["dmax_mm"]["value"] <= 9.0
        # 5 + 0.1 * 45 = 9.5 at the start; 1 % less is 9.405
        assert design["properties"]["yield_strength_mpa"]["value"] >= 9.4


def test_an_impossible_wish_gets_the_nearest_miss(api):
    document = ask(api, wishes=[{"quantity": "dmax_mm", "at_least": 100}]).json()
    assert document["designs"] == []
    assert not document["nearest_miss"]["fulfils"]
    # it went where Dmax grows
    assert document["nearest_miss"]["properties"]["dmax_mm"]["value"] > 8.0


BAD = [
    ({"start": "Xx50Zr50"}, "start: "),
    ({"start": "Zr50Cu50"}, "at least 3 elements"),
    ({"start": "Cr60Ni20Al20"}, "Cr has no window"),
    ({"start": {"Zr": -1}}, "start"),
    ({"start": ""}, "start"),
    ({"start": "<b>Zr</b>"}, "start: "),
    ({"wishes": []}, "wishes"),
    ({"wishes": [{"quantity": "dmax_mm"}]}, "give one of at_least"),
    ({"wishes": [{"quantity": "beauty", "raise_pct": 5}]}, "unknown property 'beauty'"),
    ({"wishes": [{"quantity": "dmax_mm", "raise_pct": 5, "lower_pct": 5}]}, "contradict"),
    ({"wishes": [{"quantity": "dmax_mm", "at_least": 9, "at_most": 8}]}, "at least 9 and at most 8"),
    ({"wishes": [{"quantity": "dmax_mm", "raise_pct": 5}] * 2}, "named twice"),
    ({"wishes": [{"quantity": "dmax_mm", "raise_pct": -5}]}, "raise_pct"),
    ({"wishes": [{"quantity": "dmax_mm", "raise_pct": 1e9}]}, "raise_pct"),
    ({"wishes": [{"quantity": "dmax_mm", "at_least": "much"}]}, "at_least"),
    ({"wishes": [{"quantity": "dmax_mm", "raise_pct": 5}] * 9}, "wishes"),
    ({"max_change_at_pct": 0}, "max_change_at_pct"),
    ({"max_change_at_pct": 51}, "max_change_at_pct"),
    ({"method": "magic"}, "unknown method 'magic'"),
    ({"method": "policy"}, "no finished run has a policy for base Zr"),
    ({"budget": 10}, "budget"),
    ({"budget": 10**9}, "budget"),
    ({"n_designs": 21}, "n_designs"),
    ({"seed": -1}, "seed"),
    ({"more": 1}, "more"),
]


@pytest.mark.parametrize(("body", "words"), BAD, ids=lambda case: str(case)[:40])
def test_bad_requests_get_422_and_the_reason(api, body, words):
    reply = ask(api, **body)
    assert reply.status_code == 422, reply.text
    assert words in reply.json()["error"]["message"]


def test_a_start_outside_the_class_is_refused(desk):
    poor = LinearBundle("poor", np.full_like(OWN.weights, 2.0))  # p_feasible 0.2 everywhere
    context = AppContext(PROBLEM, LocalBackend(poor), designer=LocalDesigner(desk, poor))
    reply = ask(Caller(make_app(context)))
    assert reply.status_code == 422
    assert "does not see it as BMG" in reply.json()["error"]["message"]


def test_a_service_without_a_designer_says_so():
    reply = ask(Caller(make_app(AppContext(PROBLEM, LocalBackend(OWN)))))
    assert reply.status_code == 503
    assert "does not design" in reply.json()["error"]["message"]


class Slow:
    """A surrogate that takes its time for every composition."""

    version = OWN.version

    def __init__(self, per_row_s):
        self.per_row_s, self.n = per_row_s, 0

    def predict(self, rows):
        self.n += len(rows)
        time.sleep(self.per_row_s * len(rows))
        return OWN.predict(rows)


def question(desk, **more):
    body = {"start": START, "wishes": [{"quantity": "dmax_mm", "raise_pct": 10}]} | more
    request = DesignRequest.model_validate(body)
    start = parse_formula(START, PROBLEM.elements)
    wish = read_wishes(request, PROBLEM)
    return DesignAsk(start, wish, request.method, request.n_designs, request.budget, request.seed)


def test_a_slow_surrogate_gets_a_smaller_budget(desk, monkeypatch):
    monkeypatch.setattr(designer, "TIME_LIMIT_S", 30.0)
    slow = Slow(5e-3)
    answer = desk.design(question(desk, budget=20_000), slow, None)
    # a quarter of the 30 s at 5 ms or more a prediction
    assert answer.budget <= 1_500
    assert answer.improvements.designs


def test_after_its_time_a_search_ends_with_a_clear_error(desk):
    timed = Timed(OWN, 0.05)
    rows = parse_formula(START, PROBLEM.elements)[None]
    assert len(timed.predict(rows)) == 1
    time.sleep(0.1)
    with pytest.raises(DesignTimeError, match="took more than"):
        timed.predict(rows)


def test_a_design_that_takes_too_long_is_answered_with_504(desk, monkeypatch):
    """Not with 503, which clients repeat."""
    monkeypatch.setattr(designer, "TIME_LIMIT_S", 0.05)
    context = AppContext(PROBLEM, LocalBackend(OWN), designer=LocalDesigner(desk, Slow(1e-3)))
    reply = ask(Caller(make_app(context)))
    assert reply.status_code == 504
    assert "smaller budget" in reply.json()["error"]["message"]


@pytest.mark.timeout(600)  # imports RLlib
def test_a_policy_that_cannot_be_read_is_left_out(tmp_path):
    """Where it is asked for by name the reason is told; beside a search it is only missing."""
    data = load_data("oracle", PROBLEM)
    folder = tmp_path / "zr"
    (folder / "checkpoints" / "000000000500").mkdir(parents=True)
    record = {
        "run_id": "zr-1",
        "base": "Zr",
        "settings": {"problem": "bmg", "env": {}},
        "data": {"checksum": data.checksum},
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "evaluation.json").write_text("{}")
    (folder / "candidates.csv").write_text("rank,formula\n")
    desk = DesignDesk(PROBLEM, data, tmp_path)
    context = AppContext(PROBLEM, LocalBackend(OWN), designer=LocalDesigner(desk, OWN))
    api = Caller(make_app(context))
    named = ask(api, method="policy")
    assert named.status_code == 422
    assert "the policy of run zr-1 can't be read" in named.json()["error"]["message"]
    assert str(tmp_path) not in named.text
    beside = ask(api).json()
    assert beside["policy_run"] is None
    assert {design["method"] for design in beside["designs"]} == {"evolution"}


def test_answers_of_two_methods_become_one_list_without_copies(desk):
    one = desk.design(question(desk, method="evolution", n_designs=3), OWN, JUDGE).improvements
    two = desk.design(question(desk, method="greedy", n_designs=3, seed=1), OWN, JUDGE).improvements
    denied = dataclasses.replace(two, designs=tuple(dataclasses.replace(d, confirmed=False) for d in two.designs))
    merged, methods = merge([one, denied, one], 5)
    assert len(merged.designs) == len(methods) <= 5
    formulas = [design.formula for design in merged.designs]
    assert len(set(formulas)) == len(formulas)
    confirmed = [design.confirmed for design in merged.designs]
    assert confirmed == sorted(confirmed, reverse=True)
    assert merged.predictions == 2 * one.predictions + two.predictions


def test_the_narrower_of_two_bounds_holds():
    request = DesignRequest.model_validate(
        {"start": START, "wishes": [{"quantity": "dmax_mm", "raise_pct": 10, "at_least": 20}]}
    )
    wish = read_wishes(request, PROBLEM)
    assert isinstance(wish, BoundedImprovement)
    start = np.full((2, len(PROBLEM.quantity_keys)), 10.0)
    start[1] = 30.0
    at_least, at_most = wish.bounds(PROBLEM, start)
    q = PROBLEM.quantity_index("dmax_mm")
    assert at_least[:, q].tolist() == [20.0, pytest.approx(33.0)]
    assert np.isinf(at_most).all()
    assert "dmax_mm >= 20" in wish.describe()
