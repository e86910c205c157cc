"""API keys: hashed at rest, readable by nobody else, revocable while a service runs."""

import json
import stat

import pytest

from aimat_ray.errors import ConfigError
from aimat_ray.serving import keys
from aimat_ray.serving.keys import KeyFile, KeyRing


@pytest.fixture
def file(tmp_path):
    return KeyFile(tmp_path / "store" / "api-keys.json")


@pytest.fixture
def impatient(monkeypatch):
    """A ring looks at its file at every question."""
    monkeypatch.setattr(keys, "_LOOK_AGAIN_S", 0.0)


def test_only_the_hash_is_kept_and_only_for_its_owner(file):
    key, secret = file.create("lab", ["design", "read"])
    text = file.path.read_text()
    assert secret not in text
    assert secret.split("_", 2)[2] not in text
    assert key.sha256 in text
    assert key.scopes == ("read", "design")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_the_file_is_never_readable_by_others_under_any_umask(file, monkeypatch):
    import os

    before = os.umask(0)
    try:
        file.create("lab", ["read"])
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_file_that_others_may_read_is_refused(file):
    file.create("lab", ["read"])
    file.path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        file.read()


def test_a_ring_knows_every_valid_key_and_no_other(file, impatient):
    (one, first), (two, second) = file.create("a", ["read"]), file.create("b", ["admin"])
    ring = KeyRing(file)
    assert ring.find(first).id == one.id
    assert ring.find(second).scopes == ("admin",)
    for wrong in (
        "",
        "x",
        first[:-1],
        first + "x",
        f"aimat_{one.id}_",
        f"aimat_{two.id}_{first.split('_', 2)[2]}",
        "é" * 9,
    ):
        assert ring.find(wrong) is None


def test_revoking_ends_a_key_while_the_ring_is_in_use(file, impatient):
    (one, first), (_, second) = file.create("a", ["read"]), file.create("b", ["read"])
    ring = KeyRing(file)
    assert ring.find(first)
    file.revoke(one.id)
    assert ring.find(first) is None
    assert ring.find(second)
    assert [key.revoked is None for key in file.read()] == [False, True]


def test_revoking_an_unknown_or_ended_key_says_which_are_valid(file):
    key, _ = file.create("a", ["read"])
    with pytest.raises(ConfigError, match=f"valid: {key.id}"):
        file.revoke("00000000")
    file.revoke(key.id)
    with pytest.raises(ConfigError, match="valid: none"):
        file.revoke(key.id)


@pytest.mark.parametrize("damage", ["chmod", "text", "gone"])
def test_a_ring_accepts_nothing_when_its_file_is_damaged(file, impatient, damage):
    _, secret = file.create("a", ["read"])
    ring = KeyRing(file)
    assert ring.find(secret)
    if damage == "chmod":
        content = file.path.read_text()
        file.path.unlink()
        file.path.write_text(content)
        file.path.chmod(0o640)
    elif damage == "text":
        file.path.unlink()
        file.path.write_text(json.dumps({"keys": "all"}))
        file.path.chmod(0o600)
    else:
        file.path.unlink()
    assert ring.find(secret) is None


def test_comparison_takes_the_whole_digest(file, impatient, monkeypatch):
    _, secret = file.create("a", ["read"])
    compared = []
    same = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or same(a, b))
    ring = KeyRing(file)
    for one in (secret, secret[:-1] + "-", "unknown", "aimat_00000000_x"):
        ring.find(one)
    assert compared == [(64, 64)] * 4
