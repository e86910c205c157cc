"""The audit log: one JSON line per event and what followed from it, appended and never changed.

The line is on disk before anything that follows from it is done, so the log is also what a restarted actor recovers
from: `read` the lines, `recover` the state, perform `state.pending`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aimat_ray.config import RefineSettings
from aimat_ray.errors import RunError
from aimat_ray.refine.records import Record
from aimat_ray.refine.state import Event, Instruction, State, advance, parse_event

FILE_NAME = "refinement.jsonl"


class Entry(Record):
    """One line.

    Attributes:
        seq: Number of the line, from 1.
        at: Time in UTC, ISO 8601.
        event: What happened.
        phase: Phase after it.
        instructions: What followed.
    """

    seq: int
    at: str
    event: dict[str, Any]
    phase: str
    instructions: tuple[dict[str, Any], ...] = ()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class AuditLog:
    """Appends to the log of one run.

    Args:
        path: The file; made with the first line.
        clock: Gives the time of a line.
    """

    def __init__(self, path: Path, clock: Callable[[], str] = _now) -> None:
        self.path = path
        self._clock = clock
        self._next = len(read(path, repair=True)) + 1

    def append(self, event: Event, state: State, instructions: Sequence[Instruction]) -> Entry:
        """Write one line and force it to disk.

        Raises:
            RunError: It can't be written.
        """
        entry = Entry(
            seq=self._next,
            at=self._clock(),
            event=event.model_dump(mode="json"),
            phase=state.phase,
            instructions=tuple(instruction.model_dump(mode="json") for instruction in instructions),
        )
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(entry.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"the refinement log {self.path} can't be written: {error.strerror or error}") from error
        self._next += 1
        return entry


def read(path: Path, repair: bool = False) -> list[Entry]:
    """All lines of a log, oldest first; none where there is no file.

    Args:
        path: The file.
        repair: Cut off a last line that a crash left unfinished. What it would have said was not acted upon yet.

    Raises:
        RunError: A line is damaged that is not an unfinished last one.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    complete, _, rest = content.rpartition(b"\n")
    if rest and repair:
        os.truncate(path, len(complete) + 1 if complete else 0)
    entries = []
    for number, line in enumerate(complete.splitlines(), start=1):
        try:
            entry = Entry.model_validate(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise RunError(f"{path}, line {number}: not a line of a refinement log ({error})") from error
        if entry.seq != number:
            raise RunError(f"{path}, line {number}: expected entry {number}, found {entry.seq}; lines were removed")
        entries.append(entry)
    return entries


def recover(entries: Sequence[Entry], settings: RefineSettings) -> State:
    """The state after all events of a log."""
    state = State()
    for entry in entries:
        state, _ = advance(state, parse_event(entry.event), settings)
    return state
