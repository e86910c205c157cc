"""The declared cleaning: what each rule touches, and that nothing is silent."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.cleaning import CleaningReport, clean
from aimat_ray.data.sources import AlloyData
from aimat_ray.problem import DesignProblem

TableMaker = Callable[..., AlloyTable]

# Nine neighbours within 4 at% of each other, Tg about 650 K: enough for the neighbour rules.
SERIES = [f"Zr{65 - i}Cu{15 + i}Al10Ni10" for i in range(9)]


def actions(report: CleaningReport, table: str = "regression") -> dict[str, tuple[tuple[int, ...], str]]:
    return {a.rule: (a.source_rows, a.action) for a in report.rules if a.table == table}


@pytest.fixture
def classes(make_table: TableMaker) -> AlloyTable:
    return make_table(["Zr65Cu35", "Fe80B20"], label=["BMG", "RMG"], feasible=[1, 0])


def test_temperature_in_celsius_is_blanked(make_table: TableMaker, classes: AlloyTable, problem: DesignProblem) -> None:
    tg: list[float | None] = [650.0 + i for i in range(9)]
    tg[4] = 654.0 - 273.15
    table = make_table(SERIES, {"tg_k": tg, "dmax_mm": [1.0] * 9})
    cleaned, _, report = clean(table, classes, problem)
    assert actions(report)["Celsius in a Kelvin column"] == ((6,), "values blanked")
    assert np.flatnonzero(np.isnan(cleaned.values[:, 0])).tolist() == [4]


def test_low_temperature_without_enough_neighbours_is_left_alone(
    make_table: TableMaker, classes: AlloyTable, problem: DesignProblem
) -> None:
    formulas = [*SERIES[:6], "Au77Ge14Si9"]
    table = make_table(formulas, {"tg_k": [650, 651, 652, 653, 654, 380, 293]})
    _, _, report = clean(table, classes, problem)
    assert not report.rules


def test_implausible_modulus_among_neighbours_is_blanked(
    make_table: TableMaker, classes: AlloyTable, problem: DesignProblem
) -> None:
    table = make_table(SERIES, {"youngs_modulus_gpa": [90, 91, 260, 89, 90, 92, 88, 40, 90]})
    cleaned, _, report = clean(table, classes, problem)
    assert actions(report)["far from its neighbours"] == ((4, 9), "values blanked")
    assert actions(report)["nothing left"] == ((4, 9), "row dropped")
    assert len(cleaned) == 7


def test_contradicting_temperatures_are_blanked_together(
    make_table: TableMaker, classes: AlloyTable, problem: DesignProblem
) -> None:
    # Row 2: Tg > Tx. Row 3: Tg = Tx, only noted. Row 4: 400/1000 = 0.40, out of 0.45..0.75. Row 5 is fine.
    table = make_table(
        ["Pd82Si18", "Pd75Si25", "Fe91B9", "Zr65Cu35"],
        {"tg_k": [652, 656, 400, 650], "tx_k": [648, 656, 410, 700], "tl_k": [1073, 1343, 1000, 1100]},
    )
    cleaned, _, report = clean(table, classes, problem)
    assert actions(report)["tg_k above tx_k"] == ((2,), "values blanked")
    assert actions(report)["tg_k equals tx_k"] == ((3,), "noted")
    assert actions(report)["tg_k/tl_k out of range"] == ((4,), "values blanked")
    nan = np.nan
    assert_array_equal(cleaned.values[:, :3], [[nan, nan, 1073], [656, 656, 1343], [nan, 410, nan], [650, 700, 1100]])


def test_sum_that_is_off_is_reread_from_an_independent_formula_or_dropped(
    make_table: TableMaker, classes: AlloyTable, problem: DesignProblem
) -> None:
    # The columns hold Ni 1 where the formula says 5: they sum to 96. The second row has no independent formula.
    wrong = make_table(["Zr60Cu35Ni1", "Zr60Cu36"], {"tg_k": [650, 660]}, sum_pct=np.array([96.0, 96.0]))
    table = AlloyTable(**(vars(wrong) | {"formula": ("Zr60Cu35Ni5", "Zr62.5Cu37.5")}))
    cleaned, _, report = clean(table, classes, problem)
    assert [(a.source_rows, a.action) for a in report.rules] == [((2,), "row repaired"), ((3,), "row dropped")]
    assert cleaned.at_frac[0, problem.element_index["Ni"]] == pytest.approx(0.05)


def test_rows_that_say_nothing_are_dropped(make_table: TableMaker, classes: AlloyTable, problem: DesignProblem) -> None:
    table = make_table(["Ni100", "Zr65Cu35", "Fe80B20"], {"tg_k": [425, None, 700]})
    cleaned, _, report = clean(table, classes, problem)
    assert actions(report) == {"one element": ((2,), "row dropped"), "no target": ((3,), "row dropped")}
    assert cleaned.formula == ("Fe80B20",)


def test_conflicting_classes_are_dropped_and_duplicates_kept(make_table: TableMaker, problem: DesignProblem) -> None:
    formulas = ["Mg90Ni5Nd5", "Mg90Nd5Ni5", "Zr65Cu35", "Zr65.05Cu34.95", "Fe80B20"]
    classes = make_table(formulas, label=["BMG", "CRA", "BMG", "BMG", "RMG"], feasible=[1, 0, 1, 1, 0])
    measured = make_table(["Zr65Cu35"], {"tg_k": [650]})
    _, cleaned, report = clean(measured, classes, problem)
    assert actions(report, "classification") == {
        "conflicting class": ((2, 3), "row dropped"),
        "duplicate composition": ((4, 5), "noted"),
    }
    assert len(cleaned) == 3


def test_inputs_stay_as_they_are(make_table: TableMaker, classes: AlloyTable, problem: DesignProblem) -> None:
    table = make_table(["Pd82Si18", "Ni100"], {"tg_k": [652, 425], "tx_k": [648, 425]})
    before = table.values.copy(), table.at_frac.copy()
    clean(table, classes, problem)
    assert_array_equal(table.values, before[0])
    assert_array_equal(table.at_frac, before[1])


def test_report_is_plain_and_readable(make_table: TableMaker, classes: AlloyTable, problem: DesignProblem) -> None:
    table = make_table(["Pd82Si18", "Zr65Cu35"], {"tg_k": [652, None], "tx_k": [648, None]})
    _, _, report = clean(table, classes, problem)
    document = json.loads(json.dumps(report.to_dict()))
    assert document["applied"] is True
    assert {"rule", "table", "source_rows", "action", "detail", "columns", "count"} <= set(document["actions"][0])
    assert "regression: no target: 1 rows, row dropped" in report.summary()
    assert CleaningReport(applied=False).summary().startswith("not cleaned")
    assert CleaningReport().summary() == "nothing to clean"


@pytest.mark.real_data
def test_rules_find_exactly_the_known_defects(real_data: AlloyData) -> None:
    found = [(a.rule, a.columns, a.action, a.source_rows) for a in real_data.cleaning.rules if a.table == "regression"]
    both = (81, 87, 89, 112, 130, 141, 202, 253, 261, 269)
    expected = [
        ("sum of amounts", (), "row repaired", (103,)),
        ("sum of amounts rescaled", (), "row repaired", (456, 1202)),
        ("one element", (), "row dropped", (951,)),
        ("no target", (), "row dropped", (576, 589, 695, 1049, 1082)),
        ("Celsius in a Kelvin column", ("tg_k",), "values blanked", both),
        ("Celsius in a Kelvin column", ("tx_k",), "values blanked", both),
        ("Celsius in a Kelvin column", ("tl_k",), "values blanked", (253, 261, 265, 269)),
        ("far from its neighbours", ("youngs_modulus_gpa",), "values blanked", (214, 259, 263, 266, 268)),
        ("tg_k above tx_k", ("tg_k", "tx_k"), "values blanked", (1056,)),
        ("tg_k equals tx_k", ("tg_k", "tx_k"), "noted", (327, 745, 1041, 1057)),
        ("tg_k/tl_k out of range", ("tg_k", "tl_k"), "values blanked", (303, 555, 745, 1057)),
    ]
    assert found[: len(expected)] == expected
    assert [(rule, len(rows)) for rule, _, _, rows in found[len(expected) :]] == [
        ("zero value", 16),
        ("small for its class", 47),
        ("duplicate composition", 61),
    ]
    classes = {a.rule: a.source_rows for a in real_data.cleaning.rules if a.table == "classification"}
    assert classes["one element"] == (825,)
    assert classes["conflicting class"] == (94, 260, 761, 973, 1415, 3128, 4360)
    assert (len(real_data.regression), len(real_data.classification)) == (1278, 6864)
