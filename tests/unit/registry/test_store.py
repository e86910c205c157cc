import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from aimat_ray.errors import ArtifactError
from aimat_ray.problem import load_problem
from aimat_ray.registry.canary import CANARY_FILE
from aimat_ray.registry.channel import Channel
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.registry.files import SEAL, read_files, seal_folder
from aimat_ray.registry.store import SurrogateStore, default_root
from aimat_ray.surrogate.base import ARRAY_FIELDS

CHANNEL = Channel("default", "bmg", "0" * 64)


@pytest.fixture
def store(tmp_path):
    return SurrogateStore(tmp_path / "store", load=LinearBundle.load)


def bundle(seed=1, name="default"):
    return LinearBundle.random(seed, name)


def rows(n, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(52, 0.1), n)


def assert_same(one, two):
    for name in ARRAY_FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), strict=True)
    assert one.version == two.version


def test_making_a_store_makes_no_folder(store):
    assert store.names() == []
    assert not store.root.exists()


def test_put_then_get_gives_the_same_answers(store):
    version = store.put(bundle())
    assert version == bundle().version
    assert store.versions("default") == [version]
    assert_same(store.get(version).predict(rows(33)), bundle().predict(rows(33)))


def test_putting_twice_writes_once(store):
    version = store.put(bundle())
    before = (store.path(version) / SEAL).stat().st_mtime_ns
    assert store.put(bundle()) == version
    assert (store.path(version) / SEAL).stat().st_mtime_ns == before


def test_unknown_version_names_what_is_there(store):
    known = store.put(bundle())
    with pytest.raises(ArtifactError, match=f"no surrogate version 'nope'.*{known}"):
        store.get("nope")


def _flip_byte(folder):
    path = folder / "linear.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = [
    (_flip_byte, "does not match its checksum"),
    (lambda folder: (folder / "linear.npz").unlink(), "linear.npz missing or unexpected"),
    (lambda folder: (folder / "more.bin").write_bytes(b"x"), "more.bin missing or unexpected"),
    (lambda folder: (folder / SEAL).write_text("{"), "is damaged"),
    (lambda folder: (folder / SEAL).unlink(), "no surrogate version"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_damaged_version_is_not_loaded_nor_published_and_can_be_put_again(store, damage, message):
    version = store.put(bundle())
    damage(store.path(version))
    with pytest.raises(ArtifactError, match=message):
        store.get(version)
    with pytest.raises(ArtifactError):
        store.set_current(CHANNEL, version)
    assert store.current(CHANNEL) is None
    assert store.put(bundle()) == version
    assert store.get(version).version == version


def test_a_version_that_answers_otherwise_than_when_stored_is_refused(store):
    # intact files, wrong contents: the weights' element order is reversed and the folder sealed again
    version = store.put(bundle())
    folder = store.path(version)
    np.savez(folder / "linear.npz", weights=bundle().weights[::-1], name=np.array("default"))
    seal_folder(folder, "default", version)
    with pytest.raises(ArtifactError, match="does not repeat its reference answers"):
        store.get(version)


def test_a_surrogate_that_answers_nan_is_not_stored(store):
    weights = bundle().weights.copy()
    weights[:, 3] = np.nan
    with pytest.raises(ArtifactError, match="not finite"):
        store.put(LinearBundle("default", weights))
    assert store.versions("default") == []
    assert not list((store.root / "default").glob(".writing-*"))


def test_the_reference_answers_are_part_of_the_version(store):
    version = store.put(bundle())
    assert CANARY_FILE in json.loads((store.path(version) / SEAL).read_text())["files"]


def test_current_follows_publications_and_rollbacks(store):
    first, second = store.put(bundle(1)), store.put(bundle(2))
    assert store.current(CHANNEL) is None
    store.set_current(CHANNEL, first)
    store.set_current(CHANNEL, second, note="better on unseen systems")
    current = store.current(CHANNEL)
    assert (current.version, current.serial, Path(current.path)) == (second, 2, store.path(second))
    store.rollback(CHANNEL, note="canary")
    assert (store.current(CHANNEL).version, store.current(CHANNEL).serial) == (first, 3)
    notes = [event.note for event in store.pointer(CHANNEL).history]
    assert notes == ["", "better on unseen systems", "canary"]


def test_channels_of_one_name_do_not_touch_each_other(store):
    first, second = store.put(bundle(1)), store.put(bundle(2))
    other = Channel("default", "bmg", "f" * 64)
    store.set_current(CHANNEL, first)
    store.set_current(other, second)
    assert (store.current(CHANNEL).version, store.current(other).version) == (first, second)


def test_files_travel_between_stores(store, tmp_path):
    version = store.put(bundle())
    files = read_files(store.path(version))
    other = SurrogateStore(tmp_path / "elsewhere", load=LinearBundle.load)
    assert other.put_files(files) == version
    assert_same(other.get(version).predict(rows(3)), bundle().predict(rows(3)))
    assert other.info(version).sha256 == store.info(version).sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.pop(SEAL), "no usable"),
        (lambda files: files.pop("linear.npz"), "missing or unexpected"),
        (lambda files: files.update({"linear.npz": b"other"}), "does not match"),
        (lambda files: files.update({"../../escape": b"x"}), "leaves the version's folder"),
        (lambda files: files.update({"/tmp/escape": b"x"}), "leaves the version's folder"),
    ],
)
def test_incomplete_or_hostile_files_are_refused(store, tmp_path, change, message):
    files = read_files(store.path(store.put(bundle())))
    change(files)
    other = SurrogateStore(tmp_path / "elsewhere", load=LinearBundle.load)
    with pytest.raises(ArtifactError, match=message):
        other.put_files(files)
    assert [v for name in other.names() for v in other.versions(name)] == []


