"""The page of a sweep: complete, interrupted, with variants, with a search; and the numbers behind it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from report_fake_run import CHECKSUM, candidates, evaluation, metrics, run_document, whole_run, write

from aimat_ray.cli.report import write_sweep_report
from aimat_ray.problem import DesignProblem
from aimat_ray.report import sweep_figures
from aimat_ray.report.facts import METHODS, Rate
from aimat_ray.report.markup import Html, el
from aimat_ray.report.periodic_table import Cell, periodic_table
from aimat_ray.report.sweep_facts import average, gather_sweep, ranked_candidates
from aimat_ray.report.sweep_html import write_sweep_page
from aimat_ray.report.sweep_sections import front_volumes
from aimat_ray.report.sweep_statistics import compare_variants, over_seeds, paired_rates
from aimat_ray.sweep.results import read_sweep

MakeSweep = Callable[..., Path]
SPACE = {"agent.gamma": {"uniform": [0.8, 0.98]}, "agent.bc_weight": {"log_uniform": [0.3, 8.0]}}
REASON = "too few measured rows of this base and of its chemical group"


@pytest.fixture
def quick(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def stand_in(name: str, alt: str, *_: Any, **__: Any) -> Html:
        return el("div", alt)

    monkeypatch.setattr(sweep_figures, "picture", stand_in)


@pytest.fixture
def make_sweep(tmp_path: Path, problem: DesignProblem) -> MakeSweep:
    """Writes a sweep; `parts` gives, by the run's name, what differs from a complete run (None: not begun)."""

    def make(cases: list[dict[str, Any]], parts: dict[str, Any] | None = None, **settings: Any) -> Path:
        folder = tmp_path / "sweep"
        for case in cases:
            changes = (parts or {}).get(case["name"], {})
            if changes is not None:
                run = folder / "runs" / case["name"]
                run.mkdir(parents=True)
                record = run_document() | {"base": case["base"], "seed": case["seed"]}
                content = whole_run(problem) | with_rate(0.5) | {"run__json": record} | changes
                for name, document in content.items():
                    write(run, name.replace("__", "."), document)
        folder.mkdir(exist_ok=True)
        document = {
            "settings": {"bases": "all", "design": {}} | settings,
            "cases": cases,
            "no_goal": {"Ta": REASON},
            "data": CHECKSUM,
            "version": "0.0.0",
        }
        (folder / "sweep.json").write_text(json.dumps(document))
        return folder

    return make


def case(base: str, seed: int = 0, variant: str = "") -> dict[str, Any]:
    name = "-".join(part for part in (variant, base, f"s{seed}") if part)
    return {"base": base, "seed": seed, "variant": variant, "name": name}


def with_rate(mean: float, confirmed: int = 15) -> dict[str, Any]:
    """An evaluation in which the policy reaches `mean` of 200 starts."""
    document = evaluation()
    document["evaluation"]["sr_goal"] |= {"mean": mean, "lower": mean - 0.05, "upper": mean + 0.05}
    document["evaluation"]["ledger"]["confirmed"] = confirmed
    document["candidates"] = {"n": 12}
    return {"evaluation__json": document}


def page_of(folder: Path, data: Any, problem: DesignProblem) -> str:
    path = write_sweep_page(read_sweep(folder), data, problem)
    page = path.read_text(encoding="utf-8")
    ElementTree.fromstring(page.partition("\n")[2].replace("<!DOCTYPE html>", ""))  # well-formed
    return page


