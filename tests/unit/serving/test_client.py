"""The Python client against the real application behind a port, and against servers that misbehave."""

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pandas as pd
import pytest
from http_server import free_port, serving

from aimat_ray.data.sources import load_data
from aimat_ray.errors import AimatError, BadInputError, ServiceError
from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving import Client, client
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.designer import DesignDesk, LocalDesigner
from aimat_ray.serving.settings import ServingSettings

PROBLEM = load_problem()
WEIGHTS = np.random.default_rng(1).uniform(6, 10, (len(PROBLEM.elements), len(PROBLEM.properties)))
BUNDLE = LinearBundle("default", WEIGHTS)  # feasible everywhere: the probability is a tenth of the first property


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "zr"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"run_id": "zr-1", "base": "Zr", "settings": {"problem": "bmg"}}))
    (folder / "evaluation.json").write_text("{}")
    n = 1_203  # more than one page
    table = pd.DataFrame({"rank": range(1, n + 1), "formula": "Zr60Cu30Al10", "base": "Zr", "confirmed": True})
    table.assign(dmax_mm=np.linspace(1, 20, n)).to_csv(folder / "candidates.csv", index=False)
    return folder.parent


@pytest.fixture(scope="module")
def url(runs):
    desk = DesignDesk(PROBLEM, load_data("oracle", PROBLEM), runs)
    settings = ServingSettings(data="oracle", runs=runs)
    context = AppContext(PROBLEM, LocalBackend(BUNDLE), settings, designer=LocalDesigner(desk, BUNDLE))
    with serving(make_app(context)) as address:
        yield address


@pytest.fixture
def api(url):
    with Client(url) as made:
        yield made


def expected(formula_weights):
    """Properties of a mixture of pure elements, [P]."""
    return sum(share * WEIGHTS[PROBLEM.element_index[element]] for element, share in formula_weights.items())


def test_one_formula_gives_one_row_with_the_columns_of_the_command_line(api):
    table = api.predict("Cu50Zr50")
    assert len(table) == 1
    values = expected({"Cu": 0.5, "Zr": 0.5})
    for p, key in enumerate(PROBLEM.property_keys):
        assert table.loc[0, key] == pytest.approx(values[p])
        assert table.loc[0, f"{key}_lower"] < values[p] < table.loc[0, f"{key}_upper"]
    assert table.loc[0, "p_bmg"] == pytest.approx(values[0] / 10)
    assert table.loc[0, "surrogate_version"] == BUNDLE.version
    assert {"composition", "in_domain", "domain_reason", "nearest_formula", "nearest_distance_at_pct"} <= set(table)


@pytest.mark.parametrize(
    "alloys",
    [
        ["Cu50Zr50", "Fe80B20"],
        ("Cu50Zr50", {"Fe": 8, "B": 2}),
        (formula for formula in ["Cu50Zr50", "Fe80B20"]),
        pd.Series(["Cu50Zr50", "Fe80B20"]),
        pd.DataFrame({"formula": ["Cu50Zr50", "Fe80B20"]}),
        pd.DataFrame({"Cu": [50, 0], "Zr": [50, 0], "Fe": [0, 80], "B": [0, 20.0]}),
        pd.DataFrame({"Cu": [50, None], "Zr": [50, None], "Fe": [None, 80], "B": [None, 20.0]}),
    ],
    ids=["list", "tuple", "generator", "series", "formulas", "amounts", "amounts with gaps"],
)
def test_every_form_of_alloys_is_understood(api, alloys):
    assert api.predict(alloys)["composition"].tolist() == ["Cu50Zr50", "Fe80B20"]


def test_a_table_keeps_its_index_and_columns(api):
    mine = pd.DataFrame({"formula": ["Cu50Zr50", "Fe80B20"], "batch": [7, 8], "tg_k": [0, 0]}, index=["a", "b"])
    table = api.predict(mine)
    assert table.index.tolist() == ["a", "b"]
    assert table["batch"].tolist() == [7, 8]
    assert table.loc["b", "tg_k"] == pytest.approx(expected({"Fe": 0.8, "B": 0.2})[0]), "predicted, not mine"
    assert mine["tg_k"].tolist() == [0, 0], "what came in is not changed"


def test_long_tables_go_in_several_requests_and_keep_their_order(api):
    shares = np.linspace(1, 99, 1_700)
    table = api.predict([{"Cu": share, "Zr": 100 - share} for share in shares], nearest=0)
    tg = PROBLEM.property_keys.index("tg_k")
    cu, zr = (WEIGHTS[PROBLEM.element_index[element], tg] for element in ("Cu", "Zr"))
    assert np.allclose(table["tg_k"], shares / 100 * cu + (1 - shares / 100) * zr)
    assert table["nearest_formula"].isna().all()