def test_an_unwritable_store_says_what_to_do(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ArtifactError, match=r"can't write to the surrogate store .*AIMAT_STORE"):
        SurrogateStore(blocked, load=LinearBundle.load).put(bundle())


def test_a_full_disk_leaves_nothing_half_done(store, monkeypatch):
    first = store.put(bundle(1))
    store.set_current(CHANNEL, first)

    def full(self, folder):
        (folder / "linear.npz").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LinearBundle, "save", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        store.put(bundle(2))
    assert store.versions("default") == [first]
    assert store.current(CHANNEL).version == first


def test_root_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("AIMAT_STORE", str(tmp_path / "chosen"))
    assert default_root() == tmp_path / "chosen"
    monkeypatch.delenv("AIMAT_STORE")
    assert default_root().name == "surrogates"


def test_a_lock_that_stays_held_ends_in_a_clear_message(store):
    with (
        store.lock("default", "x"),
        pytest.raises(ArtifactError, match="another process has held default/x"),
        store.lock("default", "x", timeout_s=0.05),
    ):
        pass


# ---- several processes

WRITER = textwrap.dedent(
    """
    import sys, time
    from aimat_ray.registry.fake import LinearBundle
    from aimat_ray.registry.store import SurrogateStore
    from aimat_ray.registry import store as module

    class Slow(LinearBundle):
        def save(self, folder):
            super().save(folder)
            (folder / "large.bin").write_bytes(bytes(1 << 20))
            print("half", flush=True)
            time.sleep(60)

    SurrogateStore(sys.argv[1], load=LinearBundle.load).put(Slow("default", LinearBundle.random(1).weights))
    """
)


def test_a_killed_writer_leaves_nothing_visible_and_its_rest_is_swept(store):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(store.root)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
    left = list((store.root / "default").glob(".writing-*"))
    assert len(left) == 1 and list(left[0].glob("*/large.bin"))
    assert store.versions("default") == []
    with pytest.raises(ArtifactError, match="no surrogate version"):
        store.get(bundle(1).version)
    old = time.time() - 7200
    os.utime(left[0], (old, old))
    version = store.put(bundle(1))
    assert store.get(version).version == version
    assert not left[0].exists()


