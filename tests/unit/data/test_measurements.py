"""Reading tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.measurements import load_table, table_to_cells
from aimat_ray.problem import DesignProblem

FORMULAS = ("Zr65Cu15Al10Ni10", "Cu50Zr50", "Fe80B20")


def test_file_and_frame_read_the_same(alloy_rows: Callable[..., Any], problem: DesignProblem, tmp_path: Path) -> None:
    frame = pd.DataFrame(alloy_rows(FORMULAS, tg_k=[650.5, None, 750], is_bmg=[1, 1, 0]))
    frame.to_csv(tmp_path / "t.csv", index=False)
    for table in (load_table(frame, problem, "regression"), load_table(tmp_path / "t.csv", problem, "regression")):
        assert len(table) == 3
        np.testing.assert_allclose(table.at_frac.sum(axis=1), 1, atol=1e-12)
        assert table.at_frac[0, problem.element_index["Zr"]] == pytest.approx(0.65)
        np.testing.assert_array_equal(table.values[:, 0], [650.5, np.nan, 750])
        assert table.feasible.tolist() == [1, 1, 0]
        assert table.formula == FORMULAS
        assert table.source_row.tolist() == [2, 3, 4]
        assert table.n_elements().tolist() == [4, 2, 2]


def test_formula_column_stands_in_for_elements(problem: DesignProblem) -> None:
    frame = pd.DataFrame(
        {"formula": FORMULAS} | {key: [None] * 3 for key in problem.property_keys} | {"is_bmg": [1, None, 0]}
    )
    table = load_table(frame, problem, "regression")
    assert table.at_frac[2, problem.element_index["B"]] == pytest.approx(0.2)
    np.testing.assert_array_equal(table.feasible, [1, np.nan, 0])
    assert table.source_row.tolist() == [2, 3, 4]


def test_small_miss_of_the_sum_is_rescaled_and_remembered(
    alloy_rows: Callable[..., Any], problem: DesignProblem
) -> None:
    rows = alloy_rows(FORMULAS, is_bmg=[1, 1, 0])
    rows[1]["Zr"] = 48
    table = load_table(pd.DataFrame(rows), problem, "regression")
    assert table.sum_pct is not None
    assert table.sum_pct.tolist() == [100, 98, 100]
    assert table.at_frac[1].sum() == pytest.approx(1)


def test_classes_come_from_the_label(alloy_rows: Callable[..., Any], problem: DesignProblem) -> None:
    frame = pd.DataFrame(alloy_rows(FORMULAS, **{"class": ["BMG", "CRA", "RMG"]}))
    table = load_table(frame, problem, "classification")
    assert table.label == ("BMG", "CRA", "RMG")
    assert table.feasible.tolist() == [1, 0, 0]
    assert np.isnan(table.values).all()


def test_written_cells_read_back(make_table: Callable[..., AlloyTable], problem: DesignProblem) -> None:
    table = make_table(FORMULAS, {"tg_k": [650, None, 700]}, feasible=[1, 0, np.nan])
    back = load_table(pd.DataFrame(table_to_cells(table, problem, "regression")), problem, "regression")
    np.testing.assert_allclose(back.at_frac, table.at_frac, atol=1e-12)
    np.testing.assert_array_equal(back.values, table.values)
    np.testing.assert_array_equal(back.feasible, table.feasible)
    assert back.formula == table.formula


def test_rows_pick_and_arrays_are_read_only(make_table: Callable[..., AlloyTable]) -> None:
    table = make_table(FORMULAS)
    picked = table.rows(np.array([2, 0]))
    assert picked.formula == ("Fe80B20", "Zr65Cu15Al10Ni10")
    assert picked.source_row.tolist() == [4, 2]
    assert len(table.rows(np.array([False, True, False]))) == 1
    with pytest.raises(ValueError, match="read-only"):
        table.at_frac[0, 0] = 1
    with pytest.raises(ValueError, match="has 2 rows, at_frac has 3"):
        make_table(FORMULAS, label=["BMG", "BMG"])


@pytest.mark.real_data
def test_published_formulas_agree_with_the_columns(real_data_dir: Path, problem: DesignProblem) -> None:
    """All but Alx(CoCrFeMnNi), whose source means x : 1 - x, and row 103, whose Ni column is wrong."""
    from aimat_ray.data.composition import parse_formula

    expected = {
        ("regression", "formula_raw"): {4, 11, 18, 30, 59, 159, 103},
        ("regression", "formula_source"): {103},
        ("regression", "composition"): set(),
        ("classification", "formula_raw"): {202, 203, 209, 210, 211, 212},
        ("classification", "formula_source"): set(),
        ("classification", "composition"): set(),
    }
    for (kind, column), rows in expected.items():
        frame = pd.read_csv(real_data_dir / f"{kind}.csv", keep_default_na=False)
        table = load_table(frame, problem, kind)  # type: ignore[arg-type]
        differing = {
            int(table.source_row[i])
            for i, text in enumerate(frame[column])
            if text and np.abs(parse_formula(text, problem.elements) - table.at_frac[i]).max() > 0.001
        }
        assert differing == rows, (kind, column)
