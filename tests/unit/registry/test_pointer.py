import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimat_ray.errors import ArtifactError
from aimat_ray.registry.channel import Channel, check_name
from aimat_ray.registry.pointer import Pointer, parse_pointer

EMPTY = Pointer(channel="default/bmg-abc")


def test_publish_then_roll_back_twice():
    # v1, v2, v3 published; one rollback gives v2, another v1: not v3 again
    pointer = EMPTY
    for version in ("v1", "v2", "v3"):
        pointer = pointer.published(version, at="t")
    assert (pointer.current, pointer.previous, pointer.serial) == ("v3", "v2", 3)
    pointer = pointer.rolled_back(at="t")
    assert (pointer.current, pointer.serial) == ("v2", 4)
    pointer = pointer.rolled_back(at="t")
    assert (pointer.current, pointer.previous, pointer.serial) == ("v1", None, 5)
    assert [event.version for event in pointer.history] == ["v1", "v2", "v3", "v2", "v1"]
    with pytest.raises(ArtifactError, match="nothing to roll back to"):
        pointer.rolled_back(at="t")


def test_publishing_the_current_version_changes_nothing():
    pointer = EMPTY.published("v1", at="t")
    assert pointer.published("v1", at="later") is pointer


def test_a_repeated_request_changes_nothing():
    pointer = EMPTY.published("v1", "t", request="a").published("v2", "t", request="b")
    back = pointer.rolled_back("t", request="c")
    assert back.rolled_back("t", request="c") is back
    assert back.published("v2", "t", request="b") is back


@given(st.lists(st.sampled_from(["v1", "v2", "v3", "back"]), max_size=30))
def test_serial_counts_changes_and_the_file_form_is_lossless(actions):
    pointer = EMPTY
    for action in actions:
        if action != "back":
            pointer = pointer.published(action, at="t")
        elif pointer.previous is not None:
            pointer = pointer.rolled_back(at="t")
    assert pointer.serial == len(pointer.history)
    assert pointer.current == (pointer.history[-1].version if pointer.history else None)
    assert parse_pointer(pointer.model_dump_json(), "memory") == pointer


@pytest.mark.parametrize("text", ["", "{", "[]", '{"channel": "x", "line": 3}', '{"channel": "x", "extra": 1}'])
def test_damaged_pointer_is_refused(text):
    with pytest.raises(ArtifactError, match="can't be read"):
        parse_pointer(text, "file.json")


@pytest.mark.parametrize("name", ["", "..", "a/b", "../up", ".hidden", "current", "fits", "x" * 200, "ä", "a b"])
def test_names_that_are_not_folders_are_refused(name):
    with pytest.raises(ArtifactError, match="can't be a name"):
        check_name("bundle name", name)


def test_channels_differ_by_data_problem_and_run():
    base = Channel("default", "bmg", "sha256:0123456789abcdef")
    assert str(base) == "default/bmg-0123456789ab"
    assert str(Channel("default", "bmg", "0123456789abcdef", run="zr-7")) == "default/bmg-0123456789ab-zr-7"
    with pytest.raises(ArtifactError):
        Channel("default", "../bmg", "0")
