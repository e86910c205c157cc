"""What the benchmark scripts share: entries, which data, and what a tree of processes uses."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

DATA_VARIABLE = "AIMAT_DATA_DIR"
NEEDS_TABLE = "needs the measured table: set AIMAT_DATA_DIR"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def entry(name: str, value: Any, unit: str, bar: Any, ok: bool | None, detail: Any) -> dict[str, Any]:
    """One claim; `ok` None where it could not be measured; True where there is no bar to miss."""
    value = round(value, 4) if isinstance(value, float) else value
    return {"name": name, "value": value, "unit": unit, "bar": bar, "ok": ok, "detail": detail}


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def data_spec() -> str:
    """The measured table where it is configured, else the synthetic world."""
    return os.environ.get(DATA_VARIABLE) or "oracle"


def process_tree(root: int) -> list[int]:
    """Ids of a process and its living descendants."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(place.name))
        if fields:
            parents.setdefault(int(fields[1]), []).append(int(place.name))
    found, open_ = [], [root]
    while open_:
        pid = open_.pop()
        found.append(pid)
        open_ += parents.get(pid, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """CPU time that the processes have used, their ended children included."""
    fields = [_stat(pid) for pid in pids]
    return sum(sum(int(value) for value in f[11:15]) for f in fields if f) / _TICKS


def resident_bytes(pids: list[int]) -> int:
    """Resident memory of the processes; pages they share count in each, so the sum is an upper bound."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError):
            continue  # it ended meanwhile
    return total


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name: state, parent, ..., utime at 11, stime, cutime, cstime."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
