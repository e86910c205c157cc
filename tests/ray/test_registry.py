"""The hub, the Serve deployment and the client on a real Ray: same answers, swaps, deaths."""

import os
import pickle
import signal
import threading
import time
import uuid
from types import SimpleNamespace

import numpy as np
import pytest

from aimat_ray.errors import ArtifactError, ServiceError
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.registry.files import seal_folder
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.surrogate.base import ARRAY_FIELDS, Predictor


def rows(n, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(52, 0.1), n)


def assert_same(one, two):
    assert one.version == two.version
    for name in ARRAY_FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), strict=True)


def wait_for(condition, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("the condition did not come true in time")


def kill_hub(ray, hub):
    """Kill the hub as a crash would: Ray may restart it."""
    ray.kill(ray.get_actor(hub.actor_name, namespace=hub.namespace), no_restart=False)


@pytest.fixture(scope="module")
def bundles():
    return [LinearBundle.random(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bundles):
    store = SurrogateStore(tmp_path_factory.mktemp("store"), load=LinearBundle.load)
    for bundle in bundles:
        store.put(bundle)
    return store


@pytest.fixture
def hub(ray_session, store, bundles):
    """A hub on a channel of its own, with the first bundle current."""
    from aimat_ray.registry.hub import SurrogateHub

    hub = SurrogateHub.start(
        Channel("default", "bmg", "0" * 64, run=uuid.uuid4().hex[:8]), store.root, loader=LinearBundle.load
    )
    hub.publish(bundles[0].version)
    yield hub
    hub.stop()


@pytest.fixture(scope="module")
def service(ray_session, store, bundles):
    """One running Serve application, shared by the tests of this module."""
    from aimat_ray.registry.deployment import ServiceOptions, start_surrogate_service, stop_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub

    hub = SurrogateHub.start(Channel("default", "bmg", "0" * 64), store.root, loader=LinearBundle.load)
    hub.publish(bundles[0].version)
    options = ServiceOptions(num_cpus=0.2, poll_s=0.1, health_period_s=1.0)
    start_surrogate_service(hub, options, app_name="test")
    yield SimpleNamespace(app="test", hub=hub, client=lambda **kw: SurrogateClient.serve("test", **kw))
    stop_surrogate_service("test", shutdown=True)
    hub.stop()


def serve_until(client, version):
    """Ask until `version` answers."""
    wait_for(lambda: client.predict(rows(1)).version == version)


# ---- hub


def test_hub_publishes_and_rolls_back(hub, bundles):
    assert hub.publish(bundles[1].version, note="better").serial == 2
    assert hub.current().version == bundles[1].version
    assert hub.rollback(note="worse after all").version == bundles[0].version
    assert [event.note for event in hub.history()] == ["", "better", "worse after all"]
    with pytest.raises(ArtifactError, match="nothing to roll back to"):
        hub.rollback()


def test_hub_refuses_a_version_it_does_not_have(hub, bundles):
    with pytest.raises(ArtifactError, match="no surrogate version 'missing'"):
        hub.publish("missing")
    assert hub.current().version == bundles[0].version


@pytest.mark.parametrize("how", ["ray.kill", "SIGKILL"])
def test_hub_answers_the_same_after_its_death(ray_session, hub, bundles, how):
    hub.publish(bundles[1].version)
    before = hub.current()
    if how == "ray.kill":
        kill_hub(ray_session, hub)
    else:
        actor = ray_session.get_actor(hub.actor_name, namespace=hub.namespace)
        os.kill(ray_session.get(actor.pid.remote()), signal.SIGKILL)
    assert hub.current() == before
    assert len(hub.history()) == 2
    assert hub.rollback().version == bundles[0].version


def test_hub_sees_what_was_published_on_disk_without_it(hub, store, bundles):
    store.set_current(hub.channel, bundles[2].version)
    assert hub.current().version == bundles[2].version


def test_starting_a_hub_twice_finds_the_first(hub, store, tmp_path):
    from aimat_ray.registry.hub import SurrogateHub

    assert SurrogateHub.start(hub.channel, store.root).current() == hub.current()
    with pytest.raises(ServiceError, match="stop it first"):
        SurrogateHub.start(hub.channel, tmp_path)


def test_a_hub_that_was_never_started_says_so(ray_session):
    from aimat_ray.registry.hub import SurrogateHub

    with pytest.raises(ServiceError, match="no hub runs for channel"):
        SurrogateHub(Channel("default", "bmg", "1" * 64)).current()


def test_publishing_a_folder_of_another_store_sends_its_files(hub, tmp_path):
    elsewhere = SurrogateStore(tmp_path, load=LinearBundle.load)
    bundle = LinearBundle.random(77)
    info = hub.publish(elsewhere.path(elsewhere.put(bundle)))
    assert info.version == bundle.version
    assert str(tmp_path) not in info.path


def test_a_machine_that_does_not_see_the_folder_gets_the_files(hub, bundles, tmp_path, monkeypatch):
    from dataclasses import replace

    monkeypatch.setenv("AIMAT_STORE", str(tmp_path / "here"))
    unseen = replace(hub.current(), path="/nowhere/default/x")
    loaded = hub.load(unseen)
    assert_same(loaded.predict(rows(4)), bundles[0].predict(rows(4)))
    assert (tmp_path / "here" / "default" / bundles[0].version).is_dir()


# ---- clients


def test_local_and_serve_are_predictors_with_equal_answers(service, bundles, hub):
    serve_until(service.client(), service.hub.current().version)
    version = service.hub.current().version
    bundle = next(b for b in bundles if b.version == version)
    remote = service.client()
    local = SurrogateClient.local(bundle)
    assert isinstance(remote, Predictor) and isinstance(local, Predictor)
    sizes = [1, 2, 7, 64, 255, 256, 1000]
    for size in sizes:
        batch = rows(size, seed=size)
        assert_same(remote.predict(batch), local.predict(batch))
    assert remote.n_predictions == local.n_predictions == sum(sizes)
    assert remote.n_calls == len(sizes)
    assert remote.version == local.version


def test_a_following_client_changes_only_in_refresh(hub, bundles):
    client = SurrogateClient.following(hub, ahead=False)
    assert client.version == bundles[0].version
    assert not client.refresh()
    hub.publish(bundles[1].version)
    assert client.predict(rows(2)).version == bundles[0].version
    assert client.refresh()
    assert_same(client.predict(rows(2)), bundles[1].predict(rows(2)))
    assert not client.refresh()


def test_a_client_that_loads_ahead_swaps_in_refresh_without_loading(hub, bundles, monkeypatch):
    client = SurrogateClient.following(hub)
    assert client.version == bundles[0].version
    assert not client.refresh()
    hub.publish(bundles[1].version)
    loads = []
    load = type(hub).load
    monkeypatch.setattr(
        type(hub), "load", lambda self, info: loads.append(threading.current_thread()) or load(self, info)
    )
    wait_for(client.refresh)
    assert [thread.name for thread in loads] == ["surrogate-ahead"]
    assert_same(client.predict(rows(2)), bundles[1].predict(rows(2)))


def test_a_client_that_stays_asks_the_hub_no_more(hub, bundles, caplog):
    client = SurrogateClient.following(hub)
    client.predict(rows(1))
    client.stay()
    hub.publish(bundles[1].version)
    hub.stop()
    time.sleep(1.5)
    assert not client.refresh()
    assert client.predict(rows(1)).version == bundles[0].version
    assert caplog.text == ""


def test_a_client_that_loads_ahead_keeps_its_version_when_the_new_one_is_damaged(hub, store, bundles):
    client = SurrogateClient.following(hub)
    client.predict(rows(1))
    version = store.put(LinearBundle.random(301))
    hub.publish(version)
    (store.path(version) / "linear.npz").write_bytes(b"damaged")
    time.sleep(1.5)
    assert not client.refresh()
    hub.publish(bundles[2].version)
    wait_for(client.refresh)
    assert client.version == bundles[2].version


def test_a_following_client_keeps_its_version_when_the_new_one_is_damaged(hub, store, bundles):
    client = SurrogateClient.following(hub, ahead=False)
    client.predict(rows(1))
    damaged = LinearBundle.random(300)
    version = store.put(damaged)
    hub.publish(version)
    (store.path(version) / "linear.npz").write_bytes(b"damaged")
    with pytest.raises(ArtifactError):
        client.refresh()
    assert client.predict(rows(1)).version == bundles[0].version


@pytest.mark.parametrize("kind", ["local", "stored", "following", "serve"])
def test_clients_work_again_in_another_process(ray_session, service, hub, store, bundles, kind):
    made = {
        "local": lambda: SurrogateClient.local(bundles[0]),
        "stored": lambda: SurrogateClient.stored(store.root, bundles[0].version, LinearBundle.load),
        "following": lambda: SurrogateClient.following(hub, ahead=False),
        "serve": service.client,
    }
    client = made[kind]()
    expected = client.predict(rows(3))
    twin = pickle.loads(pickle.dumps(client))
    assert (twin.n_predictions, client.n_predictions) == (0, 3)
    assert_same(twin.predict(rows(3)), expected)
    remote = ray_session.remote(SurrogateClient.predict).options(num_cpus=0.1)
    assert_same(ray_session.get(remote.remote(client, rows(3)), timeout=60), expected)


def test_a_service_that_does_not_run_gives_a_clear_error(service):
    with pytest.raises(ServiceError, match="no surrogate service 'absent' is running"):
        SurrogateClient.serve("absent", timeout_s=2).predict(rows(1))


def test_a_slow_service_ends_in_a_clear_error(service):
    with pytest.raises(ServiceError, match=r"did not answer within 0\.0001 s"):
        service.client(timeout_s=0.0001).predict(rows(1000))


def test_a_batch_of_another_width_is_refused(service):
    with pytest.raises(ServiceError, match=r"expected \[B, 52\]"):
        service.client().predict(np.ones((2, 3)) / 3)


# ---- swaps and deaths


def test_a_failed_start_says_why(ray_session, store):
    from aimat_ray.registry.deployment import start_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub

    hub = SurrogateHub.start(Channel("default", "bmg", "e" * 64), store.root)
    with pytest.raises(ServiceError, match="no surrogate is published"):
        start_surrogate_service(hub, app_name="never")
    hub.stop()


def test_swaps_under_load_mix_nothing_and_lose_nothing(service, bundles):
    by_version = {bundle.version: bundle for bundle in bundles}
    seen, errors, stop = set(), [], threading.Event()

    def ask(seed):
        client, batch = service.client(), rows(32, seed)
        try:
            while not stop.is_set():
                answer = client.predict(batch)
                assert_same(answer, by_version[answer.version].predict(batch))
                seen.add(answer.version)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    client = service.client()
    for bundle in bundles[1:]:
        service.hub.publish(bundle.version)
        serve_until(client, bundle.version)
    service.hub.rollback()
    serve_until(client, bundles[-2].version)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert seen >= {bundle.version for bundle in bundles[1:]}


def test_refresh_through_serve_tells_of_a_swap(service, bundles):
    client = service.client()
    client.predict(rows(1))
    assert not client.refresh()
    target = next(b.version for b in bundles if b.version != client.version)
    service.hub.publish(target)
    wait_for(client.refresh)
    assert client.version == target


def wrong_answers(store, seed):
    """A stored version whose files are intact but not what was stored: its elements are in another order."""
    wrong = LinearBundle.random(seed)
    version = store.put(wrong)
    folder = store.path(version)
    np.savez(folder / "linear.npz", weights=wrong.weights[::-1], name=np.array("default"))
    seal_folder(folder, "default", version)
    return version


def test_a_version_that_fails_its_reference_answers_is_not_published(service, store):
    before = service.hub.current()
    with pytest.raises(ArtifactError, match="reference answers"):
        service.hub.publish(wrong_answers(store, 500))
    assert service.hub.current() == before


def test_replicas_take_back_a_bad_version_that_was_published_without_a_check(service, store):
    before = service.hub.current()
    client = service.client()
    serve_until(client, before.version)
    version = wrong_answers(store, 501)
    store.set_current(service.hub.channel, version)
    wait_for(lambda: service.hub.current().version == before.version)
    event = service.hub.history()[-1]
    assert event.kind == "rollback"
    assert "refused by a replica" in event.note
    assert client.predict(rows(5)).version == before.version
    status = client._transport._connect().status.remote().result()
    assert list(status["refused"]) == [event.serial - 1]


def test_a_killed_replica_comes_back_on_the_current_version(service, bundles):
    client = service.client(timeout_s=60)
    batch = rows(256)
    client.predict(batch)
    first = client._transport._connect().status.remote().result()["pid"]
    os.kill(first, signal.SIGKILL)
    target = next(b for b in bundles if b.version != client.version)
    service.hub.publish(target.version)
    client.predict(batch)
    serve_until(client, target.version)
    assert_same(client.predict(batch), target.predict(batch))
    assert client._transport._connect().status.remote().result()["pid"] != first


def test_the_service_outlives_its_hub(ray_session, service):
    client = service.client()
    before = client.predict(rows(2))
    kill_hub(ray_session, service.hub)
    for _ in range(10):
        assert_same(client.predict(rows(2)), before)
    assert service.hub.current().version == before.version