def plain(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\u00a0", " ")


def test_complete_sweep(make_sweep: MakeSweep, data: Any, problem: DesignProblem) -> None:
    folder = make_sweep([case("Zr"), case("Cu")], {"Zr-s0": with_rate(0.6), "Cu-s0": with_rate(0.4, confirmed=0)})
    page = page_of(folder, data, problem)
    words = plain(page)
    assert "2 of 2 runs finished" in words
    assert "3 base elements asked for: 2 with a goal in the data, 1 without" in words
    assert "from 50 %" in words  # mean of 60 and 40
    assert REASON in words
    assert "The sweep is not complete" not in words
    for part in ("periodic", "scatter-Zr-yield-strength-mpa", "sweep-learning", "candidate-table"):
        assert part in page
    assert page.count("<svg") == 1 + 2 + 2  # periodic table, two scatters, learning curves wide and narrow
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert page == page_of(folder, data, problem)


def test_interrupted_sweep(make_sweep: MakeSweep, data: Any, problem: DesignProblem, quick: None) -> None:
    half = {"evaluation__json": None, "candidates__csv": None, "metrics__parquet": metrics(10)}
    folder = make_sweep([case("Zr"), case("Cu"), case("La")], {"Cu-s0": half, "La-s0": None})
    page = page_of(folder, data, problem)
    words = plain(page)
    assert "1 of 3 runs finished" in words
    assert "Not finished: Cu-s0 and La-s0" in words
    assert "Cu: not evaluated yet, 1,500 of 12,345 steps" in words
    assert "La: not begun" in words
    assert "Means over 1 base with a goal" in words


def test_cost_holds_every_attempt(make_sweep: MakeSweep, data: Any, problem: DesignProblem, quick: None) -> None:
    attempts = [{"n_cpus": 2.0, "seconds": 60.0}, {"n_cpus": 1.0, "seconds": 30.0}]  # 2 x 60 + 30 = 150 s = 2.5 min
    folder = make_sweep([case("Zr"), case("Cu")], {"Zr-s0": {"attempts__json": attempts}})
    words = plain(page_of(folder, data, problem)).replace("\u202f", " ").replace("\xa0", " ")
    assert "of training in all; 2.5 min of core time." in words


def test_nothing_has_begun(make_sweep: MakeSweep, data: Any, problem: DesignProblem) -> None:
    folder = make_sweep([case("Zr"), case("Cu")], {"Zr-s0": None, "Cu-s0": None})
    words = plain(page_of(folder, data, problem))
    assert "0 of 2 runs finished" in words
    assert "No run has been evaluated yet" in words


def test_data_of_another_sweep_are_not_drawn(
    make_sweep: MakeSweep, data: Any, problem: DesignProblem, quick: None
) -> None:
    folder = make_sweep([case("Zr"), case("Cu")])
    data.checksum = "0" * 64
    try:
        words = plain(page_of(folder, data, problem))
    finally:
        data.checksum = CHECKSUM
    assert "Measured alloys are not drawn" in words
    assert "What the fronts cover" not in words


def test_methods_are_compared_on_the_bases_that_have_both(
    make_sweep: MakeSweep, data: Any, problem: DesignProblem, quick: None
) -> None:
    easy, hard = with_rate(0.9), with_rate(0.3)
    del easy["evaluation__json"]["evaluation"]["controls"]["archive_walk"]  # .62 where it was evaluated
    facts = gather_sweep(read_sweep(make_sweep([case("Zr"), case("Cu")], {"Zr-s0": easy, "Cu-s0": hard})), problem)
    pair = paired_rates(facts, "policy", "archive_walk")
    assert pair is not None
    assert (pair[0].mean, pair[1].mean, pair[2]) == pytest.approx((0.3, 0.62, 1))
    words = plain(page_of(facts.results.folder, data, problem))
    assert "archive walk, reaches 62 % (57–67 %) over 1 base with both: the method does not beat it" in words


def test_variants_stand_beside_each_other(
    make_sweep: MakeSweep, data: Any, problem: DesignProblem, quick: None
) -> None:
    means = {"full": (0.5, 0.6, 0.7), "no_pool": (0.4, 0.5, 0.6)}
    cases = [case("Zr", seed, variant) for variant in means for seed in range(3)]
    parts = {f"{variant}-Zr-s{seed}": with_rate(rates[seed]) for variant, rates in means.items() for seed in range(3)}
    folder = make_sweep(cases, parts, variants={"full": {}, "no_pool": {}})
    first, second = compare_variants(gather_sweep(read_sweep(folder), problem))
    # mean .6, sd .1, three seeds: .6 -+ 4.303 * .1 / sqrt(3) = .248
    assert (first.rates["Goal rate"].mean, first.rates["Goal rate"].lower) == pytest.approx((0.6, 0.3516), abs=1e-3)
    # every pair differs by exactly .1, so the paired interval has no width
    difference = second.differences["Goal rate"]
    assert (difference.mean, difference.lower, difference.upper) == pytest.approx((-0.1, -0.1, -0.1))
    words = plain(page_of(folder, data, problem))
    assert "−10 points (−10 to −10) against full" in words
    assert "are those of the variant full" in words


def test_search_ranks_its_settings(make_sweep: MakeSweep, data: Any, problem: DesignProblem, quick: None) -> None:
    rng = np.random.default_rng(0)
    parts = {}
    for i in range(20):
        gamma, weight = float(rng.uniform(0.8, 0.98)), float(rng.uniform(0.3, 8))
        frame = metrics(20) | {"tuning_goal_rate": [0.1] * 10 + [0.2 + 4 * (gamma - 0.8)] * 10}
        record = run_document() | {"settings": {"steps": 12345, "agent": {"gamma": gamma, "bc_weight": weight}}}
        ended = {} if i < 12 else {"evaluation__json": None, "candidates__csv": None}
        parts[f"Zr-s0-{i:05}"] = {"run__json": record, "metrics__parquet": frame} | ended
    folder = make_sweep([{**case("Zr"), "name": name} for name in parts], parts)
    document = json.loads((folder / "sweep.json").read_text())
    document["cases"] = [case("Zr")]
    document["settings"]["search"] = {"space": SPACE, "samples": 20}
    (folder / "sweep.json").write_text(json.dumps(document))
    page = page_of(folder, data, problem)
    words = plain(page)
    assert "12 of 20 runs finished" in words
    assert "A search over 2 settings" in words
    assert "20 samples; the best reaches" in words
    assert page.index(">agent.gamma<") < page.index(">agent.bc_weight<")  # the one that matters stands first
    assert "20 samples, best first; 8 stopped early or unfinished" in words
    document["settings"]["search"]["scheduler"] = "pbt"
    (folder / "sweep.json").write_text(json.dumps(document))
    words = plain(page_of(folder, data, problem))
    assert "A forest predicts" not in words
    assert "The settings of a population change" in words


def test_one_policy_is_shown_base_by_base(
    make_sweep: MakeSweep, data: Any, problem: DesignProblem, quick: None
) -> None:
    goal = run_document()["goal"]
    record = run_document() | {"base": "Zr,Cu", "goal": goal | {"per_base": {"Zr": goal, "Cu": goal}}}
    ended = with_rate(0.5)["evaluation__json"]
    rate = {"mean": 0.25, "lower": 0.1, "upper": 0.5, "n": 100}
    ended["evaluation"]["per_base"] = {
        "Zr": {"policy": rate | {"mean": 0.75, "upper": 0.9}, "random": rate},
        "Cu": {"policy": rate, "random": rate},
    }
    rows = candidates(problem)
    for row in rows[:3]:
        row["base"] = "Cu"
    folder = make_sweep(
        [{"base": "Zr,Cu", "seed": 0, "variant": "", "name": "all-s0"}],
        {"all-s0": {"run__json": record, "evaluation__json": ended, "candidates__csv": rows}},
    )
    facts = gather_sweep(read_sweep(folder), problem)
    assert facts.bases == ["Zr", "Cu"]
    assert [len(facts.of_base(base)[0].candidates) for base in facts.bases] == [9, 3]
    words = plain(page_of(folder, data, problem))
    assert "Zr 75 %" in words
    assert "Cu 25 %" in words


def test_an_alloy_of_several_runs_stands_once(make_sweep: MakeSweep, problem: DesignProblem) -> None:
    facts = gather_sweep(read_sweep(make_sweep([case("Zr", 0), case("Zr", 1)])), problem)
    found = ranked_candidates(facts.runs)
    assert len(found) == len(candidates(problem))
    confirmed = [bool(item.confirmed) for _, _, item in found]
    assert confirmed == sorted(confirmed, reverse=True)


def test_hostile_names_stay_text(make_sweep: MakeSweep, data: Any, problem: DesignProblem, quick: None) -> None:
    folder = make_sweep([case("Zr")])
    document = json.loads((folder / "sweep.json").read_text())
    document["no_goal"] = {"<script>alert(1)</script>": "<b>x</b>"}
    document["version"] = "</style><img src=x>"
    (folder / "sweep.json").write_text(json.dumps(document))
    page = page_of(folder, data, problem)
    assert "<script>alert" not in page
    assert "<b>x</b>" not in page
    assert "<img" not in page


def test_the_verb_writes_page_and_tables(make_sweep: MakeSweep, tmp_path: Path) -> None:
    folder = make_sweep([case("Zr")])
    assert write_sweep_report(folder) == folder / "report.html"
    for name in ("runs.csv", "runs.parquet", "candidates.csv", "candidates.parquet"):
        assert (folder / name).stat().st_size > 0


def rate_of(mean: float, half: float) -> Rate:
    return Rate("policy", METHODS["policy"], mean, mean - half, mean + half, 10.0, 100.0)


def test_average_of_independent_rates() -> None:
    mean = average([rate_of(0.4, 0.03), rate_of(0.6, 0.04)])
    # sqrt(.03^2 + .04^2) / 2 = .025
    assert (mean.mean, mean.lower, mean.upper) == pytest.approx((0.5, 0.475, 0.525))
    assert (mean.predictions, mean.episodes) == (10.0, 200.0)


def test_one_seed_has_no_interval() -> None:
    found = over_seeds([0.3])
    assert found.mean == 0.3
    assert math.isnan(found.lower)
    assert over_seeds([]).n == 0


def test_periodic_table_tells_the_states_apart() -> None:
    cells = {
        "Zr": Cell("rate", 0.5, "50 %"),
        "Cu": Cell("rate", 0.0, "0 %"),
        "La": Cell("pending", math.nan, "not begun"),
        "Ta": Cell("no_goal", math.nan, "no goal"),
    }
    page = periodic_table(cells, "Confirmed")
    tree = ElementTree.fromstring(f"<div>{page}</div>")
    boxes = {title.text: group for group in tree.iter("g") if (title := group.find("title")) is not None}
    fills = {name: box.attrib["fill"] for name, group in boxes.items() if (box := group.find("rect")) is not None}
    assert fills == {
        "Zr: 50 %": "var(--good)",
        "Cu: 0 %": "var(--warm)",
        "La: not begun": "none",
        "Ta: no goal": "url(#hatched)",
    }
    assert len(list(tree.iter("rect"))) == 86  # H to Rn


def test_candidates_enlarge_the_front(make_sweep: MakeSweep, data: Any, problem: DesignProblem) -> None:
    facts = gather_sweep(read_sweep(make_sweep([case("Zr")])), problem)
    volumes = front_volumes(facts.of_base("Zr")[0], data, "yield_strength_mpa", "elongation_pct")
    assert volumes is not None
    measured, confirmed, every = volumes
    assert 0 < measured <= confirmed <= every
