"""`aimat bench`: the project's own numeric claims, measured on this machine."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from aimat_ray.cli.console import console, emit_json, friendly_errors
from aimat_ray.errors import ConfigError

KEYS = ("name", "value", "unit", "bar", "ok", "detail")
TIMEOUT_S = 3600.0
_KEPT_LINES = 12  # of what a failing script said last


@dataclass(frozen=True)
class Script:
    """A benchmark script.

    Attributes:
        name: Name on the command line.
        path: The file.
        summary: First line of its docstring.
        default: Whether it runs when no name is given: its constant DEFAULT, True where it has none.
    """

    name: str
    path: Path
    summary: str
    default: bool


@friendly_errors
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Scripts to run; all that take minutes by default.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Name the scripts and end.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Run the benchmark scripts and hold their numbers against the bars; exit code 1 when one is missed.

    Example: aimat bench pool training_speed --json
    """
    scripts = find_scripts(benchmarks_folder())
    if list_:
        _list(scripts, json_)
        return
    entries = [entry for script in chosen(scripts, names or []) for entry in run_script(script)]
    if json_:
        emit_json(entries)
    else:
        _show(entries)
    if any(entry["ok"] is False for entry in entries):
        raise typer.Exit(1)


def benchmarks_folder() -> Path:
    """The folder of scripts beside the package.

    Raises:
        ConfigError: This installation has none.
    """
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    if not folder.is_dir():
        raise ConfigError(
            f"no benchmark scripts at {folder}: they are part of a checkout, not of an installed package; "
            "clone the repository, install it with `make setup`, and run aimat bench there"
        )
    return folder


def find_scripts(folder: Path) -> dict[str, Script]:
    """Scripts of a folder by name; files that begin with an underscore are helpers. Nothing is imported."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith("_"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        found[path.stem] = Script(path.stem, path, summary, _default_of(tree))
    return found


def _default_of(tree: ast.Module) -> bool:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "DEFAULT" in names:
                return bool(node.value.value)
    return True


def chosen(scripts: dict[str, Script], names: list[str]) -> list[Script]:
    """The named scripts, or those that run by default.

    Raises:
        ConfigError: An unknown name.
    """
    for name in names:
        if name not in scripts:
            raise ConfigError(f"no benchmark {name!r}; expected one of: {', '.join(scripts)}")
    return [scripts[name] for name in names] or [script for script in scripts.values() if script.default]


def run_script(script: Script, timeout_s: float = TIMEOUT_S) -> list[dict[str, Any]]:
    """Run one script in a process of its own; a failure becomes an entry that is not ok."""
    console.print(f"{script.name}: {script.summary}", markup=False, soft_wrap=True)
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stdout:
        process = subprocess.Popen(
            [sys.executable, str(script.path)],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        said = _follow(process, timeout_s)
        stdout.seek(0)
        entries = _read(script, process.returncode, stdout.read(), said)
    console.print(f"{script.name}: {time.monotonic() - began:.0f} s", markup=False)
    for entry in entries:
        console.print(f"  {_line(entry)}", markup=False, soft_wrap=True)
    return entries


def _follow(process: subprocess.Popen[str], timeout_s: float) -> list[str]:
    """Show what the script says until it ends, and keep the last lines."""
    watchdog = threading.Timer(timeout_s, _end, [process])
    watchdog.start()
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            last.append(line.rstrip())
            console.print(f"  {line.rstrip()}", markup=False, style="dim", soft_wrap=True)
        process.wait()
    finally:
        watchdog.cancel()
        _end(process)  # after Ctrl-C; nothing to do otherwise
    return list(last)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(script: Script, returncode: int, text: str, said: list[str]) -> list[dict[str, Any]]:
    if returncode != 0:
        reason = f"ended by signal {-returncode}" if returncode < 0 else f"ended with exit code {returncode}"
        return [_failure(script, " | ".join([reason, *said]))]
    try:
        entries = list(_checked(json.loads(text)))
    except ValueError as error:
        return [_failure(script, f"did not print a list of entries: {error}")]
    return entries or [_failure(script, "printed no entry")]


def _checked(document: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(document, list):
        raise ValueError(f"expected a list, got {type(document).__name__}")
    for entry in document:
        missing = [key for key in KEYS if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise ValueError(f"an entry without {', '.join(missing)}")
        yield entry


def _failure(script: Script, reason: str) -> dict[str, Any]:
    return {"name": script.name, "value": None, "unit": "", "bar": None, "ok": False, "detail": reason}


def _verdict(ok: bool | None) -> str:
    return "not measured" if ok is None else "ok" if ok else "MISSED"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:,.4g}" if isinstance(value, int | float) else str(value)


def _line(entry: dict[str, Any]) -> str:
    bar = "" if entry["bar"] is None else f" (bar {_number(entry['bar'])})"
    return f"{_verdict(entry['ok'])}: {entry['name']} = {_number(entry['value'])} {entry['unit']}".rstrip() + bar


def _show(entries: list[dict[str, Any]]) -> None:
    """Print the numbers on stdout as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("claim", "value", "unit", "bar", "verdict")
    for entry in entries:
        table.add_row(
            entry["name"], _number(entry["value"]), entry["unit"], _number(entry["bar"]), _verdict(entry["ok"])
        )
    Console(highlight=False).print(table)


def _list(scripts: dict[str, Script], as_json: bool) -> None:
    if as_json:
        emit_json([{"name": s.name, "summary": s.summary, "default": s.default} for s in scripts.values()])
        return
    for script in scripts.values():
        typer.echo(f"{script.name}{'' if script.default else ' (only by name)'}: {script.summary}")
