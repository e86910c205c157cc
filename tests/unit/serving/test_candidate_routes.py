"""GET /v1/candidates and /v1/runs over folders that look like those of finished runs."""

import io
import json

import pandas as pd
import pytest
from asgi_caller import Caller

from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.settings import ServingSettings

PROBLEM = load_problem()


def row(rank, formula, base, dmax, tg, confirmed, **more):
    values = {"rank": rank, "formula": formula, "base": base, "p_bmg": 0.9, "in_domain": True, "new": True}
    values |= {"domain_reason": "inside", "confirmed": confirmed, "nearest_formula": "Zr55Cu30Al10Ni5"}
    values |= {
        "nearest_distance_at_pct": 3.5,
        "nearest_dmax_mm": 17.25,
        "steps": 4,
        "method": "policy",
        "synthetic": True,
    }
    for spec in PROBLEM.properties:
        value = {"dmax_mm": dmax, "tg_k": tg}.get(spec.key, 50.0)
        values |= {spec.key: value, f"{spec.key}_lower": value - 1, f"{spec.key}_upper": value + 1}
        values[f"judge_{spec.key}"] = value + 0.5
    return values | {"trg": 0.6, "surrogate_version": "default-1", "judge_version": "judge-1"} | more


def write_run(folder, rows, run_id="zr-1", base="Zr", created="2026-01-01", evaluation=True, problem="bmg"):
    folder.mkdir(parents=True)
    bound = {"quantity": "dmax_mm", "at_least": 8.0, "at_most": None, "n_rows": 20, "source": "base"}
    record = {"run_id": run_id, "base": base, "created": created, "settings": {"problem": problem}}
    record |= {"goal": {"thresholds": [bound]}, "data": {"name": "oracle-0", "synthetic": True}}
    (folder / "run.json").write_text(json.dumps(record))
    if evaluation:
        document = {"surrogate_version": "default-1", "evaluation": {"sr_goal": {"mean": 0.8}}}
        (folder / "evaluation.json").write_text(json.dumps(document))
    pd.DataFrame(rows or {"rank": [], "formula": []}).to_csv(folder / "candidates.csv", index=False)


ZR = [
    row(1, "Zr60Cu30Al10", "Zr", 12.0, 700.0, True),
    row(2, "Zr55Cu35Al10", "Zr", 20.0, 650.0, False),
    row(3, "Zr65Cu25Al10", "Zr", 5.0, float("nan"), True),
]
FE = [row(1, "Fe70B20Si10", "Fe", 3.0, 850.0, False)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "zr", ZR)
    write_run(folder / "sweep" / "fe", FE, run_id="fe-2", base="Fe", created="2026-02-02")
    write_run(folder / "unfinished", ZR, run_id="zr-3", evaluation=False)
    write_run(folder / "other", ZR, run_id="hea-4", problem="hea")
    write_run(folder / "empty", [], run_id="mg-5", base="Mg", created="2025-01-01")
    write_run(folder / "broken", ZR, run_id="zr-6")
    (folder / "broken" / "candidates.csv").write_bytes(b"\xff\xfe\x00nothing")
    (folder / "not-a-run").mkdir()
    return folder


def caller(folder):
    settings = ServingSettings(data="oracle", runs=folder)
    return Caller(make_app(AppContext(PROBLEM, LocalBackend(LinearBundle.random(1)), settings)))


@pytest.fixture(scope="module")
def api(runs):
    return caller(runs)


def formulas(reply):
    assert reply.status_code == 200, reply.text
    return [item["formula"] for item in reply.json()["candidates"]]


def test_finished_runs_newest_first(api):
    runs = api.get("/v1/runs").json()["runs"]
    assert [(run["run_id"], run["name"], run["n_candidates"], run["n_confirmed"]) for run in runs] == [
        ("fe-2", "fe", 1, 0),
        ("zr-1", "zr", 3, 2),
        ("mg-5", "empty", 0, 0),
    ]
    assert runs[1]["goal"] == [{"quantity": "dmax_mm", "at_least": 8.0, "at_most": None}]
    assert runs[1]["goal_rate"] == 0.8


def test_a_candidate_tells_everything_but_measured_values(api, runs):
    reply = api.get("/v1/candidates", run="zr-1", limit=1)
    (item,) = reply.json()["candidates"]
    assert item["formula"] == "Zr60Cu30Al10"
    assert item["properties"]["dmax_mm"] == {"value": 12.0, "lower": 11.0, "upper": 13.0, "judge": 12.5, "unit": "mm"}
    assert item["properties"]["trg"] == {"value": 0.6, "lower": None, "upper": None, "judge": None, "unit": ""}
    assert item["nearest"] == {"formula": "Zr55Cu30Al10Ni5", "distance_at_pct": 3.5}
    assert item["p_bmg"] == 0.9
    assert (item["rank"], item["steps"], item["confirmed"], item["true"]) == (1, 4, True, None)
    assert str(runs) not in reply.text
    assert "17.25" not in reply.text, "the measured value of the nearest alloy"
    assert "17.25" not in api.get("/v1/candidates", format="csv").text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"base": "Fe"}, ["Fe70B20Si10"]),
        ({"confirmed": "true"}, ["Zr60Cu30Al10", "Zr65Cu25Al10"]),
        ({"confirmed": "false", "base": "Zr"}, ["Zr55Cu35Al10"]),
        ({"min_dmax_mm": 12}, ["Zr60Cu30Al10", "Zr55Cu35Al10"]),
        ({"min_dmax_mm": 4, "max_dmax_mm": 12, "base": "Zr"}, ["Zr60Cu30Al10", "Zr65Cu25Al10"]),
        ({"max_tg_k": 700}, ["Zr60Cu30Al10", "Zr55Cu35Al10"]),
        ({"base": "Zr", "sort": "-dmax_mm"}, ["Zr55Cu35Al10", "Zr60Cu30Al10", "Zr65Cu25Al10"]),
        ({"base": "Zr", "sort": "tg_k"}, ["Zr55Cu35Al10", "Zr60Cu30Al10", "Zr65Cu25Al10"]),
        ({"base": "Zr", "sort": "-tg_k"}, ["Zr60Cu30Al10", "Zr55Cu35Al10", "Zr65Cu25Al10"]),
        ({"sort": "dmax_mm", "limit": 2, "offset": 1}, ["Zr65Cu25Al10", "Zr60Cu30Al10"]),
        ({"offset": 100}, []),
        ({"base": "Mg"}, []),
        ({"run": "nothing"}, []),
    ],
    ids=lambda case: str(case)[:40],
)
def test_filters_sorting_and_pages(api, query, expected):
    assert formulas(api.get("/v1/candidates", **query)) == expected


