"""The refinement actor on a real Ray: from a trigger to a publication, through deaths and a disk that takes no more."""

import contextlib
import os
import resource
import signal
import socket
import time
import uuid

import numpy as np
import pytest
from planted_alloys import planted_bundle, planted_small_data

from aimat_ray.config import LlmSettings, RefineSettings
from aimat_ray.refine.audit import FILE_NAME, read
from aimat_ray.refine.replay import replay
from aimat_ray.refine.triggers import Window
from aimat_ray.refine.work import Work
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.store import SurrogateStore

pytestmark = pytest.mark.timeout(900)
SETTINGS = RefineSettings(adviser="statistical", verdict={"coverage": (0.7, 1.0)})
REFERENCE = np.ones(7)
PATIENCE_S = 400.0  # on a busy machine


def wait_for(condition, timeout_s=PATIENCE_S):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("the condition did not come true in time")


@pytest.fixture(scope="module")
def planted(problem, tmp_path_factory):
    data = planted_small_data(problem)
    store = SurrogateStore(tmp_path_factory.mktemp("store"))
    version = store.put(planted_bundle(data, problem))
    return data, store, version


class Loop:
    """An actor with its hub, on a channel of its own."""

    def __init__(self, ray, planted, problem, folder, settings=SETTINGS, llm=None):
        from aimat_ray.refine.actor import Refinement
        from aimat_ray.registry.hub import SurrogateHub

        data, store, self.first = planted
        self.ray, self.problem, self.data, self.folder, self.settings = ray, problem, data, folder, settings
        name = uuid.uuid4().hex[:8]
        self.hub = SurrogateHub.start(Channel("judge", "bmg", data.checksum, run=name), store.root)
        self.hub.publish(self.first)
        work = Work(data, problem, settings, llm or LlmSettings(), folder / "llm", store.root, "judge")
        self.refinement = Refinement.start(f"refinement/{name}", folder, self.hub, work, ("tg_k",))

    def fire(self, env_steps=5_000):
        at_frac = np.array(self.data.regression.at_frac[:80])
        spread = np.full((80, 7), 9.0)
        window = Window(env_steps, self.first, at_frac, np.full((80, 7), 600.0), spread, np.empty(0), np.empty(0))
        self.refinement.observe(window, REFERENCE)
        return wait_for(lambda: self.refinement.poll(1.0))

    def status(self):
        return wait_for(self._status)

    def _status(self):
        from aimat_ray.errors import ServiceError

        with contextlib.suppress(ServiceError):  # being started again
            return self.refinement.status()

    def idle(self):
        wait_for(lambda: self.status().idle)
        return self.status()

    def events(self):
        return [entry.event["type"] for entry in read(self.folder / FILE_NAME)]

    def hub_pid(self):
        actor = self.ray.get_actor(self.hub.actor_name, namespace=self.hub.namespace)
        return self.ray.get(actor.pid.remote())

    def close(self):
        self.refinement.stop("test ended")
        self.hub.stop()


@pytest.fixture
def loop(ray_session, planted, problem, tmp_path):
    made = []

    def make(**options):
        made.append(Loop(ray_session, planted, problem, tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_from_a_trigger_to_a_publication(loop, problem, planted):
    one = loop()
    assert one.fire().phase == "proposing"
    assert len(one.idle().versions) == 1
    assert one.events() == ["triggered", "proposed", "retrained", "published"]
    entries = read(one.folder / FILE_NAME)
    assert entries[1].event["proposal"]["descriptors"][0] in ("h_mix", "g_mix", "h_over_cohesion")
    current = one.hub.current()
    assert current.version == entries[-1].event["version"] != one.first
    assert all(step.same for step in replay(one.folder, SETTINGS))
    # The published surrogate is truly better: its error against the law, on alloys that nobody measured.
    _, store, _ = planted
    fresh = planted_small_data(problem, seed=9).regression
    p = problem.property_keys.index("tg_k")
    errors = [
        np.mean((store.get(v).predict(np.array(fresh.at_frac)).mean[:, p] - fresh.values[:, p]) ** 2)
        for v in (one.first, current.version)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_a_second_trigger_waits_for_its_cool_down(loop):
    one = loop(settings=SETTINGS.model_copy(update={"adviser": "none"}))
    one.fire(5_000)
    one.idle()
    one.fire(5_100)
    assert one.idle().refinement == 1
    one.fire(50_000)
    assert one.idle().refinement == 2
    assert one.events() == ["triggered", "advice_failed"] * 2
    assert one.hub.current().version == one.first


@pytest.mark.parametrize("phase", ["proposing", "retraining"])
def test_a_killed_actor_goes_on_where_it_was(loop, phase):
    one = loop()
    one.fire()
    status = wait_for(lambda: (s := one.status()).phase == phase and s)
    os.kill(status.pid, signal.SIGKILL)
    wait_for(lambda: one.status().pid != status.pid)
    assert len(one.idle().versions) == 1
    assert one.hub.current().version != one.first
    assert one.events().count("triggered") == 1 and one.events()[-1] == "published"
    assert len(one.hub.history()) == 2  # the first surrogate, and the refined one once


def test_a_killed_hub_loses_no_version(loop):
    one = loop()
    one.fire()
    wait_for(lambda: one.status().phase == "retraining")
    os.kill(one.hub_pid(), signal.SIGKILL)
    status = one.idle()
    assert one.hub.current().version == status.versions[-1] != one.first


@pytest.mark.parametrize("recovers", [True, False], ids=["space is freed", "the disk stays full"])
def test_a_full_disk_publishes_nothing_by_half(loop, recovers):
    one = loop()
    hub = one.hub_pid()
    # No file of the hub's process may grow: every write fails, as on a full disk.
    resource.prlimit(hub, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        one.fire()
        wait_for(lambda: "publish_failed" in one.events())
        assert one.hub.current().version == one.first
        if recovers:
            resource.prlimit(hub, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        status = one.idle()
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(hub, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if recovers:
        assert one.hub.current().version == status.versions[-1] != one.first
    else:
        assert status.versions == () and one.hub.current().version == one.first
        abandoned = read(one.folder / FILE_NAME)[-1].instructions[-1]
        assert "could not be published" in abandoned["reason"]


def test_a_language_model_that_is_down_costs_a_refinement_and_nothing_else(loop, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    settings = SETTINGS.model_copy(update={"adviser": "llm"})
    one = loop(settings=settings, llm=LlmSettings(retries=1, backoff_s=0.1))
    with socket.socket() as taken:  # bound, so that nobody else gets the port; but nobody listens there
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        one.fire()
        assert one.idle().versions == ()
    assert one.events() == ["triggered", "advice_failed"]
    assert one.hub.current().version == one.first


def test_the_end_of_training_leaves_nothing_under_way(loop):
    one = loop()
    one.fire()
    one.refinement.stop("training ended")
    entries = read(one.folder / FILE_NAME)
    assert entries[-1].event == {"type": "interrupted", "reason": "training ended"}
    assert one.hub.current().version == one.first