def test_design_gives_tables_and_paths(api):
    found = api.design("Zr60Cu20Al10Ni10", raise_pct={"dmax_mm": 0.5}, budget=1500, n_designs=3)
    assert found.surrogate_version == BUNDLE.version
    goal = found.document["goal"][0]["at_least"]
    assert goal == pytest.approx(found.start["dmax_mm"] * 1.005)
    assert (found.designs["dmax_mm"] >= goal - 0.01).all()
    assert found.designs["fulfils"].all()
    path = found.path(0)
    assert path.index[0] == found.start["formula"] == "Zr60Cu20Ni10Al10"
    assert path.index[-1] == found.designs.loc[0, "formula"]
    assert np.allclose(path.sum(axis=1), 100, atol=1e-2)
    assert found.nearest_miss is None


def test_an_impossible_design_gives_an_empty_table_and_the_nearest_miss(api):
    found = api.design("Zr60Cu20Al10Ni10", at_least={"dmax_mm": 50}, budget=500)
    assert len(found.designs) == 0
    assert found.nearest_miss["fulfils"] is False


def test_candidates_come_in_pages_as_one_table(api):
    table = api.candidates()
    assert table["rank"].tolist() == list(range(1, 1_204))
    assert api.candidates(limit=7)["rank"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert len(api.candidates(limit=1_100)) == 1_100
    best = api.candidates(at_least={"dmax_mm": 19}, sort="-dmax_mm", base="Zr", confirmed=True)
    assert best["dmax_mm"].iloc[0] == 20
    assert best["dmax_mm"].min() >= 19
    empty = api.candidates(base="Fe")
    assert len(empty) == 0
    assert "formula" in empty


def test_the_rest_of_the_service(api):
    assert api.problem()["feasibility"] == "p_bmg"
    assert api.versions()["current"] == BUNDLE.version
    assert api.runs()["run_id"].tolist() == ["zr-1"]
    assert api.base("Zr")["base"] == "Zr"


BAD = [
    (lambda api: api.predict("Xx50"), "alloys[0]"),
    (lambda api: api.predict(["Zr50Cu50", "Xx50"]), "alloys[1]"),
    (lambda api: api.predict(["Zr50Cu50"] * 500 + ["Xx50"]), "from position 500 on"),
    (lambda api: api.predict([]), "no alloys"),
    (lambda api: api.predict([None]), "alloys[0]"),
    (lambda api: api.predict(pd.Series(["Zr50Cu50", float("nan")])), "alloys[1]"),
    (lambda api: api.predict(pd.DataFrame({"alloy": ["Zr50Cu50"]})), "column 'formula'"),
    (lambda api: api.predict("Zr50Cu50", nearest=99), "nearest"),
    (lambda api: api.design("Zr60Cu20Al10Ni10"), "wishes"),
    (lambda api: api.design("Zr60Cu20Al10Ni10", raise_pct={"beauty": 5}), "beauty"),
    (lambda api: api.candidates(sort="beauty"), "beauty"),
    (lambda api: api.candidates(at_least={"beauty": 5}), "beauty"),
    (lambda api: api.base("Xx"), "Xx"),
]


@pytest.mark.parametrize(("ask", "words"), BAD)
def test_bad_input_gives_the_services_own_words(api, ask, words):
    with pytest.raises(BadInputError) as caught:
        ask(api)
    assert words in caught.value.message


# ---------------------------------------------------------------------- a service that is busy, away, or not one


class Scripted:
    """An ASGI application that gives prepared answers in turn, then the last one again and again."""

    def __init__(self, *answers):
        self.answers, self.times, self.headers = list(answers), [], []

    async def __call__(self, scope, receive, send):
        self.times.append(time.monotonic())
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        status, headers, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})


def error(status, message="busy", **headers):
    return status, headers, json.dumps({"error": {"code": "x", "message": message}, "request_id": "1"}).encode()


def prediction(version="v1", n=1):
    alloy = {"composition": "Cu50Zr50", "at_pct": {}, "p_bmg": 0.5, "properties": {}, "in_domain": True}
    alloy |= {"domain_reason": "inside", "nearest": []}
    return 200, {}, json.dumps({"surrogate_version": version, "predictions": [alloy] * n}).encode()


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_busy_service_is_asked_again(status):
    app = Scripted(error(status), error(status), prediction())
    with serving(app) as url, Client(url) as api:
        assert len(api.predict("Cu50Zr50")) == 1
    assert len(app.times) == 3


@pytest.mark.parametrize(
    "retry_after",
    ["1.2", format_datetime(datetime.now(UTC) + timedelta(hours=-1)), "later", "-5", ""],
    ids=["seconds", "past", "words", "negative", "empty"],
)
def test_retry_after_is_honoured_where_it_makes_sense(retry_after):
    app = Scripted(error(503, **{"retry-after": retry_after}), prediction())
    with serving(app) as url, Client(url) as api:
        api.predict("Cu50Zr50")
    waited = app.times[1] - app.times[0]
    assert waited >= (1.2 if retry_after == "1.2" else 0.05)


