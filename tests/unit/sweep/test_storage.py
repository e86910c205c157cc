"""Storage of a sweep at an address: a real S3 server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from aimat_ray.errors import RunError
from aimat_ray.sweep.storage import SweepStorage

server = pytest.importorskip("moto.server", reason="the S3 server of the dev extra is not installed")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield running
    running.stop()


@pytest.fixture
def address(s3: Any, request: pytest.FixtureRequest) -> str:
    _, port = s3.get_host_and_port()
    bucket = "b" + str(abs(hash(request.node.name)) % 10**9)
    options = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    fs.FileSystem.from_uri(f"s3://{bucket}?{options}&allow_bucket_creation=true")[0].create_dir(bucket)
    return f"s3://{bucket}/sweep?{options}"


@pytest.fixture
def storage(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepStorage:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "here"))
    (tmp_path / "here").mkdir()
    return SweepStorage(address)


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this is another machine, with a scratch folder of its own."""
    (tmp_path / "there").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "there"))


def test_a_run_goes_on_where_it_was_stored(
    storage: SweepStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = storage.run_folder("Zr-s0")
    (folder / "checkpoints" / "000001").mkdir(parents=True)
    (folder / "checkpoints" / "000001" / "state").write_bytes(b"weights")
    (folder / "run.json").write_text("{}")
    storage.keep("runs/Zr-s0")
    elsewhere(tmp_path, monkeypatch)
    there = storage.run_folder("Zr-s0")
    assert there != folder
    assert (there / "checkpoints" / "000001" / "state").read_bytes() == b"weights"


def test_what_a_run_has_removed_is_removed_there_too(
    storage: SweepStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = storage.run_folder("Zr-s0")
    for number in ("000001", "000002"):
        (folder / "checkpoints" / number).mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints" / number / "state").write_text(number)
        storage.keep("runs/Zr-s0")
    (folder / "checkpoints" / "000001" / "state").unlink()
    (folder / "checkpoints" / "000001").rmdir()
    storage.keep("runs/Zr-s0")
    elsewhere(tmp_path, monkeypatch)
    files = [path.parent.name for path in storage.run_folder("Zr-s0").rglob("state")]
    assert files == ["000002"]


def test_finished_runs_are_those_with_an_evaluation(storage: SweepStorage, tmp_path: Path) -> None:
    for place in (storage, SweepStorage(str(tmp_path / "folder"))):
        for name, files in (("Zr-s0", ("run.json", "evaluation.json")), ("Cu-s0", ("run.json",))):
            (place.root / "runs" / name).mkdir(parents=True)
            for file in files:
                (place.root / "runs" / name / file).write_text("{}")
            place.keep(f"runs/{name}")
        assert place.finished_runs(["Zr-s0", "Cu-s0", "La-s0"]) == {"Zr-s0"}


def test_nothing_stored_is_nothing_fetched(storage: SweepStorage) -> None:
    storage.fetch("sweep.json")
    assert not (storage.root / "sweep.json").exists()
    assert not storage.run_folder("Zr-s0").exists()


def test_storage_that_is_gone_for_good_is_named_without_its_secrets(
    storage: SweepStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aimat_ray.sweep.storage._WAITS_S", (0.01,))
    gone = SweepStorage("s3://key:secret@nowhere/sweep?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1")
    gone.root.mkdir(parents=True)
    (gone.root / "sweep.json").write_text("{}")
    with pytest.raises(RunError, match=r"storing sweep\.json"):
        gone.keep("sweep.json")


def test_a_folder_needs_no_copies(tmp_path: Path) -> None:
    storage = SweepStorage(str(tmp_path))
    storage.keep("runs/x")
    storage.fetch("runs/x")
    assert storage.run_folder("x") == tmp_path / "runs" / "x"
    assert list(tmp_path.iterdir()) == []


def test_the_record_of_tune_is_below_the_sweep() -> None:
    assert SweepStorage("s3://bucket/sweep/?region=x").tune_url == "s3://bucket/sweep/tune?region=x"
    assert SweepStorage("s3://bucket/sweep").tune_url == "s3://bucket/sweep/tune"
    assert SweepStorage("/shared/sweep").tune_url == "/shared/sweep/tune"
