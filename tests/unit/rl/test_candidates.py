from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from analytic_world import walks_at

from aimat_ray.data.composition import parse_formula
from aimat_ray.rl import candidates
from aimat_ray.rl.candidates import candidate_rows, write_candidates
from aimat_ray.rl.run_dir import RunDirectory

# mm by surrogate / judge, and margins over 4 mm: 4.4 / 2.6; 5 / 4.1 (.25, .025); 6 / 6 (.50); 7 / 7 (.75), judge p 0.4
REFUSED, BARELY, BEST, DOUBTED = "Zr50Cu22Ni18Al10", "Zr56Cu25Al10Ni9", "Zr60Cu30Al10", "Zr58Cu35Al7"


def rows_of(bench: Any, *formulas: str) -> list[dict[str, Any]]:
    walks = walks_at(bench.task, bench.predictor, formulas)
    methods = np.array([f"method-{i}" for i in range(len(formulas))], dtype=object)
    return candidate_rows(bench, walks, methods, "zr-1")


def test_confirmed_ones_come_first_and_then_the_margin_that_both_leave(bench: Any) -> None:
    rows = rows_of(bench, REFUSED, BARELY, BEST, DOUBTED)
    assert [row["formula"] for row in rows] == [BEST, BARELY, DOUBTED, REFUSED]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert [row["confirmed"] for row in rows] == [True, True, False, False]
    # BARELY: the judge's 25 * .2 - 9 * .1 = 4.1; DOUBTED: both 7; REFUSED: the judge's 4.4 - 1.8 = 2.6, 35 % short
    assert [row["confirmed_margin"] for row in rows] == pytest.approx([0.5, 0.025, 0.75, -0.35], abs=1e-4)
    assert [row["method"] for row in rows] == ["method-2", "method-1", "method-3", "method-0"]


def test_rounding_comes_before_the_verdict(bench: Any) -> None:
    # 20.04 at% Cu is 4.008 mm and reaches 4.005; what is weighed in, 20.0 at%, does not
    bench = replace(bench, task=bench.task)
    bench.task.goals.at_least[:, bench.problem.quantity_index("dmax_mm")] = 4.005
    rows = rows_of(bench, "Zr69.96Cu20.04Al10", "Zr69.94Cu20.06Al10")
    assert [row["formula"] for row in rows] == ["Zr69.9Cu20.1Al10"]
    assert rows[0]["dmax_mm"] == pytest.approx(4.02, abs=0.005)
    assert parse_formula(rows[0]["formula"], bench.problem.elements).sum() == pytest.approx(1.0, abs=1e-12)


def test_the_weaker_of_two_near_twins_is_left_out(bench: Any) -> None:
    rows = rows_of(bench, "Zr60Cu30Al10", "Zr59.1Cu30.9Al10", "Zr58.9Cu31.1Al10")
    # 31.1 wins; 30.9 is 0.2 at% from it and 30.0 is 1.1 at%
    assert [row["formula"] for row in rows] == ["Zr58.9Cu31.1Al10", "Zr60Cu30Al10"]


def test_a_row_says_where_it_comes_from(bench: Any) -> None:
    (row,) = rows_of(bench, "Zr60Cu29.8Al10.2")
    assert row["base"] == "Zr"
    assert row["surrogate_version"] == "analytic-1"
    assert row["judge_version"] == "judge-1"
    assert row["run_id"] == "zr-1"
    assert row["synthetic"] is True
    assert row["true"] is True
    assert (row["in_domain"], row["domain_reason"]) == (True, "inside")
    # nearest: Zr60.5Cu29.5Al10, whose dmax is measured; 0.5 Zr for 0.3 Cu and 0.2 Al
    assert row["nearest_formula"] == "Zr60.5Cu29.5Al10"
    assert row["nearest_distance_at_pct"] == 0.5
    assert row["nearest_dmax_mm"] == 5.5
    assert row["nearest_class"] == "BMG"
    assert row["new"] is False
    assert row["steps"] == 0
    for key in bench.problem.property_keys:
        assert {key, f"{key}_lower", f"{key}_upper", f"judge_{key}", f"nearest_{key}"} <= set(row)
    assert row["dmax_mm"] == row["dmax_mm_lower"] == pytest.approx(5.96, abs=0.005)
    assert "trg" in row


def test_nearest_may_be_a_class_row_without_values(bench: Any) -> None:
    (row,) = rows_of(bench, "Zr41Cu28Al16Ni15")
    assert (row["nearest_class"], row["nearest_distance_at_pct"]) == ("RMG", 1.0)
    assert np.isnan(row["nearest_dmax_mm"])


def test_cluster_centres_are_the_members_nearest_to_their_mean(bench: Any) -> None:
    low = [f"Zr{70 - cu}Cu{cu}Al10Ni20" for cu in (22, 24, 26)]
    high = [f"Zr{90 - cu}Cu{cu}Al10" for cu in (36, 38, 40)]
    rows = rows_of(bench, *low, *high)
    assert len({row["cluster"] for row in rows}) == 2
    assert {row["formula"] for row in rows if row["cluster_centre"]} == {"Zr46Cu24Ni20Al10", "Zr52Cu38Al10"}


def test_the_list_is_limited(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_CANDIDATES", 3)
    rows = rows_of(bench, *(f"Zr{90 - cu}Cu{cu}Al10" for cu in range(22, 40, 2)))
    # the best two, and the best one more than 5 at% away from the best
    assert [row["formula"] for row in rows] == ["Zr52Cu38Al10", "Zr54Cu36Al10", "Zr58Cu32Al10"]


def test_a_full_list_keeps_room_for_other_families(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_CANDIDATES", 4)
    variants = [f"Zr{90 - cu}Cu{cu}Al10" for cu in (40, 38, 36, 34)]  # the best four: one family and the end of it
    other = "Zr50Cu30Ni10Al10"
    rows = rows_of(bench, *variants, other, "Zr60Cu24Al12Ni4")
    # by margin: 40 38 36 34 (30 Ni10) (24 Ni4); two go to the best, two to families without a member
    assert [row["formula"] for row in rows] == [*variants[:2], variants[3], other]
    assert [row["family"] for row in rows] == [1, 1, 2, 3]


def test_true_is_absent_where_the_truth_is_unknown(bench: Any) -> None:
    measured = replace(bench, data=SimpleNamespace(**vars(bench.data) | {"oracle": None, "synthetic": False}))
    (row,) = rows_of(measured, BEST)
    assert "true" not in row
    assert row["synthetic"] is False


def test_the_table_is_written_also_when_nothing_reached_the_goal(bench: Any, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_json("run.json", {"run_id": "zr-9"})
    walks = walks_at(bench.task, bench.predictor, [BEST, BARELY])
    assert write_candidates(bench, walks, ["policy"] * 2, run)["n"] == 2
    written = pd.read_csv(run / "candidates.csv")
    assert written["formula"].tolist() == [BEST, BARELY]
    assert set(written["run_id"]) == {"zr-9"}
    assert write_candidates(bench, None, [], run) == {"path": str(run / "candidates.csv"), "n": 0, "families": 0}
    assert pd.read_csv(run / "candidates.csv").empty
    missed = walks_at(bench.task, bench.predictor, ["Zr70Cu15Al15"])  # after rounding, say
    assert write_candidates(bench, missed, ["policy"], run)["n"] == 0
