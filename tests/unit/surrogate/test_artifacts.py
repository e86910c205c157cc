from __future__ import annotations

import json

import numpy as np
import pytest

from aimat_ray.errors import ArtifactError
from aimat_ray.surrogate.artifacts import (
    ModelState,
    checksums,
    content_hash,
    pack,
    read_files,
    read_manifest,
    unpack,
    write_folder,
)


def _state() -> ModelState:
    leaf = ModelState("leaf", meta={"n": 3}, arrays={"w": np.arange(4.0)}, blobs={"m": b"bytes"})
    return ModelState("root", arrays={"w": np.array([True, False])}, children={"a": leaf, "b": ModelState("empty")})


def test_states_come_back_as_they_were():
    back = unpack(pack(_state()))
    assert (back.kind, list(back.children)) == ("root", ["a", "b"])
    assert back.arrays["w"].dtype == bool
    assert back.children["a"].meta == {"n": 3}
    assert back.children["a"].blobs == {"m": b"bytes"}
    assert np.array_equal(back.children["a"].arrays["w"], np.arange(4.0))


def test_equal_states_make_equal_bytes():
    assert pack(_state()) == pack(_state())


def test_content_hash_ignores_key_order():
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1}) != content_hash({"a": 1, "b": 3})


def _stored(folder):
    files = pack(_state())
    write_folder(folder, files, json.dumps({"files": checksums(files)}))
    return files


def test_a_folder_round_trip_verifies_checksums(tmp_path):
    files = _stored(tmp_path / "x")
    assert read_files(tmp_path / "x", read_manifest(tmp_path / "x")["files"]) == files


def test_one_changed_byte_is_noticed(tmp_path):
    _stored(tmp_path / "x")
    target = tmp_path / "x" / "arrays.npz"
    target.write_bytes(target.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=r"arrays\.npz: checksum"):
        read_files(tmp_path / "x", read_manifest(tmp_path / "x")["files"])


def test_a_missing_file_is_noticed(tmp_path):
    _stored(tmp_path / "x")
    (tmp_path / "x" / "a" / "m.cbm").unlink()
    with pytest.raises(ArtifactError, match=r"m\.cbm: missing"):
        read_files(tmp_path / "x", read_manifest(tmp_path / "x")["files"])


def test_a_manifest_can_not_name_files_outside(tmp_path):
    with pytest.raises(ArtifactError, match="outside the folder"):
        read_files(tmp_path / "x", {"../secret": "0" * 64})


@pytest.mark.parametrize("text", ["", "{", "[1, 2]"])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_no_manifest_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="no surrogate in"):
        read_manifest(tmp_path / "nowhere")


def test_writing_twice_does_nothing_and_never_mixes_two_artifacts(tmp_path):
    _stored(tmp_path / "x")
    _stored(tmp_path / "x")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "other.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="choose another folder"):
        _stored(tmp_path / "y")
    assert (tmp_path / "y" / "other.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "y"]  # no staging folder is left behind


def test_an_incomplete_archive_is_refused():
    files = dict(pack(_state()))
    del files["a/m.cbm"]
    with pytest.raises(ArtifactError, match="incomplete or damaged"):
        unpack(files)
