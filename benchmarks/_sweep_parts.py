"""What the sweep benchmarks share: small sweep files, started commands, and storage that can be taken away."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

AIMAT = str(Path(sys.executable).with_name("aimat"))
SMALL: dict[str, Any] = {
    "data": "oracle",
    "agent": {"n_envs_per_runner": 16, "random_steps": 256, "learning_starts": 256, "hidden_sizes": [32, 32]},
    "env": {"max_steps": 16},
    "evaluation": {"episodes": 8, "seeds": 1, "lookahead": 2},
    "archive": {"budget_per_base": 500},
}


def sweep_file(path: Path, bases: Sequence[str], steps: int, design: dict[str, Any] | None = None) -> Path:
    """A sweep of runs that take seconds."""
    document = {"bases": list(bases), "design": SMALL | {"steps": steps} | (design or {}), "tuning_episodes": 0}
    path.write_text(yaml.safe_dump(document))
    return path


def wait_until(what: str, condition: Callable[[], Any], timeout_s: float, pause_s: float = 0.02) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It did not come true in time.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= end:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(pause_s)


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command whose lines go to a file."""
    with log.open("wb") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, env=os.environ | {"OMP_NUM_THREADS": "1"})


class Gate:
    """A TCP forwarder on loopback that can be shut for a while: storage that is briefly gone.

    Args:
        target_port: Port of the server behind it.
    """

    def __init__(self, target_port: int) -> None:
        self._target, self._open = target_port, True
        self._pairs: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Drop all connections, and every new one."""
        self._open = False
        for one in self._pairs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let connections through again."""
        self._open = True

    def _accept(self) -> None:
        while True:
            caller, _ = self._server.accept()
            if not self._open:
                caller.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._pairs = [*self._pairs[-64:], caller, server]
            for source, sink in ((caller, server), (server, caller)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            sink.sendall(chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def s3_behind_gate() -> Iterator[tuple[str, Gate]]:
    """A local S3 server behind a gate: the address of an empty sweep in it, and the gate."""
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        gate = Gate(server.get_host_and_port()[1])
        options = f"endpoint_override=127.0.0.1:{gate.port}&scheme=http&region=us-east-1"
        fs.FileSystem.from_uri(f"s3://sweeps?{options}&allow_bucket_creation=true")[0].create_dir("sweeps")
        yield f"s3://sweeps/faults?{options}", gate
    finally:
        server.stop()
