"""Notebooks 01 to 04, executed at a small budget on the synthetic world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import design_runs
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
pytestmark = pytest.mark.timeout(900)


def execute(name: str, patch: pytest.MonkeyPatch, **variables: Any) -> tuple[str, int]:
    """Execute a notebook.

    Returns:
        The text of all outputs, and the number of pictures.
    """
    import nbclient
    import nbformat

    for key, value in variables.items():
        patch.setenv(f"AIMAT_NOTEBOOK_{key.upper()}", str(value))
    patch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "it is stored without outputs"
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "\n".join(str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in outputs)
    return text, sum("image/png" in output.get("data", {}) for output in outputs)


def test_data_and_surrogates(aimat_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, pictures = execute("01_data_and_surrogates", monkeypatch, data="oracle")
    assert "SYNTHETIC" in text
    assert "surrogate default-" in text
    assert "caution, elongation_pct" in text
    assert "unseen_element" in text, "the alloy with Be is outside the domain"
    assert pictures == 1


def test_design_one_base(aimat_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = json.dumps(design_runs.SMALL | {"steps": 600})
    text, pictures = execute("02_design_one_base", monkeypatch, data="oracle", out=tmp_path / "run", settings=small)
    assert "600 steps, data oracle" in text
    assert "policy with lookahead" in text and "ceiling" in text and "confirmed" in text
    assert pictures == 2
    assert (tmp_path / "run" / "evaluation.json").is_file()


def test_read_a_sweep(finished_sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, pictures = execute("03_read_a_sweep", monkeypatch, sweep=finished_sweep)
    assert "2 of 2 runs finished" in text
    assert "Zr-s0" in text and "Cu-s0" in text
    assert "core hours in all" in text
    assert pictures == 2


def test_case_study(aimat_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, pictures = execute("04_case_study", monkeypatch, data="oracle")
    assert "SYNTHETIC data" in text
    assert "Fe: yield strength (MPa) changes by" in text and "W: elongation (%) changes by" in text
    assert "caution:" in text
    assert pictures == 1
