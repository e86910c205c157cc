"""The HTTP service on a real Ray Serve: versions, deaths, metrics, and the way a config file starts it."""

import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml
from live_app import free_port

from aimat_ray.errors import ConfigError
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.registry.files import seal_folder
from aimat_ray.registry.store import SurrogateStore

pytestmark = pytest.mark.timeout(600)
BODY = {"alloys": ["Cu50Zr50", {"Fe": 80, "B": 20}], "nearest": 1}


def wait_for(condition, timeout_s=120.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("the condition did not come true in time")


@pytest.fixture(scope="module")
def http(ray_session, tmp_path_factory):
    from aimat_ray.registry.deployment import stop_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.serving.keys import KeyFile, keys_path
    from aimat_ray.serving.service import start_http_service
    from aimat_ray.serving.settings import read_serving_settings

    store = SurrogateStore(tmp_path_factory.mktemp("store"), LinearBundle.load)
    bundles = [LinearBundle.random(seed) for seed in range(1, 5)]
    for bundle in bundles:
        store.put(bundle)
    hub = SurrogateHub.start(Channel("default", "bmg", "c" * 64), store.root, loader=LinearBundle.load)
    hub.publish(bundles[0].version, note="first")
    port = free_port()
    settings = read_serving_settings(
        {
            "store": str(store.root), "data": "oracle", "http": {"port": port, "num_cpus": 0.1},
            "surrogate": {"num_cpus": 0.2, "poll_s": 0.1, "health_period_s": 1.0},
        }
    )  # fmt: skip
    _, key = KeyFile(keys_path(settings)).create("tests", ["read", "admin"])
    start_http_service(hub, settings, app_name="http-test")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        client.hub, client.bundles, client.store, client.settings = hub, bundles, store, settings
        client.admin = {"authorization": f"Bearer {key}"}
        yield client
    stop_surrogate_service(shutdown=True)
    hub.stop()


def current(http):
    return http.get("/v1/versions").json()["current"]


def serve_until(http, version):
    wait_for(lambda: http.post("/v1/predict", json=BODY).json()["surrogate_version"] == version)


def promote(http, version, note=""):
    return http.post("/v1/admin/promote", json={"version": version, "note": note}, headers=http.admin)


def test_predicts_and_follows_a_publication(http):
    first = http.post("/v1/predict", json=BODY).json()
    assert first["surrogate_version"] == current(http)
    assert [alloy["composition"] for alloy in first["predictions"]] == ["Cu50Zr50", "Fe80B20"]
    other = next(b.version for b in http.bundles if b.version != first["surrogate_version"])
    http.hub.publish(other, note="second")
    serve_until(http, other)
    second = http.post("/v1/predict", json=BODY).json()
    assert second["predictions"][0]["p_bmg"] != first["predictions"][0]["p_bmg"]
    history = http.get("/v1/versions").json()
    assert history["current"] == other
    assert history["history"][-1]["note"] == "second"


def test_promoting_and_rolling_back_over_http(http):
    before = current(http)
    target = next(b.version for b in http.bundles if b.version != before)
    reply = promote(http, target, "by hand")
    assert reply.status_code == 200, reply.text
    assert reply.json()["current"] == target
    serve_until(http, target)
    back = http.post("/v1/admin/rollback", json={"note": "no better"}, headers=http.admin)
    assert back.json()["current"] == before
    assert back.json()["history"][-1]["kind"] == "rollback"
    serve_until(http, before)


def test_the_version_before_still_answers_by_name_and_older_ones_do_not(http):
    serve_until(http, current(http))
    for bundle in http.bundles:
        http.hub.publish(bundle.version)
        serve_until(http, bundle.version)
    tensor = {"inputs": [{"name": "formula", "datatype": "BYTES", "shape": [1], "data": ["Cu50Zr50"]}]}
    replies = [
        http.post(f"/v2/models/default/versions/{bundle.version}/infer", json=tensor) for bundle in http.bundles[-3:]
    ]
    assert [reply.status_code for reply in replies] == [404, 200, 200]
    assert [reply.json()["model_version"] for reply in replies[1:]] == [b.version for b in http.bundles[-2:]]
    assert replies[1].json()["outputs"][0]["data"] != replies[2].json()["outputs"][0]["data"]


def test_a_version_that_fails_its_reference_answers_is_refused_and_the_current_one_stays(http):
    wrong = LinearBundle.random(900)
    version = http.store.put(wrong)
    folder = http.store.path(version)
    LinearBundle("default", wrong.weights[::-1]).save(folder)
    seal_folder(folder, "default", version)
    before = current(http)
    reply = promote(http, version)
    assert reply.status_code == 422
    assert "reference answers" in reply.json()["error"]["message"]
    assert promote(http, "missing").status_code == 422
    assert current(http) == before == http.post("/v1/predict", json=BODY).json()["surrogate_version"]


def test_requests_at_the_same_time_get_their_own_answers(http):
    def ask(share):
        body = {"alloys": {"Cu": share, "Zr": 100 - share}, "nearest": 1}
        return http.post("/v1/predict", json=body).json()["predictions"][0]["at_pct"]["Cu"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(1, 41))) == pytest.approx(list(range(1, 41)))


