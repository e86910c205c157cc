"""The HTTP application over a bundle in this process: answers, errors, limits. No Ray."""

import asyncio

import httpx
import numpy as np
import pytest

from aimat_ray.errors import ServiceError
from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext

BUNDLE = LinearBundle.random(1)


class Caller:
    """Synchronous calls into an ASGI app."""

    def __init__(self, backend):
        transport = httpx.ASGITransport(make_app(AppContext(load_problem(), backend)), raise_app_exceptions=False)
        self._make = lambda: httpx.AsyncClient(transport=transport, base_url="http://localhost")

    def __call__(self, method, path, **arguments):
        async def call():
            async with self._make() as client:
                return await client.request(method, path, **arguments)

        return asyncio.run(call())

    def predict(self, **body):
        return self("POST", "/v1/predict", json=body)


@pytest.fixture(scope="module")
def api():
    return Caller(LocalBackend(BUNDLE))


def test_one_formula(api):
    reply = api.predict(alloys="Cu50Zr50", nearest=2)
    assert reply.status_code == 200
    document = reply.json()
    assert document["surrogate_version"] == BUNDLE.version
    (alloy,) = document["predictions"]
    assert alloy["composition"] == "Cu50Zr50"
    assert alloy["at_pct"] == {"Cu": 50.0, "Zr": 50.0}
    # linear in the fractions: the mean of the two elements' values
    weights = BUNDLE.weights[[BUNDLE.elements.index("Cu"), BUNDLE.elements.index("Zr")]].mean(axis=0)
    assert alloy["properties"]["tg_k"]["value"] == pytest.approx(weights[0])
    assert alloy["properties"]["tg_k"]["unit"] == "K"
    assert alloy["p_bmg"] == pytest.approx(weights[0] / 10)
    assert alloy["domain_reason"] == "inside"
    # the fake's measured alloys are the pure elements: 50 at% away from Cu50Zr50
    assert [near["distance_at_pct"] for near in alloy["nearest"]] == pytest.approx([50.0, 50.0])
    assert {near["formula"] for near in alloy["nearest"]} == {"Cu100", "Zr100"}


def test_formulas_and_amounts_mix_and_keep_their_order(api):
    reply = api.predict(alloys=["Zr50Cu50", {"Cu": 1, "Zr": 1}, "Fe80B20"], nearest=0)
    first, second, third = reply.json()["predictions"]
    assert first["properties"] == second["properties"] != third["properties"]
    assert first["nearest"] == []


BAD_BODIES = [
    ({"alloys": "Xx50Zr50"}, "alloys[0]"),
    ({"alloys": ["Zr50Cu50", "Zr50Cu"]}, None),
    ({"alloys": ["Zr50Cu50", "not a formula"]}, "alloys[1]"),
    ({"alloys": "Zr-50Cu50'; DROP TABLE alloys; --"}, "alloys[0]"),
    ({"alloys": "<script>alert(1)</script>"}, "alloys[0]"),
    ({"alloys": "Zr" * 400}, "alloys"),
    ({"alloys": ""}, "alloys"),
    ({"alloys": []}, "alloys"),
    ({"alloys": ["Zr50Cu50"] * 1001}, "alloys"),
    ({"alloys": {}}, "alloys"),
    ({"alloys": {"Zr": -1}}, "alloys"),
    ({"alloys": {"Zr": 1e300}}, "alloys"),
    ({"alloys": {"Zr": 0}}, "alloys[0]"),
    ({"alloys": {"Zr": "much"}}, "alloys"),
    ({"alloys": None}, "alloys"),
    ({"alloys": 7}, "alloys"),
    ({"alloys": "Zr50Cu50", "nearest": 11}, "nearest"),
    ({"alloys": "Zr50Cu50", "nearest": -1}, "nearest"),
    ({"alloys": "Zr50Cu50", "unknown": 1}, "unknown"),
    ({}, "alloys"),
    ([], "body"),
]


@pytest.mark.parametrize(("body", "named"), [case for case in BAD_BODIES if case[1]], ids=lambda case: str(case)[:30])
def test_bad_requests_get_422_and_the_name_of_what_is_wrong(api, body, named):
    reply = api("POST", "/v1/predict", json=body)
    assert reply.status_code == 422, reply.text
    document = reply.json()
    assert document["error"]["code"] == "bad_input"
    assert named in document["error"]["message"]
    assert len(document["request_id"]) == 32


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"alloys": {"Zr": NaN}}', 422),
        (b'{"alloys": {"Zr": Infinity}}', 422),
        (b'{"alloys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b'{"alloys": "Zr50Cu50", "alloys": 3}', 422),
        (b'{"alloys": "\\ud800"}', 422),
        (b'{"alloys": "Zr\\u0000Cu"}', 422),
    ],
)
def test_hostile_bodies_get_a_clear_refusal(api, content, status):
    reply = api("POST", "/v1/predict", content=content, headers={"content-type": "application/json"})
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["message"]


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(api):
    large = b'{"alloys": "' + b"Z" * 2_000_001 + b'"}'

    async def pieces():
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    for content in (large, pieces()):
        reply = api("POST", "/v1/predict", content=content)
        assert reply.status_code == 413
        assert reply.json()["error"]["code"] == "too_large"


def test_unknown_paths_and_methods_have_the_same_form_of_error(api):
    assert api("GET", "/nothing").json()["error"]["code"] == "not_found"
    reply = api("GET", "/v1/predict")
    assert (reply.status_code, reply.json()["error"]["code"]) == (405, "method_not_allowed")


def test_problem_tells_the_closed_lists(api):
    document = api("GET", "/v1/problem").json()
    assert len(document["elements"]) == 52
    assert [spec["key"] for spec in document["properties"]] == list(load_problem().property_keys)
    assert document["feasibility"] == "p_bmg"


def test_versions_and_health(api):
    assert api("GET", "/v1/versions").json()["current"] == BUNDLE.version
    assert api("GET", "/health/live").json()["status"] == "live"
    assert api("GET", "/health/ready").json() == {"status": "ready", "surrogate_version": BUNDLE.version}


def test_a_surrogate_that_is_gone_gives_503_with_retry_after():
    class Gone:
        async def answer(self, at_frac, nearest, version=None):
            raise ServiceError("the surrogate is not available")

        versions = answer

    api = Caller(Gone())
    for reply in (api.predict(alloys="Zr50Cu50"), api("GET", "/health/ready")):
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "1"
        assert reply.json()["error"]["code"] == "unavailable"
    assert api("GET", "/health/live").status_code == 200


def test_a_surrogate_that_answers_nan_is_not_ready():
    weights = BUNDLE.weights.copy()
    weights[:, 2] = np.nan
    api = Caller(LocalBackend(LinearBundle("default", weights)))
    reply = api("GET", "/health/ready")
    assert reply.status_code == 503
    assert "not finite" in reply.json()["error"]["message"]


def test_openapi_names_the_probability_and_has_examples(api):
    document = api("GET", "/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert "p_bmg" in schemas["AlloyPrediction"]["properties"]
    assert schemas["PredictRequest"]["examples"]
    assert {"200", "413", "422", "503"} <= set(document["paths"]["/v1/predict"]["post"]["responses"])