@pytest.mark.parametrize("moment", ["seal", "rename", "pointer"])
def test_a_writer_killed_at_any_moment_loses_no_version(store, moment):
    first = store.put(bundle(1))
    store.set_current(CHANNEL, first)
    second = bundle(2)
    code = textwrap.dedent(
        f"""
        import os, pathlib, signal, sys
        from aimat_ray.registry import store as module
        from aimat_ray.registry.channel import Channel
        from aimat_ray.registry.fake import LinearBundle

        def die(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGKILL)

        if {moment!r} == "seal":
            module.seal_folder = die
        if {moment!r} == "rename":
            module.SurrogateStore._place = die
        store = module.SurrogateStore(sys.argv[1], load=LinearBundle.load)
        version = store.put(LinearBundle.random(2))
        pathlib.Path.replace = die  # the pointer's new text is written, but not yet in place
        store.set_current(Channel("default", "bmg", "0" * 64), version)
        """
    )
    ended = subprocess.run([sys.executable, "-c", code, str(store.root)], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert store.current(CHANNEL).version == first
    assert set(store.versions("default")) == {first} | ({second.version} if moment == "pointer" else set())
    store.set_current(CHANNEL, store.put(second))
    assert store.get(store.current(CHANNEL).version).version == second.version


def _publish_many(root, seeds):
    store = SurrogateStore(root, load=LinearBundle.load)
    for seed in seeds:
        store.set_current(CHANNEL, store.put(bundle(seed)), note=str(seed))


def test_concurrent_writers_lose_no_publication(store):
    # three processes, overlapping versions: nothing is lost, every reader sees a loadable current version
    context = multiprocessing.get_context("spawn")
    shares = [range(8), range(4, 12), range(8, 16)]
    writers = [context.Process(target=_publish_many, args=(store.root, share)) for share in shares]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if (current := store.current(CHANNEL)) is not None:
            store.get(current.version)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    pointer = store.pointer(CHANNEL)
    assert len(store.versions("default")) == 16
    assert [event.serial for event in pointer.history] == list(range(1, pointer.serial + 1))
    assert {event.version for event in pointer.history} == {bundle(seed).version for seed in range(16)}


def test_a_writer_that_ends_while_another_sweeps_does_no_harm(store):
    # a link to nowhere is listed and then can't be looked at: as a folder that is removed in between
    (store.root / "default").mkdir(parents=True)
    (store.root / "default" / ".writing-gone").symlink_to(store.root / "nowhere")
    assert store.versions("default") == []
    version = store.put(bundle())
    assert store.get(version).version == version


# ---- get_or_fit


def alloys(checksum="a" * 64):
    return SimpleNamespace(checksum=checksum)


class CountingFit:
    def __init__(self):
        self.calls = 0

    def __call__(self, data, problem, name, seed, progress=None):
        self.calls += 1
        return LinearBundle.random(seed, name)


def test_a_second_request_with_the_same_inputs_does_not_fit_again(store):
    fit, problem = CountingFit(), load_problem()
    first = store.get_or_fit("default", alloys(), problem, 0, fit=fit)
    second = store.get_or_fit("default", alloys(), problem, 0, fit=fit)
    assert fit.calls == 1
    assert_same(first.predict(rows(5)), second.predict(rows(5)))


def test_every_input_of_a_fit_counts(store, monkeypatch):
    fit, problem = CountingFit(), load_problem()
    store.get_or_fit("default", alloys(), problem, 0, fit=fit)
    store.get_or_fit("judge", alloys(), problem, 0, fit=fit)
    store.get_or_fit("default", alloys("b" * 64), problem, 0, fit=fit)
    store.get_or_fit("default", alloys(), problem, 1, fit=fit)
    store.get_or_fit("default", alloys(), problem.model_copy(update={"title": "other"}), 0, fit=fit)
    assert fit.calls == 5
    monkeypatch.setattr("aimat_ray.registry.fits.recipe_fingerprint", lambda: "changed")
    store.get_or_fit("default", alloys(), problem, 0, fit=fit)
    assert fit.calls == 6


def test_a_damaged_fit_is_made_again(store, caplog):
    fit, problem = CountingFit(), load_problem()
    version = store.get_or_fit("default", alloys(), problem, 0, fit=fit).version
    _flip_byte(store.path(version))
    assert store.get_or_fit("default", alloys(), problem, 0, fit=fit).version == version
    assert fit.calls == 2
    assert "fitted again" in caplog.text


def _fit_slowly(root, queue):
    def fit(data, problem, name, seed, progress=None):
        queue.put("fit")
        time.sleep(0.5)
        return LinearBundle.random(seed, name)

    SurrogateStore(root, load=LinearBundle.load).get_or_fit("default", alloys(), load_problem(), 0, fit=fit)


def test_two_processes_with_the_same_inputs_fit_once(store):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_fit_slowly, args=(store.root, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert queue.get(timeout=5) == "fit"
    assert queue.empty()
