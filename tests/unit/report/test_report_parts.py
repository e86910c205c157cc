"""The small parts: markup, wording, candidates, facts."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fake_run import MakeRun, candidates, evaluation

from aimat_ray.problem import DesignProblem
from aimat_ray.report import wording
from aimat_ray.report.candidates import parse_candidates
from aimat_ray.report.facts import METHODS, Rate, compare, gather
from aimat_ray.report.markup import Html, el, formula, join, text
from aimat_ray.report.run_files import dig, flag, number, read_run
from aimat_ray.report.scatter_figure import pairs


class Words(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values = dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Cn", "Co"])))
def test_any_text_survives_as_text(words: str) -> None:
    parsed = Words(el("p", words, title=words))
    assert parsed.tags == ["p"]
    assert parsed.text == words
    assert parsed.values == {"title": words}


@given(st.text())
def test_formulas_hold_no_other_markup(words: str) -> None:
    assert set(Words(formula(words)).tags) <= {"sub", "wbr"}


def test_formula_has_subscripts() -> None:
    assert formula("Zr65Cu17.5Ni") == "Zr<sub>65</sub><wbr/>Cu<sub>17.5</sub><wbr/>Ni"
    assert formula("(Cu50Zr50)94Al6") == "(Cu50Zr50)94Al6"


def test_elements() -> None:
    assert el("td", 1, None, ["<", [Html("<b/>")]], class_="x", data_key=2, hidden=True, id=None) == (
        '<td class="x" data-key="2" hidden="">1&lt;<b/></td>'
    )
    assert el("br") == "<br/>"
    assert join("a", Html("&amp;"), "&") == "a&amp;&amp;"
    assert text("\x00\ud800") == "\ufffd\ufffd"


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.5, "50\u00a0%"),
        (0.0, "0\u00a0%"),
        (0.004, "0.4\u00a0%"),
        (0.999, "99.9\u00a0%"),
        (1.0, "100\u00a0%"),
        (math.nan, "–"),
    ],
)
def test_percent_never_rounds_to_none_or_all(share: float, words: str) -> None:
    assert wording.percent(share) == words


def test_wording() -> None:
    assert wording.rate(0.5, 0.449, 0.996) == "50\u00a0% (45–100\u00a0%)"
    assert wording.probability(0.997) == "0.997"
    assert wording.probability(0.5) == "0.50"
    assert wording.fixed(-1.25, 1) == "\u22121.2"
    assert wording.count(12345.4) == "12,345"
    assert wording.amount(4.26) == "4.3"
    assert wording.amount(42.6) == "43"
    assert wording.listing(["a", "b", "c"]) == "a, b and c"
    assert wording.plural(1, "alloy") == "1 alloy"
    assert wording.duration(120) == "2.0\u00a0min"


@pytest.mark.parametrize("value", [None, "x", math.inf, math.nan, True, [], "1e400"])
def test_what_is_no_number(value: Any) -> None:
    assert math.isnan(number(value))


def test_lenient_reading() -> None:
    assert number("2.5") == 2.5
    assert [flag(v) for v in (True, "False", "1", "", "maybe", None)] == [True, False, True, None, None, None]
    assert dig({"a": {"b": 1}}, "a", "b") == 1
    assert dig({"a": [1]}, "a", "b") is None


def test_candidates_are_typed_and_in_order(problem: DesignProblem) -> None:
    rows = tuple({key: str(value) for key, value in row.items()} for row in reversed(candidates(problem)))
    found = parse_candidates((*rows, {"formula": " "}, {"formula": "X", "tg_k": "?"}), problem)
    assert [candidate.rank for candidate in found[:12]] == list(range(1, 13))
    first = found[0]
    assert first.confirmed is True
    assert first.in_domain is True
    assert first.domain_reason == "inside the domain"
    assert first.estimate("dmax_mm").lower == pytest.approx(0.75 * first.estimate("dmax_mm").value)
    assert math.isnan(first.estimate("trg").lower)
    # derived quantities of the neighbour follow from its measured ones
    both = next(c for c in found if {"tg_k", "tl_k"} <= set(c.nearest_values))
    assert both.nearest_values["trg"] == pytest.approx(both.nearest_values["tg_k"] / both.nearest_values["tl_k"])
    assert math.isnan(found[-1].estimate("tg_k").value)


def rate(mean: float, half: float = 0.05, key: str = "random") -> Rate:
    return Rate(key, METHODS[key], mean, mean - half, mean + half, 100.0, 50.0)


def test_rates_are_compared_by_their_intervals() -> None:
    assert compare(rate(0.5), rate(0.3)) == "above"
    assert compare(rate(0.3), rate(0.5)) == "below"
    assert compare(rate(0.5), rate(0.42)) == "level"
    unknown = Rate("random", METHODS["random"], 0.9, math.nan, math.nan, 1.0, 1.0)
    assert compare(unknown, rate(0.1)) == "level"  # without an interval nothing is claimed


def test_predictions_per_success() -> None:
    assert rate(0.25).per_success == 400.0
    assert math.isnan(rate(0.0).per_success)


def test_control_of_the_price(make_run: MakeRun, problem: DesignProblem) -> None:
    facts = gather(read_run(make_run()), problem)
    one, sixteen = facts.best_control("one"), facts.best_control("sixteen")
    assert one is not None and one.key == "archive_walk"
    assert sixteen is not None and sixteen.key == "greedy_16"  # the policy's own lookahead is no control
    assert facts.is_policy


def test_a_search_is_not_its_own_control(make_run: MakeRun, problem: DesignProblem) -> None:
    document = evaluation()
    document["evaluation"]["method"] = "archive_walk"
    facts = gather(read_run(make_run(evaluation__json=document)), problem)
    assert not facts.is_policy
    assert facts.rate("archive_walk") is None
    control = facts.best_control("one")
    assert control is not None and control.key == "local_search"


def test_predictions_from_the_episodes(make_run: MakeRun, problem: DesignProblem) -> None:
    document = evaluation()
    del document["evaluation"]["sr_goal"]["predictions"]
    episodes = {"method": ["policy", "policy", "random"], "predictions": [10.0, 20.0, 99.0]}
    run = make_run(evaluation__json=document, evaluation_episodes__parquet=episodes)
    subject = gather(read_run(run), problem).subject
    assert subject is not None and subject.predictions == 15.0


@pytest.mark.parametrize(
    ("keys", "first"),
    [
        (["dmax_mm", "trg"], ("dmax_mm", "trg")),
        (["elongation_pct"], ("elongation_pct", "yield_strength_mpa")),
        ([], ("yield_strength_mpa", "elongation_pct")),
    ],
)
def test_pairs_start_with_the_goal(
    make_run: MakeRun, problem: DesignProblem, keys: list[str], first: tuple[str, str]
) -> None:
    run: dict[str, Any] = {"base": "Zr", "goal": {"thresholds": dict.fromkeys(keys, 1.0)}}
    chosen = pairs(gather(read_run(make_run(run__json=run, evaluation__json=None)), problem))
    assert chosen[0] == first
    assert len(chosen) <= 3
    assert len({frozenset(pair) for pair in chosen}) == len(chosen)


def test_minimised_quantities_have_an_upper_bound(make_run: MakeRun, problem: DesignProblem) -> None:
    run = {"goal": {"thresholds": {"tl_k": 1000}}}
    (threshold,) = gather(read_run(make_run(run__json=run)), problem).thresholds
    assert threshold.at_most == 1000
    assert math.isnan(threshold.at_least)


def test_command_line(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer
    from typer.testing import CliRunner

    from aimat_ray.cli.report import report

    monkeypatch.setenv("AIMAT_DATA_DIR", str(tmp_path / "nowhere"))
    app = typer.Typer()
    app.command()(report)
    run = make_run()
    done = CliRunner().invoke(app, [str(run), "--json"])
    assert done.exit_code == 0, done.output
    assert (run / "report.html").is_file()
    assert '"missing"' in done.stdout
    assert CliRunner().invoke(app, [str(tmp_path / "none")]).exit_code == 2
    assert CliRunner().invoke(app, [str(run), "--data", str(tmp_path / "none")]).exit_code == 2