def test_no_reply_mixes_versions_and_none_fails_while_versions_change(http):
    formula = "Cu50Zr50"
    by_version = {}
    for bundle in http.bundles:
        columns = [bundle.elements.index(symbol) for symbol in ("Cu", "Zr")]
        by_version[bundle.version] = bundle.weights[columns].mean(axis=0)[0]
    seen, wrong, stop = set(), [], threading.Event()

    def ask():
        while not stop.is_set():
            reply = http.post("/v1/predict", json={"alloys": [formula] * 5})
            if reply.status_code != 200:
                wrong.append(reply.text)
                continue
            document = reply.json()
            seen.add(document["surrogate_version"])
            values = [alloy["properties"]["tg_k"]["value"] for alloy in document["predictions"]]
            if values != pytest.approx([by_version[document["surrogate_version"]]] * 5):
                wrong.append(document)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for bundle in http.bundles[:3]:
        http.hub.publish(bundle.version)
        serve_until(http, bundle.version)
    http.hub.rollback()
    serve_until(http, http.bundles[1].version)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen >= {bundle.version for bundle in http.bundles[:3]}


def test_a_killed_replica_under_load_costs_no_request(http):
    from ray import serve

    handle = serve.get_deployment_handle("Surrogate", "http-test")
    pid = handle.status.remote().result()["pid"]
    with ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(http.post, "/v1/predict", json=BODY) for _ in range(10)]
        os.kill(pid, signal.SIGKILL)
        replies += [pool.submit(http.post, "/v1/predict", json=BODY) for _ in range(10)]
        statuses = [reply.result().status_code for reply in replies]
    # a request may outlast its own time on a machine this busy; then it is told to come back, and nothing else
    assert set(statuses) <= {200, 503}
    wait_for(lambda: http.get("/health/ready").status_code == 200)
    assert handle.status.remote().result()["pid"] != pid
    assert http.post("/v1/predict", json=BODY).status_code == 200


def test_a_replica_killed_during_a_swap_loses_no_version(http):
    from ray import serve

    handle = serve.get_deployment_handle("Surrogate", "http-test")
    before, pid = current(http), handle.status.remote().result()["pid"]
    after = next(b.version for b in http.bundles if b.version != before)
    with ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(http.post, "/v1/predict", json=BODY) for _ in range(10)]
        http.hub.publish(after)
        os.kill(pid, signal.SIGKILL)
        replies += [pool.submit(http.post, "/v1/predict", json=BODY) for _ in range(10)]
        answered = [reply.result() for reply in replies]
    # no request is dropped: it is answered, or told to come back (see the test before)
    assert {reply.status_code for reply in answered} <= {200, 503}
    assert {reply.json()["surrogate_version"] for reply in answered if reply.status_code == 200} <= {before, after}
    wait_for(lambda: http.get("/health/ready").status_code == 200)
    serve_until(http, after)
    assert current(http) == after
    assert handle.status.remote().result()["pid"] != pid


