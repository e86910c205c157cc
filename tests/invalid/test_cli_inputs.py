"""What a user may get wrong on the command line: exit code 2, one clear message on stderr, no traceback."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from aimat_ray.cli.main import app

FORMULAS = (
    "Zr65Cu15Al10Ni10",
    "Zr62Cu18Al10Ni10",
    "Zr60Cu20Al10Ni10",
    "Zr58Cu22Al10Ni10",
    "Zr55Cu25Al10Ni10",
    "Cu50Zr40Al10",
)
DMAX = [3, 4, 5, 6, 7, 2]


@pytest.fixture(autouse=True)
def nothing_is_fitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bad input is refused before anything takes minutes."""

    def fit(*_: Any, **__: Any) -> None:
        raise AssertionError("a surrogate would be fitted now")

    monkeypatch.setattr("aimat_ray.registry.fits.get_or_fit", fit)
    monkeypatch.setenv("AIMAT_STORE", str(tmp_path / "store"))


@pytest.fixture
def place(tmp_path: Path, alloy_rows: Callable[..., list[dict[str, Any]]]) -> Path:
    """A folder with measured alloys in `data`, a file where a folder is expected, and a run in `run`."""
    rows = alloy_rows(FORMULAS, dmax_mm=DMAX, yield_strength_mpa=[1700 + 10 * d for d in DMAX], is_bmg=[1] * len(DMAX))
    write_table(tmp_path / "data" / "regression.csv", rows)
    (tmp_path / "file").write_text("text")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.yaml").write_text("base: Zr\nsteps: 500\n")
    record = {"data": {"name": "yesterday", "checksum": "a" * 64}, "settings": {}, "surrogate": {"version": "v"}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    return tmp_path


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def aimat(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def check_refusal(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    messages = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(messages) == 1, result.stderr
    for word in words:
        assert word in messages[0]


# (arguments with {place} for the folder, words that the message holds, id)
CASES: list[tuple[str, tuple[str, ...], str]] = [
    ("serve --runs {place}/nothere", ("--runs", "nothere", "no such folder"), "runs that are not there"),
    ("serve --runs {place}/file", ("--runs", "file", "no such folder"), "runs that are a file"),
    ("predict Xx50Zr50", ("unknown element 'Xx'", "Xx50Zr50"), "predict: unknown element"),
    ("predict Zr65Cu-35", ("negative amount -35",), "predict: negative amount"),
    ("predict Zr65Cu35%%x", ("can't read",), "predict: not a formula"),
    ("predict", ("give either formulas or --file",), "predict: nothing asked"),
    ("predict --file {place}/none.csv --out {place}/o.csv", ("none.csv",), "predict: no such file"),
    ("predict Zr50Cu50 --surrogate best", ("unknown surrogate 'best'", "expected one of"), "predict: surrogate"),
    ("predict Zr50Cu50 --data {place}/none", ("no data folder",), "predict: no such data"),
    ("data show --data {place}/none", ("no data folder", "none"), "data: no such folder"),
    ("data show --data oracle:x", ("'oracle:x'", "whole number"), "data: oracle seed"),
    ("data show --data {place}/data --goal gold", ("unknown goal 'gold'", "expected one of"), "data: goal"),
    ("data import --from {place}/none --to {place}/to", ("none",), "data: nothing to import"),
    ("surrogate train best --data {place}/data", ("unknown surrogate 'best'",), "surrogate: unknown name"),
    ("surrogate show {place}/data", ("manifest",), "surrogate: not an artifact"),
    (
        "surrogate benchmark --models rigde --data {place}/data --out {place}/o",
        ("unknown model 'rigde'", "this comparison has: ", "ridge"),
        "benchmark: unknown model",
    ),
    ("surrogate benchmark --data {place}/none --out {place}/o", ("no data folder",), "benchmark: no such data"),
    (
        "surrogate benchmark --quick --data {place}/data --out {place}/file/below",
        ("file/below", "choose another folder with --out"),
        "benchmark: out in a file",
    ),
    (
        "surrogate benchmark --finished --data {place}/data --out {place}/o",
        ("no finished cell", "without --finished"),
        "benchmark: nothing finished",
    ),
    ("surrogate benchmark --problem {place}/none.yaml", ("none.yaml",), "benchmark: no such problem"),
    ("design --base Qq", ("base 'Qq' is not a known element", "expected one of: Zr"), "design: unknown base"),
    ("design --base S", ("'S' is left out",), "design: base that is left out"),
    (
        "design --base Fe --data {place}/data --out {place}/o",
        ("base 'Fe' has no window in data 'data'", "bases with a window: Zr"),
        "design: base without a window",
    ),
    (
        "design --base Cu --data {place}/data --out {place}/o",
        ("base 'Cu': no evidence for goal 'glass'", "bring more data"),
        "design: goal without evidence",
    ),
    (
        "design --data {place}/data --goal gold --out {place}/o",
        ("unknown goal 'gold'", "expected one of"),
        "design: unknown goal",
    ),
    ("design --percentile 100", ("setting 'percentile' = 100.0", "less than 100"), "design: percentile"),
    ("design --method magic", ("setting 'method' = 'magic'", "archive"), "design: method"),
    ("design --method archive --mode paper", ("works in mode 'simplex'",), "design: search in mode paper"),
    ("design --set agent.guidance=strong", ("setting 'agent.guidance' = 'strong'",), "design: guidance"),
    ("design --set distil.answers=0", ("setting 'distil.answers' = 0",), "design: nothing to distil"),
    ("surrogate distil best --data {place}/data", ("unknown surrogate 'best'",), "distil: unknown name"),
    ("design --mode sideways", ("setting 'env.mode' = 'sideways'", "simplex"), "design: mode"),
    ("design --set agent.gama=0.9", ("unknown setting 'agent.gama'",), "design: unknown setting"),
    ("design --set agent.gamma=fast", ("setting 'agent.gamma' = 'fast'",), "design: setting that is no number"),
    ("design --set agent.gamma", ("expected KEY=VALUE",), "design: setting without value"),
    ("design --set agent.gamma=[1", ("the value can't be read",), "design: setting that is no YAML"),
    ("design --set agent.gamma.x=1", ("setting 'agent.gamma' = {'x': 1}",), "design: setting below a value"),
    ("design --config {place}/none.yaml", ("none.yaml",), "design: no such settings file"),
    ("design --config {place}/list.yaml", ("expected a mapping", "list"), "design: settings are a list"),
    ("design --config {place}/typo.yaml", ("unknown setting 'bas'",), "design: unknown key in a file"),
    ("design --data {place}/data --out {place}/file/below", ("file/below can't be written",), "design: out in a file"),
    ("design --data {place}/data --out /proc/none", ("/proc/none can't be written",), "design: out in /proc"),
    ("design --data {place}/data --out {place}/run", ("already holds a run", "--resume"), "design: out is taken"),
    ("design --resume", ("--resume needs --out",), "resume: which run"),
    ("design --resume --out {place}/none", ("none holds no run to resume",), "resume: no run"),
    (
        "design --resume --out {place}/run --data {place}/data",
        ("was made with data 'yesterday' (aaaaaaaaaaaa), not with 'data'", "same --data"),
        "resume: other data",
    ),
    ("evaluate {place}/none", ("holds no run",), "evaluate: no run"),
    ("evaluate {place}/run --data {place}/data", ("no checkpoint",), "evaluate: run without a checkpoint"),
    ("improve Xx50Zr50 --raise dmax_mm=5%", ("unknown element 'Xx'",), "improve: unknown element"),
    ("improve Zr65Cu15Al10Ni10", ("nothing shall improve",), "improve: nothing asked"),
    ("improve Zr65Cu15Al10Ni10 --raise hardness=5%", ("unknown property 'hardness'",), "improve: unknown property"),
    ("improve Zr65Cu15Al10Ni10 --raise dmax_mm", ("can't be read", "dmax_mm"), "improve: no amount"),
    (
        "improve Zr65Cu15Al10Ni10 --raise dmax_mm=5% --keep dmax_mm",
        ("raise dmax_mm and keep dmax_mm contradict",),
        "improve: contradiction",
    ),
    ("improve Zr65Cu15Al10Ni10 --raise dmax_mm=5% --max-change 90", ("up to 50 at%",), "improve: change"),
    (
        "improve Zr65Cu15Al10Ni10 --raise dmax_mm=5% --method magic",
        ("unknown method 'magic'", "evolution, greedy, local, policy"),
        "improve: unknown method",
    ),
    ("improve Zr65Cu15Al10Ni10 --raise dmax_mm=5% --method policy", ("needs --run",), "improve: which policy"),
    (
        "improve Zr65Cu15Al10Ni10 --raise dmax_mm=5% --method greedy --run {place}/run",
        ("give only one of them",),
        "improve: policy and search",
    ),
    ("improve Zr65Cu15Al10Ni10 --raise dmax_mm=5% --run {place}/none", ("holds no run",), "improve: no run"),
    (
        "improve Zr65Cu15Al10Ni10 --raise dmax_mm=5% --run {place}/run --data {place}/data",
        ("no checkpoint",),
        "improve: run without a policy",
    ),
    (
        "improve Fe40Cr30B30 --raise dmax_mm=5% --run {place}/run --data {place}/data",
        ("base Fe has no window in data 'data'",),
        "improve: base without a window",
    ),
    (
        "improve Zr50Cu50 --raise dmax_mm=5% --data {place}/data",
        ("at least 3 elements",),
        "improve: two elements",
    ),
    (
        "improve Zr65Cu15Al10Ni10 --raise dmax_mm=5% --data {place}/data --out {place}/none/o.csv",
        ("can't be written",),
        "improve: out in no folder",
    ),
    ("report {place}/none", ("none",), "report: no run"),
    ("pool build --data {place}/none --out {place}/o", ("no data folder",), "pool: no such data"),
    ("pool build --data {place}/data --out {place}/file/o", ("can't be written",), "pool: unwritable folder"),
    ("bench nothing", ("no benchmark 'nothing'", "expected one of"), "bench: unknown script"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words", "name"), CASES, ids=[name for *_, name in CASES])
def test_arguments_are_refused(arguments: str, words: tuple[str, ...], name: str, place: Path) -> None:
    (place / "list.yaml").write_text("- 1\n")
    (place / "typo.yaml").write_text("bas: Zr\n")
    check_refusal(aimat(*arguments.format(place=place).split()), *words)


def test_a_refused_resume_leaves_the_run_alone(place: Path) -> None:
    before = {path.name: path.read_bytes() for path in (place / "run").iterdir()}
    aimat("design", "--resume", "--out", str(place / "run"), "--data", str(place / "data"))
    assert {path.name: path.read_bytes() for path in (place / "run").iterdir()} == before


# (column, value that is written into row 3 of a good table, words that the message holds, id)
TABLES: list[tuple[str, Any, tuple[str, ...], str]] = [
    ("Zr", 30, ("row 3", "sum to", "expected 100"), "sum off"),
    ("Zr", -62, ("row 3", "column 'Zr'", "negative amount -62"), "negative amount"),
    ("Zr", "many", ("row 3", "column 'Zr'", "expected a number, got 'many'"), "amount not a number"),
    ("dmax_mm", "thick", ("row 3", "column 'dmax_mm'", "expected a number, got 'thick'"), "property not a number"),
    ("dmax_mm", -4, ("row 3", "column 'dmax_mm'", "outside"), "negative property"),
    ("is_bmg", 7, ("row 3", "column 'is_bmg'", "expected 1, 0"), "flag"),
]


@pytest.mark.parametrize("verb", ["data show", "design --base Zr --out {place}/o", "predict Zr50Cu50"])
@pytest.mark.parametrize(("column", "value", "words", "name"), TABLES, ids=[name for *_, name in TABLES])
def test_table_is_refused_by_every_verb(
    verb: str, column: str, value: Any, words: tuple[str, ...], name: str, place: Path
) -> None:
    table = place / "data" / "regression.csv"
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    rows[1][column] = value
    write_table(table, rows)
    check_refusal(aimat(*verb.format(place=place).split(), "--data", str(place / "data")), "regression.csv", *words)


def test_missing_column_and_empty_table(place: Path) -> None:
    table = place / "data" / "regression.csv"
    header, *_ = table.read_text().splitlines()
    table.write_text(header + "\n")
    check_refusal(aimat("data", "show", "--data", str(place / "data")), "regression.csv", "empty")
    table.write_text(header.replace("dmax_mm", "dmax") + "\n1" + "," * header.count(",") + "\n")
    check_refusal(aimat("data", "show", "--data", str(place / "data")), "regression.csv", "missing column 'dmax_mm'")


def test_wrong_checksum_of_a_table(place: Path) -> None:
    from aimat_ray.data.upstream import CHECKSUM_FILE

    (place / "data" / CHECKSUM_FILE).write_text(f"{'0' * 64}  regression.csv\n")
    check_refusal(aimat("data", "show", "--data", str(place / "data")), "regression.csv", "wrong checksum", "0000")


def test_unreadable_formulas_of_a_file_get_their_row_and_exit_code_2(place: Path) -> None:
    (place / "empty.csv").write_text("")
    check_refusal(aimat("predict", "--file", str(place / "empty.csv"), "--json"), "empty.csv")
    (place / "other.csv").write_text("alloy\nZr50Cu50\n")
    check_refusal(aimat("predict", "--file", str(place / "other.csv"), "--json"), "other.csv", "formula")


def test_brackets_in_a_message_reach_the_user() -> None:
    assert "(Zr[65]Cu" in aimat("predict", "(Zr[65]Cu").stderr


def verbs(prefix: tuple[str, ...] = (), command: Any = None) -> Iterator[tuple[str, ...]]:
    import typer

    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        yield prefix
        return
    for name, inner in command.commands.items():
        yield from verbs((*prefix, name), inner)


def test_help_names_every_verb() -> None:
    result = aimat("--help")
    assert result.exit_code == 0
    for verb in verbs():
        assert verb[0] in result.stdout


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_every_verb_has_help_with_an_example(verb: tuple[str, ...]) -> None:
    result = aimat(*verb, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"aimat {' '.join(verb)}" in " ".join(result.stdout.split())


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    code = (
        "import sys, resource; import aimat_ray.cli.main\n"
        "heavy = {'ray', 'torch', 'catboost', 'sklearn', 'pandas', 'matplotlib', 'plotly'} & set(sys.modules)\n"
        "usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(sorted(heavy), usage.ru_utime + usage.ru_stime)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "COVERAGE_PROCESS_START"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded, seconds = ended.stdout.rsplit(maxsplit=1)
    assert loaded == "[]"
    assert float(seconds) < 1.5  # of CPU time, so that a busy machine does not fail the test