def test_patience_ends_with_the_services_words():
    app = Scripted(error(503, "too many requests wait"))
    with serving(app) as url, Client(url, patience_s=0.6) as api, pytest.raises(ServiceError) as caught:
        api.predict("Cu50Zr50")
    assert "too many requests wait" in caught.value.message
    assert "attempts" in caught.value.message
    assert len(app.times) >= 2


def test_a_longer_wait_than_the_patience_is_not_begun():
    app = Scripted(error(429, **{"retry-after": "3600"}))
    began = time.monotonic()
    with serving(app) as url, Client(url, patience_s=20) as api, pytest.raises(ServiceError):
        api.predict("Cu50Zr50")
    assert time.monotonic() - began < 15
    assert len(app.times) == 1


def test_a_service_that_comes_back_is_found():
    port = free_port()
    answers = []

    def ask():
        with Client(f"http://127.0.0.1:{port}", patience_s=60) as api:
            answers.append(api.predict("Cu50Zr50"))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.5)  # a few refused connections
    with serving(Scripted(prediction()), port):
        thread.join(60)
    assert len(answers) == 1


@pytest.mark.parametrize("status", [400, 404, 413, 422, 500, 504])
def test_other_failures_are_not_repeated(status):
    app = Scripted(error(status, "no"))
    with serving(app) as url, Client(url) as api, pytest.raises(AimatError) as caught:
        api.predict("Cu50Zr50")
    assert len(app.times) == 1
    assert isinstance(caught.value, ServiceError if status >= 500 else BadInputError)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_but_never_shown(status):
    app = Scripted(error(status, "the API key is not valid"))
    with serving(app) as url, Client(url, api_key="secret-key") as api, pytest.raises(BadInputError) as caught:
        api.predict("Cu50Zr50")
    assert "AIMAT_API_KEY" in caught.value.message
    assert "secret-key" not in caught.value.message + repr(api)
    assert app.headers[0]["authorization"] == "Bearer secret-key"


def test_address_and_key_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AIMAT_API_KEY", "from-environment")
    app = Scripted(prediction())
    with serving(app) as url:
        monkeypatch.setenv("AIMAT_URL", url)
        with Client() as api:
            api.predict("Cu50Zr50")
        with Client(url, api_key="") as api:
            api.predict("Cu50Zr50")
    assert app.headers[0]["authorization"] == "Bearer from-environment"
    assert "authorization" not in app.headers[1]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_something_else_behind_the_address_is_recognised(body):
    with serving(Scripted((404, {}, body))) as url, Client(url) as api, pytest.raises(BadInputError) as caught:
        api.predict("Cu50Zr50")
    assert "aimat serve" in caught.value.message
    with serving(Scripted((200, {}, b"<html>"))) as url, Client(url) as api, pytest.raises(ServiceError):
        api.problem()


def test_a_slow_answer_ends_with_a_clear_error():
    class Silent:
        async def __call__(self, scope, receive, send):
            import asyncio

            await asyncio.sleep(3)

    with serving(Silent()) as url, Client(url, timeout_s=0.3) as api, pytest.raises(ServiceError) as caught:
        api.predict("Cu50Zr50")
    assert "in time" in caught.value.message


@pytest.mark.parametrize("url", ["not an address", "http://[", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises((BadInputError, ServiceError)), Client(url, patience_s=0.1) as api:
        api.problem()


def test_one_table_never_mixes_versions(monkeypatch):
    """The surrogate changes between the first and the second request: the first is asked again."""
    monkeypatch.setattr(client, "CHUNK", 1)
    app = Scripted(prediction("v1"), prediction("v2"))
    with serving(app) as url, Client(url) as api:
        table = api.predict(["Cu50Zr50", "Cu50Zr50", "Cu50Zr50"])
    assert table["surrogate_version"].tolist() == ["v2"] * 3
    assert len(app.times) == 4


def test_a_surrogate_that_never_rests_ends_with_an_error(monkeypatch):
    monkeypatch.setattr(client, "CHUNK", 1)
    app = Scripted(*[prediction(f"v{i}") for i in range(50)])
    with serving(app) as url, Client(url) as api, pytest.raises(ServiceError, match="changed again and again"):
        api.predict(["Cu50Zr50", "Cu50Zr50"])


def test_the_client_needs_neither_ray_nor_torch():
    code = "from aimat_ray.serving import Client; import sys; Client('http://127.0.0.1:1'); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(ended.stdout.split())
    assert not loaded & {"ray", "torch", "fastapi", "catboost", "sklearn"}
