"""What a user may get wrong about a contest: exit code 2 and one clear message, before anything takes minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from aimat_ray.cli.main import app

GOOD: dict[str, Any] = {
    "methods": {"random": {"kind": "random", "title": "random"}},
    "problems": {"known": {"kind": "closed_form"}},
}
BAD_FILES = [
    ({"metods": {}}, "unknown setting 'metods'", "unknown key"),
    ({"methods": {"x": {"kind": "magic", "title": "x"}}}, "methods.x.kind", "unknown kind"),
    ({"points": [1000, 500]}, "growing numbers of predictions", "falling points"),
    ({"list_size": 0}, "list_size", "empty lists"),
    ({"quick": {"problems": ["moon"]}}, "unknown problem 'moon'", "unknown problem"),
    ({"methods": {"x": {"kind": "td3", "title": "x", "set": {"agent.gama": 1}}}}, "agent.gama", "unknown run setting"),
    ({"methods": {"x": {"kind": "td3", "title": "x", "config": "no.yaml"}}}, "no.yaml", "missing run settings"),
]
BAD_CALLS = [
    (["{file}", "--methods", "magic"], "unknown method 'magic'", "unknown method"),
    (["{file}", "--problems", "moon"], "unknown problem 'moon'", "unknown name"),
    (["{file}", "--set", "seeds=0"], "seeds", "no seeds"),
    (["{folder}/nothing.yaml"], "nothing.yaml", "no file"),
    ([], "give the file of a contest", "nothing to do"),
    (["--from", "{folder}"], "holds no results of a contest", "no results"),
    (["{file}", "--finished", "--out", "{folder}/new"], "no finished cell", "nothing finished"),
]


def refused(arguments: list[str], message: str) -> None:
    ended = CliRunner().invoke(app, ["compare", *arguments])
    assert ended.exit_code == 2, ended.output
    assert message in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("changes", "message"), [row[:2] for row in BAD_FILES], ids=[row[2] for row in BAD_FILES])
def test_a_bad_file(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "contest.yaml"
    file.write_text(yaml.safe_dump(GOOD | changes))
    refused([str(file)], message)


@pytest.mark.parametrize(("arguments", "message"), [row[:2] for row in BAD_CALLS], ids=[row[2] for row in BAD_CALLS])
def test_a_bad_call(arguments: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "contest.yaml"
    file.write_text(yaml.safe_dump(GOOD))
    refused([argument.format(file=file, folder=tmp_path) for argument in arguments], message)