def test_ray_exports_the_metrics(http, ray_session):
    http.post("/v1/predict", json=BODY)
    port = ray_session.nodes()[0]["MetricsExportPort"]
    address = ray_session.nodes()[0]["NodeManagerAddress"]

    def exported():
        text = httpx.get(f"http://{address}:{port}/metrics", timeout=30).text
        names = (
            "ray_aimat_http_latency_seconds",
            "ray_aimat_batch_alloys",
            "ray_aimat_alloys",
            "ray_aimat_version_serial",
        )
        return text if all(name in text for name in names) else None

    text = wait_for(exported)
    line = next(
        line for line in text.splitlines() if line.startswith("ray_aimat_http_requests") and "/v1/predict" in line
    )
    assert 'status="200"' in line
    assert any('in_domain="yes"' in line for line in text.splitlines() if line.startswith("ray_aimat_alloys"))


@pytest.mark.parametrize("name", ["surrogate.yaml", "cluster.yaml"])
def test_the_config_files_are_what_serve_takes(name, tmp_path, monkeypatch):
    from ray.serve.schema import ServeDeploySchema

    from aimat_ray.serving.config_file import load_serving_settings
    from aimat_ray.serving.service import build

    path = Path(__file__).parents[2] / "serve" / name
    schema = ServeDeploySchema.model_validate(yaml.safe_load(path.read_text()))
    (application,) = schema.applications
    assert application.import_path == "aimat_ray.serving.service:build"
    settings = load_serving_settings(path, {})
    assert settings.http.port == 8000
    with pytest.raises(ConfigError, match=r"unknown key 'http\.prot'"):
        build({"http": {"prot": 1}})
    monkeypatch.setenv("AIMAT_STORE", str(tmp_path))
    if settings.http.host != "127.0.0.1":
        with pytest.raises(ConfigError, match="no valid API key"):
            build(application.args)


def test_a_deployed_config_file_answers(http, ray_session, tmp_path):
    """What `serve deploy` does on a cluster: the controller builds the application from the file by itself."""
    from ray import serve
    from ray.serve._private.api import serve_start
    from ray.serve.schema import ServeDeploySchema

    port = free_port()
    document = {
        "proxy_location": "Disabled",
        "applications": [
            {
                "name": "from-file", "route_prefix": None, "import_path": "served_app:build",
                "args": {"store": str(http.store.root), "data": "oracle", "http": {"port": port, "num_cpus": 0},
                         "surrogate": {"num_cpus": 0}},
                "runtime_env": {"env_vars": {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}"}},
            }
        ],
    }  # fmt: skip
    client = serve_start(proxy_location="Disabled")
    client.deploy_apps(ServeDeploySchema.model_validate(document), _blocking=False)

    def answers():
        state = serve.status().applications.get("from-file")
        assert state is None or state.status != "DEPLOY_FAILED", state.message
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    try:
        try:
            wait_for(answers, 400)
        except AssertionError:
            raise AssertionError(serve.status()) from None
        reply = httpx.post(f"http://127.0.0.1:{port}/v1/predict", json=BODY, timeout=60)
        assert reply.json()["predictions"][0]["composition"] == "Cu50Zr50"
    finally:
        serve.delete("from-file")


def test_a_surrogate_of_an_older_format_is_replaced_and_named(ray_session, finished_run, aimat_store, tmp_path, caplog):
    from aimat_ray.serving.service import published_hub
    from aimat_ray.serving.settings import read_serving_settings

    # Without what runs of another test process may be writing now.
    root = shutil.copytree(aimat_store, tmp_path / "store", ignore=shutil.ignore_patterns("ceilings", "judge", ".*"))
    settings = read_serving_settings({"store": str(root), "data": "oracle"})
    hub = published_hub(settings)
    try:
        good = hub.require_current()
        old = shutil.copytree(good.path, root / "default" / "default-000000000000")
        document = json.loads((old / "manifest.json").read_text())
        (old / "manifest.json").write_text(json.dumps(document | {"format": 1}))
        seal_folder(old, "default", old.name)
        hub.publish(old.name, check=False)
        assert published_hub(settings).require_current().version == good.version
        assert "format 1" in caplog.text
    finally:
        hub.stop()
