"""What every verb shares: logs on stderr, one JSON document on stdout, errors as one clear message."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from aimat_ray.errors import AimatError, ConfigError

console = Console(stderr=True, highlight=False)
INTERRUPTED = 130  # exit code of a program that was ended by Ctrl-C

P = ParamSpec("P")
R = TypeVar("R")


def emit_json(document: Any) -> None:
    """Print one JSON document on stdout; numbers that are not finite become null."""
    sys.stdout.write(json.dumps(_plain(document), indent=1, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def friendly_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn this package's errors into one message and their exit code, without a traceback."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except AimatError as error:
            console.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt:
            console.print("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return wrapper


def set_up_logging(verbose: bool) -> None:
    """Send log lines to stderr."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def say(line: str) -> None:
    """Print a progress line on stderr."""
    style = "yellow" if line.startswith("WARNING") or "SYNTHETIC" in line else None
    console.print(line, style=style, soft_wrap=True, markup=False)


def read_assignments(texts: list[str] | None, example: str) -> dict[str, Any]:
    """Values of a repeated `--set KEY=VALUE` by key; values are YAML.

    Args:
        texts: What was given.
        example: Shown to somebody whose text can't be read.

    Raises:
        ConfigError: Not of that form, or a value that is no YAML.
    """
    import yaml

    values = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not (key.strip() and equals):
            raise ConfigError(f"--set {text!r}: expected KEY=VALUE, for example {example}")
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text!r}: the value can't be read: {error}") from error
    return values