def test_csv_holds_the_same_rows(api):
    reply = api.get("/v1/candidates", base="Zr", sort="-dmax_mm", format="csv")
    assert reply.headers["content-type"].startswith("text/csv")
    assert "attachment" in reply.headers["content-disposition"]
    table = pd.read_csv(io.StringIO(reply.text))
    assert table["formula"].tolist() == ["Zr55Cu35Al10", "Zr60Cu30Al10", "Zr65Cu25Al10"]
    assert table["rank"].tolist() == [2, 1, 3]
    assert table["dmax_mm_upper"].tolist() == [21.0, 13.0, 6.0]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"sort": "beauty"}, "sort: unknown column 'beauty'"),
        ({"sort": "formula; DROP TABLE"}, "sort"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"offset": -1}, "offset"),
        ({"min_dmax_mm": "much"}, "min_dmax_mm"),
        ({"min_dmax_mm": "nan"}, "min_dmax_mm"),
        ({"max_dmax_mm": "1e300"}, "max_dmax_mm"),
        ({"min_dmax_mm": 9, "max_dmax_mm": 1}, "nothing can be between"),
        ({"min_beauty": 1}, "min_beauty"),
        ({"format": "xlsx"}, "format"),
        ({"confirmed": "perhaps"}, "confirmed"),
        ({"base": "Zirconium"}, "base"),
    ],
    ids=lambda case: str(case)[:40],
)
def test_bad_queries_get_422_and_the_name_of_what_is_wrong(api, query, words):
    reply = api.get("/v1/candidates", **query)
    assert reply.status_code == 422, reply.text
    assert words in reply.json()["error"]["message"]


def test_a_run_that_finishes_later_appears_without_a_restart(tmp_path):
    api = caller(tmp_path / "runs")
    assert api.get("/v1/runs").json()["runs"] == []
    assert formulas(api.get("/v1/candidates")) == []
    write_run(tmp_path / "runs" / "zr", ZR[:1])
    assert formulas(api.get("/v1/candidates")) == ["Zr60Cu30Al10"]
    pd.DataFrame(ZR).to_csv(tmp_path / "runs" / "zr" / "candidates.csv", index=False)
    assert len(formulas(api.get("/v1/candidates"))) == 3


def test_damaged_runs_do_not_break_the_others(tmp_path):
    """Half-empty cells, versions of digits only, and documents of another shape."""
    odd = row(None, "Zr50Cu40Al10", None, None or float("nan"), float("nan"), None, surrogate_version="123456789012")
    odd |= {"nearest_distance_at_pct": None, "steps": None, "run_id": "overwritten"}
    nameless = row(1, None, "Zr", 1.0, 1.0, True)
    write_run(tmp_path / "odd", [odd, nameless], run_id="odd-1")
    write_run(tmp_path / "good", ZR, run_id="good-1")
    for name, file, text in (
        ("list", "run.json", "[1]"),
        ("number", "evaluation.json", "7"),
        ("cut", "run.json", '{"run_id": "x'),
        ("no-name", "run.json", '{"settings": {"problem": "bmg"}}'),
        ("empty", "candidates.csv", ""),
    ):
        write_run(tmp_path / name, ZR, run_id=name)
        (tmp_path / name / file).write_text(text)
    write_run(tmp_path / "strange", ZR[:1], run_id="strange-1")
    strange = {
        "run_id": "strange-1",
        "base": "Zr",
        "settings": {"problem": "bmg"},
        "goal": [1],
        "data": "x",
        "created": 5,
    }
    (tmp_path / "strange" / "run.json").write_text(json.dumps(strange))
    (tmp_path / "strange" / "evaluation.json").write_text('{"evaluation": {"sr_goal": {"mean": NaN}}}')
    api = caller(tmp_path)
    reply = api.get("/v1/runs")
    assert reply.status_code == 200, reply.text
    assert {run["run_id"] for run in reply.json()["runs"]} == {"odd-1", "good-1", "strange-1"}
    assert len(formulas(api.get("/v1/candidates"))) == 1 + 3 + 1
    (item,) = api.get("/v1/candidates", run="odd-1").json()["candidates"]
    assert (item["rank"], item["confirmed"], item["surrogate_version"]) == (None, None, "123456789012")


def test_the_folder_of_one_run_is_enough(runs):
    assert formulas(caller(runs / "sweep" / "fe").get("/v1/candidates")) == ["Fe70B20Si10"]


def test_filters_and_csv_stand_in_the_openapi_document(api):
    document = api.get("/openapi.json").json()
    operation = document["paths"]["/v1/candidates"]["get"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert {"base", "confirmed", "min_dmax_mm", "max_trg", "min_p_bmg", "sort", "format"} <= names
    assert {"application/json", "text/csv"} == set(operation["responses"]["200"]["content"])
