"""The page of a contest from small tables, without running one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aimat_ray.contest.tables import Results, merged, read_tables, write_tables
from aimat_ray.errors import RunError
from aimat_ray.report.contest_page import write_contest_page

POINTS = (1_000, 128_000)
HITS = {"td3": (0, 90), "td3_paper": (0, 10), "nsga2": (20, 40)}


def score_row(method: str, seed: int, point: int, hits: int) -> dict[str, Any]:
    walked = 900 if method.startswith("td3") else 0
    return {
        "method": method, "problem": "world", "seed": seed, "point": point, "spent": point - walked, "walked": walked,
        "hits": hits, "n": 100, "legal": 100, "window": 99, "feasible": 98, "thresholds": 95, "in_domain": 94,
        "confirmed": 60,
        "walks": 40 * bool(walked), "walks_at_goal": 30 * bool(walked),
        "true": hits, "systems_true": 3, "families_true": 4, "sr_legal": 1.0, "sr_cls": 0.98,
        "sr_goal": 0.95, "sr80_elongation_pct": 0.1, "hypervolume": 0.5, "cpu_seconds": 9.0, "updates": 5.0,
        "predictions_per_hit": (walked or point) / hits if hits else None,
    }  # fmt: skip


@pytest.fixture
def results() -> Results:
    scores = [
        score_row(method, seed, point, hits)
        for method, both in HITS.items()
        for seed in range(2)
        for point, hits in zip(POINTS, both, strict=True)
    ]
    cell = {
        "problem": "world",
        "part": "designs",
        "seconds": 20.0,
        "cpu_seconds": 10.0,
        "cores": 2,
        "date": "2030-01-01",
    }
    cells = [cell | {"method": method, "seed": seed} for method in HITS for seed in range(2)]
    walker = {"method": "any_goal", "seed": 0, "task": "relative goals", "n": 200}
    starts = [
        walker | {"walker": name, "within": within, "mean": mean}
        for name, means in {"policy": (0.4, 0.6), "local_search": (0.2, 0.5), "ceiling": (0.9,)}.items()
        for within, mean in zip((16, 128), means, strict=False)
    ]
    note = {
        "quick": False, "code": ["abc"], "points": list(POINTS), "list_size": 100, "bayes_evaluations": 8,
        "walk_share": 0.25, "archive_share": 0.06,
        "problems": {"world": {"kind": "alloys", "data": "oracle:0", "base": "Zr"}},
        "methods": {
            "td3": {"kind": "td3", "title": "TD3 (ours)"}, "td3_paper": {"kind": "td3", "title": "TD3 as published"},
            "nsga2": {"kind": "nsga2", "title": "NSGA-II"},
        },
        "planned": [["designs", method, "world", seed] for method in HITS for seed in range(3)],
    }  # fmt: skip
    tables = [pd.DataFrame(rows) for rows in (scores, starts, [], [], cells)]
    return Results(*tables, note=note)


def test_the_page_ranks_states_bars_and_says_what_has_not_run(results: Results, tmp_path: Path) -> None:
    write_tables(results, tmp_path / "stored")
    page = write_contest_page(read_tables(tmp_path / "stored"), tmp_path / "stored", tmp_path / "RESULTS.md")
    text = page.read_text()
    assert text.index("| TD3 (ours) | 0 | 90 |") < text.index("| NSGA-II | 20 | 40 |")
    assert "| NSGA-II | 20 | 40 |" in text and text.index("| NSGA-II | 20 | 40 |") < text.index(
        "| TD3 as published | 0 |"
    )
    # 90 against 10; 900 / 90 = 10 predictions per hit against 128,000 / 40 = 3,200, and 1,000 / 20 = 50 at its cheapest
    assert "9.0 times its number; the bar is 3 times: met" in text
    assert "10.0 after training, NSGA-II 3,200.0 at 128,000, 320.0 times as many; the bar is 10 times: met" in text
    assert "at 1,000 predictions, a true design costs it 50.0." in text
    assert "3 of 9 planned cells (method × problem × seed): nsga2 1, td3 1, td3_paper 1." in text
    assert "2030-01-01" in text and "2 seeds per method" in text
    assert "At 128 predictions the policy alone reaches 0.60; local search 0.50." in text
    assert "![" in text and (tmp_path / "stored" / "curves.png").is_file()


def test_a_bar_that_is_missed_is_called_missed(results: Results, tmp_path: Path) -> None:
    results.scores.loc[results.scores["method"] == "td3_paper", "hits"] = 60
    text = write_contest_page(results, tmp_path, tmp_path / "RESULTS.md").read_text()
    assert "1.5 times its number; the bar is 3 times: missed" in text


def test_parts_of_a_contest_are_merged_and_a_cell_that_ran_twice_counts_once(results: Results) -> None:
    def part(code: str, seeds: tuple[int, ...], hits: int) -> Results:
        def of(table: pd.DataFrame) -> pd.DataFrame:
            return table[table["seed"].isin(seeds)] if len(table) else table

        scores = of(results.scores).assign(hits=hits)
        note = results.note | {"code": [code]}
        return Results(scores, of(results.starts), results.curves, results.clouds, of(results.cells), note)

    whole = merged([part("first", (0,), 7), part("second", (0, 1), 9)])
    assert whole.note["code"] == ["first", "second"]
    assert len(whole.cells) == len(results.cells) and len(whole.scores) == len(results.scores)
    assert set(whole.scores.loc[whole.scores["seed"] == 0, "hits"]) == {7}
    assert set(whole.scores.loc[whole.scores["seed"] == 1, "hits"]) == {9}
    assert list(whole.scores.columns) == list(results.scores.columns)
    alone = merged([results])
    pd.testing.assert_frame_equal(alone.scores, results.scores)
    other = replace(results, note=results.note | {"points": [10]})
    with pytest.raises(RunError, match="different contests"):
        merged([results, other])
