"""The page as a whole: complete runs, partial runs, hostile files."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from report_fake_run import MakeRun, candidates, evaluation, metrics, run_document

from aimat_ray.errors import RunError
from aimat_ray.problem import DesignProblem
from aimat_ray.report.html import write_report

FILES = (
    "run__json",
    "settings__yaml",
    "metrics__parquet",
    "warnings__json",
    "evaluation__json",
    "candidates__csv",
    "pool__json",
)
HOSTILE = '<script>alert("x")</script>&"\'><img src=http://evil.example/x onerror=alert(1)>$\\frac{\u202e\x07'


class Page(HTMLParser):
    """What a browser's parser sees: tags, attributes, text, and whether every tag is closed in order."""

    VOID = frozenset({"meta", "input", "br", "hr", "img", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.words.append(data)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


def page_of(run: Path, data: Any, problem: DesignProblem, **options: Any) -> Page:
    text = write_report(run, data, problem, **options).read_text(encoding="utf-8")
    check_sound(text)
    return Page(text)


def check_sound(text: str) -> None:
    """Well-formed as XML too; ids are unique, references resolve, and nothing is loaded."""
    ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "src"
        if name == "href":
            assert value.startswith("#")
            assert value[1:] in ids
    assert not re.search(r"https?://|@import|@font-face", re.sub(r"[^>]*evil\.example[^<]*", "", text))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert page.tags.count("script") == 1


def test_complete_run(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    page = page_of(make_run(), data, problem)
    for words in (
        "12 Zr-based alloys were designed (goal: castable and strong); 4 of them are confirmed",
        "reached the goal from 50\u00a0% (45–55\u00a0%) of 200 fresh starts, spending 40 surrogate predictions",
        "The best control of its price, archive walk, reaches 62\u00a0% (57–67\u00a0%)",
        "the trained policy does not beat it",
        "at least 6.0\u00a0mm",
        "pooled over the group early transition",
        "Mode collapse at 6,000 steps",
        "The judge confirms only 20\u00a0%",
        "✓ confirmed",
        "centre of cluster",
        "default-aaaa",
        "judge-bbbb",
        "f" * 64,
        "steps: 12345",
        "Tg looks like Celsius",
        "The archive was not rebuilt.",
    ):
        assert re.sub(r"\s+", " ", words) in page.text, words
    assert "SYNTHETIC" not in page.text
    assert not re.search(r"\b(False|None|nan|inf)\b", page.text)  # no Python value slips through as a word
    # 60 Zr x 91.22, 20 Cu x 63.55, 10 Ni x 58.69, 10 Al x 26.98 = 54.73 + 12.71 + 5.87 + 2.70 of 76.01
    assert "wt%: Zr 72.0 · Cu 16.7 · Ni 7.7 · Al 3.5" in page.text


def test_figures_have_words_and_a_narrow_form(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    page = page_of(make_run(), data, problem)
    kinds = [value for tag, name, value in page.attributes if tag == "svg" and name == "class"]
    # the goal's plot and the learning curve in two widths, the small plots beside each other in one
    assert (kinds.count("figure wide"), kinds.count("figure narrow")) == (2, 4)
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == 6
    assert all(len(label) > 30 for label in labels)


@pytest.mark.usefixtures("quick")
def test_page_forbids_loading(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    policy = next(value for value in page_of(make_run(), data, problem).values("content") if "default-src" in value)
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_same_run_same_page(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    run = make_run()
    first = write_report(run, data, problem).read_bytes()
    assert write_report(run, data, problem).read_bytes() == first


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        (0.9, "the trained policy beats it"),
        (0.6, "it is not shown that the trained policy beats it"),
        (0.3, "does not beat it"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_verdict_on_the_control_of_its_price(
    make_run: MakeRun, problem: DesignProblem, own: float, verdict: str
) -> None:
    document = evaluation()
    document["evaluation"]["sr_goal"] |= {"mean": own, "lower": own - 0.05, "upper": own + 0.05}
    page = page_of(make_run(evaluation__json=document), None, problem)
    assert verdict in page.text
    assert ("No gain over the control of its price" in page.text) == (own < 0.9)


@pytest.mark.usefixtures("quick")
def test_synthetic_runs_say_so_and_know_the_truth(make_run: MakeRun, problem: DesignProblem) -> None:
    run, document = run_document(), evaluation()
    run["data"]["synthetic"] = True
    document["evaluation"]["ledger"]["true"] = 25
    rows = [row | {"true": i < 2} for i, row in enumerate(candidates(problem))]
    page = page_of(make_run(run__json=run, evaluation__json=document, candidates__csv=rows), None, problem)
    assert "SYNTHETIC DATA: nothing on this page describes a real alloy" in page.text
    assert "2 of 12 candidates (2 of the 4 confirmed) truly reach the goal" in page.text
    assert "truly NOT at the goal" in page.text


@pytest.mark.parametrize("file", FILES)
@pytest.mark.usefixtures("quick")
def test_each_file_may_be_missing(make_run: MakeRun, data: Any, problem: DesignProblem, file: str) -> None:
    page = page_of(make_run(**{file: None}), data, problem)
    assert f"{file.replace('__', '.')} not there" in page.text


@pytest.mark.parametrize("file", [name for name in FILES if name != "settings__yaml"])
@pytest.mark.usefixtures("quick")
def test_each_file_may_be_broken(make_run: MakeRun, data: Any, problem: DesignProblem, file: str) -> None:
    page = page_of(make_run(**{file: b'{"formula": [\xff\x00'}), data, problem)
    assert f"{file.replace('__', '.')} can't be read" in page.text


@pytest.mark.parametrize("kept", FILES)
@pytest.mark.usefixtures("quick")
def test_one_file_is_enough(make_run: MakeRun, problem: DesignProblem, kept: str) -> None:
    page = page_of(make_run(**{name: None for name in FILES if name != kept}), None, problem)
    assert "The run is not complete" in page.text


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"evaluation": None},
        {"evaluation": []},
        {"evaluation": {"sr_goal": 3, "controls": "none", "ledger": [1], "goal": 7, "sr80": None, "notes": {}}},
        {
            "evaluation": {
                "sr_goal": {"mean": "nan"},
                "controls": {"random": None, "new_one": 0.5},
                "ledger": {"goal": "x"},
            }
        },
        {"train": "long", "evaluation": {"sr_goal": {"mean": 0.0}, "controls": {"ceiling": {"mean": 0.0}}}},
    ],
)
@pytest.mark.usefixtures("quick")
def test_evaluation_of_any_shape(make_run: MakeRun, problem: DesignProblem, document: dict[str, Any]) -> None:
    page_of(make_run(evaluation__json=document), None, problem)


@pytest.mark.parametrize("goal", [None, "glass", {"thresholds": {"dmax_mm": 6, "unknown": 2}}, {"thresholds": [3, {}]}])
@pytest.mark.usefixtures("quick")
def test_goal_of_any_shape(make_run: MakeRun, problem: DesignProblem, goal: Any) -> None:
    page_of(make_run(run__json=run_document() | {"goal": goal}), None, problem)


@pytest.mark.usefixtures("quick")
def test_no_candidate(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    page = page_of(make_run(candidates__csv="rank,formula\n"), data, problem)
    assert "No candidate was found" in page.text


@pytest.mark.usefixtures("quick")
def test_last_line_cut_short_is_left_out(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    run = make_run()
    path = run / "candidates.csv"
    path.write_text(path.read_text().rstrip()[:-60])
    assert "11 Zr-based alloys were designed" in page_of(run, data, problem).text


def test_hostile_strings_stay_text(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    """Every string that a file can hold becomes hostile; the page holds no tag or attribute made of it."""

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poison(item) for key, item in value.items()} | {HOSTILE: HOSTILE}
        if isinstance(value, list):
            return [poison(item) for item in value]
        return HOSTILE if isinstance(value, str) else value

    rows = candidates(problem)
    text = ("formula", "nearest_formula", "domain_reason", "method", "nearest_class", "cluster")
    run = poison(run_document())
    run["goal"]["thresholds"][0] |= {"quantity": "dmax_mm"}
    document = poison(evaluation())
    document["evaluation"]["success_vs_predictions"] = {HOSTILE: [{"predictions": 4, "mean": 0.1}]}
    folder = make_run(
        run__json=run,
        settings__yaml=HOSTILE,
        warnings__json=[{"env_steps": 10, "signature": HOSTILE, "message": HOSTILE}],
        evaluation__json=document,
        candidates__csv=[row | dict.fromkeys(text, HOSTILE) for row in rows],
        pool__json=poison({"n_transitions": 3, "reward": {"mean": 1}}),
    )
    page = page_of(folder, data, problem, manifests={HOSTILE: {"name": HOSTILE, "targets": {HOSTILE: {}}}})
    assert '<script>alert("x")</script>' in page.text
    assert "\u202e" not in page.text
    assert "img" not in page.tags


@pytest.mark.usefixtures("quick")
def test_data_of_another_run_are_not_drawn(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    run = run_document()
    run["data"]["checksum"] = "0" * 64
    page = page_of(make_run(run__json=run), data, problem)
    assert "data not those of the run (invented has another checksum)" in page.text
    assert "candidates stand alone" in page.text


@pytest.mark.usefixtures("quick")
def test_scores_come_with_split_and_interval(make_run: MakeRun, data: Any, problem: DesignProblem) -> None:
    score = {
        "split": "system",
        "r2": 0.28,
        "rmse": 5.0,
        "mae": 2.5,
        "n": 900,
        "n_systems": 120,
        "lower": 0.2,
        "upper": 0.35,
    }
    among = score | {"r2": 0.05, "lower": -0.1, "upper": 0.2, "n": 600}
    manifest = {
        "name": "default",
        "targets": {"dmax_mm": {"members": ["forest"], "n_rows": 900, "score": score, "feasible_score": among,
                                "coverage_90": 0.88}},
        "classifier": {"scores": [{"split": "system", "rows": "4 or more elements", "auc": 0.9, "n": 1000,
                                   "n_systems": 300, "lower": 0.88, "upper": 0.92}]},
    }  # fmt: skip
    page = page_of(make_run(), data, problem, manifests={"surrogate": manifest})
    assert "R² 0.28 (0.20 to 0.35); mean error 2.5 mm" in page.text
    assert "unseen alloy systems (120)" in page.text
    assert "AUC 0.90 (0.88 to 0.92)" in page.text
    assert "Hardly predictable: critical casting diameter" in page.text
    assert "R² 0.05 (−0.10 to 0.20) on 600 alloys" in page.text


@pytest.mark.parametrize("content", [{}, {"notes.txt": "x"}], ids=["empty", "foreign"])
def test_a_folder_without_a_run_is_an_error(tmp_path: Path, problem: DesignProblem, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(RunError, match="none of a run's files"):
        write_report(tmp_path, None, problem)


def test_no_folder_is_an_error(tmp_path: Path, problem: DesignProblem) -> None:
    with pytest.raises(RunError, match="no run directory"):
        write_report(tmp_path / "nowhere", None, problem)


@pytest.mark.usefixtures("quick")
def test_unwritable_report_is_an_error(make_run: MakeRun, problem: DesignProblem) -> None:
    run = make_run()
    (run / "report.html").mkdir()
    with pytest.raises(RunError, match="can't be written"):
        write_report(run, None, problem)


@pytest.mark.parametrize("rows", [1, 2, 29])
def test_short_training_is_drawn(make_run: MakeRun, problem: DesignProblem, rows: int) -> None:
    run = make_run(metrics__parquet={key: values[:rows] for key, values in metrics().items()}, candidates__csv=None)
    assert page_of(run, None, problem).tags.count("svg") == 2


def test_candidates_alone_are_drawn(make_run: MakeRun, problem: DesignProblem) -> None:
    """Without measured alloys, without intervals, and with a value that is missing."""
    rows = [{k: v for k, v in row.items() if not k.endswith(("_lower", "_upper"))} for row in candidates(problem, 3)]
    rows[1]["dmax_mm"] = ""
    page = page_of(make_run(candidates__csv=rows, metrics__parquet=None), None, problem)
    assert page.tags.count("svg") == 4


@pytest.mark.usefixtures("quick")
def test_alloys_of_another_base_are_named(make_run: MakeRun, problem: DesignProblem) -> None:
    rows = candidates(problem)
    rows[0]["formula"] = "Ni60Zr40"
    page = page_of(make_run(candidates__csv=rows), None, problem)
    assert "In 1 of 12 candidates an element other than Zr has the largest share" in page.text
