"""The HTTP service on a real Ray Serve."""

import socket

import httpx
import pytest

from aimat_ray.registry.channel import Channel
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.registry.store import SurrogateStore


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def http(ray_session, tmp_path_factory):
    from aimat_ray.registry.deployment import stop_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.serving.service import start_http_service
    from aimat_ray.serving.settings import ServingSettings

    bundles = [LinearBundle.random(seed) for seed in (1, 2)]
    store = SurrogateStore(tmp_path_factory.mktemp("store"), LinearBundle.load)
    versions = [store.put(bundle) for bundle in bundles]
    hub = SurrogateHub.start(Channel("default", "bmg", "c" * 64), store.root, loader=LinearBundle.load)
    hub.publish(versions[0], note="first")
    port = free_port()
    settings = ServingSettings.model_validate(
        {"http": {"port": port, "num_cpus": 0.1}, "surrogate": {"num_cpus": 0.2, "poll_s": 0.1}}
    )
    start_http_service(hub, settings, app_name="http-test")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        client.hub, client.bundles = hub, bundles
        yield client
    stop_surrogate_service(shutdown=True)
    hub.stop()


def test_predicts_and_follows_a_publication(http):
    body = {"alloys": ["Cu50Zr50", {"Fe": 80, "B": 20}], "nearest": 1}
    first = http.post("/v1/predict", json=body).json()
    assert first["surrogate_version"] == http.bundles[0].version
    assert [alloy["composition"] for alloy in first["predictions"]] == ["Cu50Zr50", "Fe80B20"]
    http.hub.publish(http.bundles[1].version, note="second")
    for _ in range(200):
        second = http.post("/v1/predict", json=body).json()
        if second["surrogate_version"] != first["surrogate_version"]:
            break
    assert second["surrogate_version"] == http.bundles[1].version
    assert second["predictions"][0]["p_bmg"] != first["predictions"][0]["p_bmg"]
    history = http.get("/v1/versions").json()
    assert history["current"] == http.bundles[1].version
    assert [event["note"] for event in history["history"]] == ["first", "second"]


def test_ready_and_errors_arrive_through_the_proxy(http):
    assert http.get("/health/ready").json()["status"] == "ready"
    reply = http.post("/v1/predict", json={"alloys": "Xx1"})
    assert reply.status_code == 422
    assert "alloys[0]" in reply.json()["error"]["message"]


def test_requests_at_the_same_time_get_their_own_answers(http):
    from concurrent.futures import ThreadPoolExecutor

    def ask(share):
        body = {"alloys": {"Cu": share, "Zr": 100 - share}, "nearest": 1}
        return http.post("/v1/predict", json=body).json()["predictions"][0]["at_pct"]["Cu"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(1, 41))) == pytest.approx(list(range(1, 41)))
