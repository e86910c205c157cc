"""Reading a run directory that may be partial: what is there, and what is missing and why it matters."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aimat_ray.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

Document = dict[str, Any]
Row = dict[str, str]
Manifests = Mapping[str, Mapping[str, Any]]  # by role: "surrogate", "judge"
T = TypeVar("T")

# What the reader loses without each file, in the words of the report.
CONSEQUENCES = {
    "run.json": "settings, versions, data and goal of the run are not known",
    "settings.yaml": "the resolved settings are not shown",
    "metrics.parquet": "there is no learning curve",
    "warnings.json": "warnings raised while training are not shown",
    "evaluation.json": "there are no success rates, controls or ledger: the run was not evaluated",
    "evaluation_episodes.parquet": "predictions spent per episode may be missing",
    "candidates.csv": "there are no candidates",
    "pool.json": "the trusted experience pool is not described",
    "data": "measured alloys are not drawn beside the candidates",
}

OF_TRAINING = ("metrics.parquet", "warnings.json")  # files that a run without training does not have


@dataclass(frozen=True)
class Missing:
    """A file that the report had to do without."""

    file: str
    reason: str

    @property
    def consequence(self) -> str:
        """What the reader does not get."""
        return CONSEQUENCES.get(self.file, "the part that it feeds is left out")


@dataclass(frozen=True)
class RunFiles:
    """What a run directory holds; every part may be absent.

    Attributes:
        folder: The run directory.
        run: run.json.
        settings: Text of settings.yaml.
        metrics: One row per training iteration, numeric columns only.
        warnings: Failure signatures seen while training.
        evaluation: evaluation.json (the whole document of `aimat design --json`).
        episodes: One row per evaluated episode and method.
        candidates: Rows of candidates.csv as text; None where there is no file.
        pool: pool.json.
        missing: Files that are absent or unreadable.
    """

    folder: Path
    run: Document = field(default_factory=dict)
    settings: str = ""
    metrics: pd.DataFrame | None = None
    warnings: tuple[Document, ...] = ()
    evaluation: Document = field(default_factory=dict)
    episodes: pd.DataFrame | None = None
    candidates: tuple[Row, ...] | None = None
    pool: Document = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the run got as far as its evaluation and candidates."""
        return bool(self.evaluation) and self.candidates is not None


def read_run(folder: Path) -> RunFiles:
    """Read whatever is there.

    Raises:
        RunError: The folder is not there, or none of a run's files is in it.
    """
    if not folder.is_dir():
        raise RunError(f"no run directory at {folder}; expected the folder that `aimat design --out` wrote")
    missing: list[Missing] = []

    def read(name: str, reader: Callable[[Path], T], empty: T) -> T:
        path = folder / name
        if not path.is_file():
            missing.append(Missing(name, "not there"))
            return empty
        try:
            return reader(path)
        except Exception as error:  # an interrupted run leaves files of any shape, and a report must still come out
            missing.append(Missing(name, f"can't be read ({type(error).__name__}: {error})"))
            return empty

    files = RunFiles(
        folder=folder,
        run=read("run.json", _json_object, {}),
        settings=read("settings.yaml", _text, ""),
        metrics=read("metrics.parquet", _numeric_frame, None),
        warnings=read("warnings.json", _json_objects, ()),
        evaluation=read("evaluation.json", _json_object, {}),
        episodes=read("evaluation_episodes.parquet", _frame, None),
        candidates=read("candidates.csv", _csv_rows, None),
        pool=read("pool.json", _json_object, {}),
        missing=tuple(missing),
    )
    if sum(item.reason == "not there" for item in missing) == len(CONSEQUENCES) - 1:
        raise RunError(f"{folder} holds none of a run's files (run.json, metrics.parquet, ...); is it a run directory?")
    if trains(files):
        return files
    return replace(files, missing=tuple(item for item in files.missing if item.file not in OF_TRAINING))


def trains(files: RunFiles) -> bool:
    """Whether the run trains an agent; a run whose method is a search does not."""
    return dig(files.run, "settings", "method") in (None, "td3")


def dig(document: Any, *path: str) -> Any:
    """The entry at a path of keys, or None where any level is absent or not a mapping."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def number(value: Any) -> float:
    """A finite number, or NaN for anything else (text that reads as a number counts)."""
    if value is None or isinstance(value, bool):
        return math.nan
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return result if math.isfinite(result) else math.nan


def flag(value: Any) -> bool | None:
    """True, False, or None where it is not said."""
    if isinstance(value, bool):
        return value
    return {
        "true": True,
        "1": True,
        "1.0": True,
        "yes": True,
        "false": False,
        "0": False,
        "0.0": False,
        "no": False,
    }.get(str(value).strip().lower())


def listed(value: Any) -> list[Any]:
    """A list as it is; anything else gives an empty one."""
    return value if isinstance(value, list) else []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _json_object(path: Path) -> Document:
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"expected an object, got {type(document).__name__}")
    return document


def _json_objects(path: Path) -> tuple[Document, ...]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, list):
        raise ValueError(f"expected a list, got {type(document).__name__}")
    return tuple(item for item in document if isinstance(item, dict))


def _frame(path: Path) -> pd.DataFrame | None:
    import pandas as pd

    return pd.read_parquet(path)


def _numeric_frame(path: Path) -> pd.DataFrame | None:
    """Numeric columns, and surrogate versions; sorted by environment steps."""
    import pandas as pd

    frame = pd.read_parquet(path)
    kept = {
        str(name): frame[name] if str(name) == "surrogate_version" else pd.to_numeric(frame[name], errors="coerce")
        for name in frame.columns
        if str(name) == "surrogate_version" or frame[name].dtype.kind in "fiub"
    }
    numeric = pd.DataFrame(kept)
    return numeric.sort_values("env_steps", kind="stable") if "env_steps" in numeric else numeric


def _csv_rows(path: Path) -> tuple[Row, ...] | None:
    """Complete rows; a last line cut short by an interruption is left out."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.DictReader(stream)
        if not reader.fieldnames or "formula" not in reader.fieldnames:
            raise ValueError("expected a header with a column 'formula'")
        return tuple(row for row in reader if None not in row and None not in row.values())
