"""Who may ask for what: keys, scopes, host names, foreign pages, rate; and what every reply carries."""

import logging

import pytest
from asgi_caller import Caller

from aimat_ray.errors import ConfigError
from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.access import check_access, is_loopback, needed_right
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.keys import KeyFile, keys_path
from aimat_ray.serving.limits import RateLimiter
from aimat_ray.serving.settings import read_serving_settings

BODY = {"alloys": "Zr50Cu50"}


def settings_for(folder, **groups):
    return read_serving_settings({"store": str(folder), **groups})


def caller(settings):
    return Caller(make_app(AppContext(load_problem(), LocalBackend(LinearBundle.random(1)), settings)))


@pytest.fixture
def key(tmp_path):
    """Makes a key with the given scopes."""

    def make(*scopes):
        return KeyFile(keys_path(settings_for(tmp_path))).create("test", scopes)[1]

    return make


@pytest.fixture
def public(tmp_path):
    """The application as it is bound to an address that others can reach."""
    return caller(settings_for(tmp_path, http={"host": "0.0.0.0"}))


def predict(api, **headers):
    return api("POST", "/v1/predict", json=BODY, headers=headers)


def test_loopback_needs_no_key_for_reading_and_designing_but_one_for_changes(tmp_path, key):
    api = caller(settings_for(tmp_path))
    assert predict(api).status_code == 200
    refused = api.post("/v1/admin/rollback", {})
    assert refused.status_code == 401
    assert "scope 'admin'" in refused.json()["error"]["message"]
    assert api("POST", "/v1/admin/rollback", json={}, headers={"x-api-key": key("admin")}).status_code == 503


def test_elsewhere_nothing_is_said_without_a_key(public, key):
    for path in ("/v1/problem", "/v1/versions", "/v2/models/default", "/v1/candidates"):
        reply = public.get(path)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
    assert predict(public).status_code == 401
    assert predict(public, authorization=f"Bearer {key('read')}").status_code == 200
    assert public.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [(("read",), (200, 403, 403)), (("design",), (403, 422, 403)), (("admin",), (403, 403, 503))],
)
def test_a_key_may_do_what_its_scopes_say_and_nothing_else(public, key, scopes, expected):
    headers = {"x-api-key": key(*scopes)}
    replies = [public("POST", path, json=body, headers=headers).status_code for path, body in (
        ("/v1/predict", BODY), ("/v1/design", {}), ("/v1/admin/rollback", {}),
    )]  # fmt: skip
    assert tuple(replies) == expected


@pytest.mark.parametrize("headers", [{"x-api-key": "wrong"}, {"authorization": "Bearer aimat_00000000_x"}])
def test_a_wrong_key_is_refused_also_where_none_is_needed(tmp_path, headers):
    reply = caller(settings_for(tmp_path))("POST", "/v1/predict", json=BODY, headers=headers)
    assert reply.status_code == 401
    assert "wrong" not in reply.text


def test_a_page_of_another_site_can_neither_post_nor_use_a_name_of_its_own(tmp_path):
    api = caller(settings_for(tmp_path))
    assert predict(api, origin="https://evil.example").status_code == 403
    assert predict(api, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert predict(api, origin="http://localhost").status_code == 200
    rebound = api("GET", "/v1/problem", headers={"host": "evil.example"})
    assert rebound.status_code == 421
    assert rebound.json()["error"]["code"] == "wrong_host"


def test_names_of_a_public_service_can_be_closed(tmp_path, key):
    api = caller(settings_for(tmp_path, http={"host": "0.0.0.0", "names": ["alloys.example", "*.lab.example"]}))
    headers = {"x-api-key": key("read")}
    for name, status in (
        ("alloys.example", 200),
        ("a.lab.example:8000", 200),
        ("lab.example", 421),
        ("x.example", 421),
    ):
        assert api("GET", "/v1/problem", headers={**headers, "host": name}).status_code == status


def test_rate_is_counted_by_key(tmp_path, key):
    api = caller(settings_for(tmp_path, limits={"rate_per_s": 0.001, "burst": 2}))
    one, two = key("read"), key("read")
    assert [predict(api, **{"x-api-key": one}).status_code for _ in range(3)] == [200, 200, 429]
    late = predict(api, **{"x-api-key": one})
    assert late.headers["retry-after"] == "1"
    assert predict(api, **{"x-api-key": two}).status_code == 200


def test_a_bucket_fills_again_at_its_rate():
    limiter = RateLimiter(rate_per_s=2.0, burst=3)
    assert [limiter.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert not limiter.take("a", 0.4)
    assert limiter.take("a", 0.6)
    assert not limiter.take("a", 0.6)
    assert [limiter.take("a", 100.0) for _ in range(4)] == [True, True, True, False]


def test_every_reply_carries_a_request_id_and_security_headers(tmp_path):
    api = caller(settings_for(tmp_path))
    replies = [api.get("/v1/problem"), api.get("/nothing"), api("POST", "/v1/predict", content=b"{"), api.get("/")]
    ids = {reply.headers["x-request-id"] for reply in replies}
    assert len(ids) == len(replies)
    for reply in replies:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert len(reply.headers.get_list("content-security-policy")) == 1
    assert replies[1].json()["request_id"] == replies[1].headers["x-request-id"]


def test_a_defect_gives_500_without_its_inner_life_and_no_key_reaches_the_log(tmp_path, key, caplog):
    class Broken:
        async def answer(self, at_frac, nearest, version=None):
            raise RuntimeError("secret inner life")

    secret = key("read")
    api = Caller(make_app(AppContext(load_problem(), Broken(), settings_for(tmp_path))))
    with caplog.at_level(logging.DEBUG):
        reply = api("POST", "/v1/predict", json=BODY, headers={"authorization": f"Bearer {secret}"})
        api("POST", "/v1/predict", json=BODY, headers={"authorization": f"Bearer {secret}x"})
    assert reply.status_code == 500
    assert "inner life" not in reply.text
    assert reply.json()["request_id"] in caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize(
    ("path", "right"),
    [("/v1/predict", "read"), ("/v1/design", "design"), ("/v1/designs", "read"), ("/v1/admin/promote", "admin"),
     ("/", None), ("/page/main.js", None), ("/health/ready", None), ("/v2/health/live", None),
     ("/v2/models/m/infer", "read"),
     ("/v1/admin", "admin"), ("//v1/admin/rollback", "read"), ("/anything", "read")],
)  # fmt: skip
def test_rights_by_path(path, right):
    assert needed_right(path) == right


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("localhost.example", False), ("", False)],
)  # fmt: skip
def test_what_counts_as_loopback(host, loopback):
    assert is_loopback(host) == loopback


def test_listening_for_others_without_a_key_is_refused_with_the_reason(tmp_path, key):
    settings = settings_for(tmp_path, http={"host": "0.0.0.0"})
    with pytest.raises(ConfigError, match="can be reached by other machines, and there is no valid API key"):
        check_access(settings)
    secret = key("read")
    check_access(settings)
    KeyFile(keys_path(settings)).revoke(secret.split("_")[1])
    with pytest.raises(ConfigError, match="aimat key create"):
        check_access(settings)
