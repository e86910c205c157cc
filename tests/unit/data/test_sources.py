"""Where data come from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.problem import DesignProblem

FORMULAS = ("Zr65Cu15Al10Ni10", "Zr60Cu40", "Fe80B20", "Fe78B22")


@pytest.fixture
def folder(alloy_rows: Callable[..., Any], tmp_path: Path) -> Path:
    frame = pd.DataFrame(alloy_rows(FORMULAS, tg_k=[650, 640, 750, 760], is_bmg=[1, 1, 0, None]))
    frame.to_csv(tmp_path / "regression.csv", index=False)
    return tmp_path


def test_a_folder_with_one_table_works(folder: Path, problem: DesignProblem) -> None:
    data = load_data(folder, problem)
    assert (data.name, data.synthetic, data.oracle) == (folder.name, False, None)
    assert data.classification.feasible.tolist() == [1, 1, 0]
    assert data.classification.label == ("BMG", "BMG", "")
    assert np.isnan(data.classification.values).all()
    assert set(data.windows) == {"Zr"}
    assert data.problem_name == "bmg"


def test_checksum_depends_on_content_only(folder: Path, problem: DesignProblem, tmp_path_factory: Any) -> None:
    first = load_data(folder, problem)
    other = tmp_path_factory.mktemp("other")
    text = (folder / "regression.csv").read_text()
    (other / "regression.csv").write_bytes(text.replace("\n", "\r\n").replace(",0.0,", ",0,").encode("utf-8-sig"))
    assert load_data(other, problem).checksum == first.checksum
    (other / "regression.csv").write_text(text.replace("650", "651"))
    assert load_data(other, problem).checksum != first.checksum
    assert len(first.checksum) == 64


def test_auto_prefers_the_variable_then_the_fetched_copy(
    folder: Path, problem: DesignProblem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIMAT_DATA_DIR", str(folder))
    assert load_data("auto", problem).location == str(folder)
    monkeypatch.delenv("AIMAT_DATA_DIR")
    monkeypatch.setattr("aimat_ray.data.sources.user_data_folder", lambda: folder)
    assert load_data("auto", problem).location == str(folder)


def test_auto_without_data_says_that_it_is_synthetic(
    problem: DesignProblem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AIMAT_DATA_DIR", raising=False)
    monkeypatch.setattr("aimat_ray.data.sources.user_data_folder", lambda: tmp_path / "nothing")
    with caplog.at_level(logging.WARNING):
        data = load_data("auto", problem)
    assert data.synthetic
    assert data.oracle is not None
    assert data.name == "oracle-0"
    assert "SYNTHETIC" in caplog.text


def test_oracle_seeds_differ_and_repeat(problem: DesignProblem) -> None:
    first, again, other = (load_data(spec, problem) for spec in ("oracle:1", "oracle:1", "oracle:2"))
    assert first.checksum == again.checksum != other.checksum
    assert first.name == "oracle-1"
    assert set(first.windows) <= set(problem.bases)


@pytest.mark.real_data
def test_measured_tables(real_data: AlloyData, raw_real_data: AlloyData, problem: DesignProblem) -> None:
    assert (len(raw_real_data.regression), len(raw_real_data.classification)) == (1284, 6872)
    assert not raw_real_data.cleaning.applied
    assert real_data.checksum != raw_real_data.checksum
    assert tuple(real_data.windows) == problem.bases
    for table in (real_data.regression, real_data.classification):
        np.testing.assert_allclose(table.at_frac.sum(axis=1), 1, atol=1e-12)
