"""Bad input on the command line of the service, its keys and versions: exit code 2, one message, no traceback."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aimat_ray.cli.main import app

CASES = [
    (["serve", "--host", "0.0.0.0"], "no valid API key"),
    (["serve", "--host", "::"], "no valid API key"),
    (["serve", "--host", "not a host"], "no valid API key"),
    (["serve", "--port", "0"], "http.port"),
    (["serve", "--port", "70000"], "http.port"),
    (["serve", "--replicas", "0"], "surrogate.num_replicas"),
    (["serve", "--surrogate", "best"], "bundle"),
    (["serve", "--set", "limits.rows=5"], "unknown key 'limits.rows'"),
    (["serve", "--set", "limits"], "expected KEY=VALUE"),
    (["serve", "--set", "http.port=5", "--set", "http.port.number=5"], "is a value, not a group"),
    (["serve", "--config", "absent.yaml"], "absent.yaml"),
    (["serve", "--config", "{other}"], "expected an application with import_path"),
    (["serve", "--config", "{broken}"], "Serve config"),
    (["serve", "--problem", "absent"], "absent"),
    (["serve", "--keys", "{open}", "--host", "0.0.0.0"], "chmod 600"),
    (["key", "create", "--name", "a", "--scope", "write"], "expected one of: read, design, admin"),
    (["key", "revoke", "00000000"], "no valid key"),
    (["key", "list", "--file", "{open}"], "chmod 600"),
    (["key", "list", "--file", "{broken}"], "chmod 600"),
    (["surrogate", "promote", "absent"], "no surrogate version 'absent'"),
    (["surrogate", "promote", "../../etc"], "can't be a name"),
    (["surrogate", "publish", "absent"], "absent"),
    (["surrogate", "rollback", "default", "--data", "oracle"], "nothing to roll back to"),
    (["surrogate", "versions", "no/name", "--data", "oracle"], "can't be a name"),
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own, and files that are not what is expected. Nothing is started."""

    def start(*_: Any, **__: Any) -> None:
        raise AssertionError("Ray would be started now")

    monkeypatch.setattr("aimat_ray.registry.runtime.connect_ray", start)
    monkeypatch.setenv("AIMAT_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.yaml").write_text("applications:\n  - import_path: other.module:app\n")
    (tmp_path / "broken.yaml").write_text("applications: [")
    (tmp_path / "open.json").write_text('{"keys": []}')
    (tmp_path / "open.json").chmod(0o644)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"), CASES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_ends_with_code_2_and_names_what_is_wrong(place: Path, arguments: list[str], said: str) -> None:
    files = {"{other}": "other.yaml", "{broken}": "broken.yaml", "{open}": "open.json"}
    result = CliRunner().invoke(app, [files.get(part, part) for part in arguments])
    assert result.exit_code == 2, result.output
    assert said in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output


def test_a_port_that_is_taken_is_refused_before_anything_starts(place: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["serve", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 2
    assert "in use" in result.stderr
