"""Where and how often a run was tried: `attempts.json` in its folder, one entry per attempt, the newest last.

The newest attempt owns the folder. A machine that the cluster has given up on may still be alive (a cut cable looks
like a crash from outside); its process finds out here that the run goes on elsewhere, and ends.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray

from aimat_ray.errors import RunError
from aimat_ray.rl.run_dir import RunDirectory

ATTEMPTS_FILE = "attempts.json"


class Attempt:
    """This process's attempt at a run.

    Args:
        run: Folder of the run.
        n_cpus: Cores set aside for it, those of its runners included.
    """

    def __init__(self, run: RunDirectory, n_cpus: float) -> None:
        self._run = run
        self._began = time.monotonic()
        self._entry: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "node": ray.get_runtime_context().get_node_id(),
            "runner_nodes": [],
            "n_cpus": n_cpus,
            "seconds": 0.0,
        }
        self._write([*read_attempts(run.path), self._entry])

    def set_runner_nodes(self, nodes: Sequence[str]) -> None:
        """Note the Ray nodes that the remote runners are on."""
        self._entry["runner_nodes"] = list(nodes)
        self.update()

    def update(self) -> None:
        """Note the seconds so far.

        Raises:
            RunError: A later attempt owns the run.
        """
        attempts = read_attempts(self._run.path)
        if not attempts or attempts[-1]["id"] != self._entry["id"]:
            raise RunError(f"{self._run.path.name} goes on elsewhere; this attempt ends")
        self._entry["seconds"] = time.monotonic() - self._began
        self._write([*attempts[:-1], self._entry])

    def _write(self, attempts: list[dict[str, Any]]) -> None:
        self._run.write_json(ATTEMPTS_FILE, attempts)


def read_attempts(folder: Path) -> list[dict[str, Any]]:
    """Attempts at a run, oldest first; none where none is recorded.

    Args:
        folder: Of the run.
    """
    if not (folder / ATTEMPTS_FILE).is_file():
        return []
    return list(RunDirectory(folder).read_json(ATTEMPTS_FILE))


def core_hours(attempts: Sequence[dict[str, Any]]) -> float:
    """Core hours that were set aside over all attempts, as far as each one lived to note its seconds."""
    return sum(attempt["n_cpus"] * attempt["seconds"] for attempt in attempts) / 3600.0
