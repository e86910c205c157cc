"""Asks a running endpoint what its own OpenAPI document says it takes, and what it says it doesn't (schemathesis)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def run_cases(
    url: str, n_examples: int, key: str | None = None, seed: int = 1, selection: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run the cases.

    Args:
        url: Address of the service.
        n_examples: Random cases per operation; examples and boundary values come on top.
        key: API key to send.
        seed: Seed of the cases.
        selection: Options of schemathesis that choose operations.

    Returns:
        `n_cases`, `n_failures`, and `failures` in words.
    """
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json",
        "--max-examples", str(n_examples), "--seed", str(seed), "--checks", ",".join(CHECKS), "--mode", "all",
        "--phases", "examples,coverage,fuzzing", "--no-color", "--generation-database", "none",
        "--continue-on-failure", "--wait-for-schema", "10", "--request-timeout", "60", "--suppress-health-check", "all",
    ]  # fmt: skip
    command += selection
    if key:
        command += ["--header", f"Authorization: Bearer {key}"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        ended = subprocess.run(
            [*command, "--report-json-path", str(report)], capture_output=True, text=True, cwd=folder, check=False
        )
        if not report.is_file():
            raise RuntimeError(f"schemathesis made no report: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
        document = json.loads(report.read_text(encoding="utf-8"))
    cases, failures = document["test_cases"], [*document["failures"], *document["errors"]]
    return {
        "n_cases": cases["generated"],
        "n_failures": len(failures),
        "failures": [ended.stdout.partition("= FAILURES =")[2][:1500]] if failures else [],
        "complete": document["complete"],
    }
