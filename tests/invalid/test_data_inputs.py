"""Tables, folders and requests that must be refused: one message that names the place and what to do."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aimat_ray.data.goals import goal_for_base
from aimat_ray.data.measurements import load_table
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.data.splits import fold_map
from aimat_ray.data.upstream import CHECKSUM_FILE, import_folder
from aimat_ray.errors import AimatError, DataError, ProblemError
from aimat_ray.problem import DesignProblem

Rows = list[dict[str, Any]]
FORMULAS = ("Zr65Cu15Al10Ni10", "Cu50Zr50", "Fe80B20")


@pytest.fixture
def rows(alloy_rows: Callable[..., Rows]) -> Rows:
    return alloy_rows(FORMULAS, tg_k=[650, 670, 750], dmax_mm=[5, 2, ""], is_bmg=[1, 1, 0])


def changed(rows: Rows, row: int, column: str, value: Any) -> Rows:
    return [r | {column: value} if i == row else r for i, r in enumerate(rows)]


def without(rows: Rows, column: str) -> Rows:
    return [{k: v for k, v in r.items() if k != column} for r in rows]


# (what is done to a good table, words the message must hold, id)
REGRESSION: list[tuple[Callable[[Rows], Rows], str, str]] = [
    (lambda r: without(r, "Rh"), r"missing column 'Rh'", "element column missing"),
    (lambda r: without(r, "tx_k"), r"missing column 'tx_k'", "property column missing"),
    (lambda r: without(r, "is_bmg"), r"missing column 'is_bmg'", "flag column missing"),
    (lambda r: [], r"empty", "no rows"),
    (lambda r: changed(r, 1, "tg_k", "hot"), r"row 3, column 'tg_k': expected a number, got 'hot'", "text"),
    (lambda r: changed(r, 1, "tg_k", "650,5"), r"decimals with a point", "decimal comma"),
    (lambda r: changed(r, 1, "tg_k", "6_50"), r"expected a number", "underscore"),
    (lambda r: changed(r, 1, "tg_k", "inf"), r"expected a number", "infinite"),
    (lambda r: changed(r, 0, "tg_k", 9000), r"row 2, column 'tg_k': 9000 K is outside 200..1600", "implausible"),
    (lambda r: changed(r, 0, "dmax_mm", -1), r"outside", "negative property"),
    (lambda r: changed(r, 2, "Zr", -1), r"row 4, column 'Zr': negative amount -1", "negative amount"),
    (lambda r: changed(r, 2, "Zr", "x"), r"row 4, column 'Zr': expected a number", "amount not a number"),
    (lambda r: changed(r, 2, "Zr", ""), r"write 0 where the element is absent", "amount missing"),
    (lambda r: changed(r, 2, "Zr", "nan"), r"an amount is missing", "amount NaN"),
    (lambda r: changed(r, 0, "Zr", 30), r"row 2: the amounts sum to 65 at%, expected 100", "sum off"),
    (lambda r: changed(r, 0, "is_bmg", 2), r"column 'is_bmg': expected 1, 0 or an empty cell", "flag not 0 or 1"),
    (lambda r: [{"formula": "Qq5"} | x for x in only_formula(r)], r"unknown element 'Qq'", "formula unreadable"),
    (lambda r: only_formula(r), r"only a column 'formula'", "no composition at all"),
]


def only_formula(rows: Rows) -> Rows:
    keep = ("tg_k", "tx_k", "tl_k", "dmax_mm", "yield_strength_mpa", "youngs_modulus_gpa", "elongation_pct", "is_bmg")
    return [{k: row[k] for k in keep} for row in rows]


@pytest.mark.parametrize(("change", "words", "name"), REGRESSION, ids=[name for *_, name in REGRESSION])
def test_regression_table_is_refused(
    change: Callable[[Rows], Rows], words: str, name: str, rows: Rows, problem: DesignProblem, tmp_path: Path
) -> None:
    bad = change(rows)
    path = tmp_path / "regression.csv"
    pd.DataFrame(bad, columns=list(bad[0]) if bad else list(rows[0])).to_csv(path, index=False)
    with pytest.raises(DataError, match=words) as caught:
        load_table(path, problem, "regression")
    assert "regression.csv" in caught.value.message
    with pytest.raises(DataError, match=words):
        load_table(pd.DataFrame(bad, columns=list(rows[0]) if not bad else None, dtype=object), problem, "regression")


CLASSIFICATION: list[tuple[str, Any, str, str]] = [
    ("class", "GLASS", r"unknown class 'GLASS'; expected RMG, CRA, BMG", "unknown class"),
    ("class", "", r"unknown class ''", "class missing"),
    ("is_bmg", 0, r"contradicts class 'BMG'", "flag contradicts class"),
]


@pytest.mark.parametrize(("column", "value", "words", "name"), CLASSIFICATION, ids=[n for *_, n in CLASSIFICATION])
def test_classification_table_is_refused(
    column: str, value: Any, words: str, name: str, alloy_rows: Callable[..., Rows], problem: DesignProblem
) -> None:
    rows = alloy_rows(FORMULAS, **{"class": ["BMG", "BMG", "RMG"], "is_bmg": [1, 1, 0]})
    load_table(pd.DataFrame(rows), problem, "classification")
    with pytest.raises(DataError, match=words):
        load_table(pd.DataFrame(changed(rows, 1, column, value)), problem, "classification")


FILES: list[tuple[bytes, str, str]] = [
    (b"", "empty", "empty file"),
    (b"\n\n \n", "empty", "blank lines"),
    (b"a,b\n1,2\n", "missing column", "other table"),
    (b"a,a\n1,2\n", "duplicate column 'a'", "duplicate header"),
    (b"a,b\n1\n", "row 2: 1 cells, the header has 2", "short row"),
    (b"\xff\xfe\x00a", "can't be read", "not UTF-8"),
    (b"PK\x03\x04\x80", "can't be read", "a workbook"),
]


@pytest.mark.parametrize(("content", "words", "name"), FILES, ids=[name for *_, name in FILES])
def test_file_is_refused(content: bytes, words: str, name: str, problem: DesignProblem, tmp_path: Path) -> None:
    path = tmp_path / "regression.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_table(path, problem, "regression")


def test_duplicate_column_of_a_frame_is_refused(rows: Rows, problem: DesignProblem) -> None:
    frame = pd.DataFrame(rows)
    with pytest.raises(DataError, match="duplicate column 'Zr'"):
        load_table(pd.concat([frame, frame[["Zr"]]], axis=1), problem, "regression")


def test_missing_file_and_folder_are_named(problem: DesignProblem, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no table at .*nothing\.csv"):
        load_table(tmp_path / "nothing.csv", problem, "regression")
    with pytest.raises(DataError, match="no data folder"):
        load_data(tmp_path / "nowhere", problem)
    with pytest.raises(DataError, match=r"holds no regression\.csv; .*aimat data import"):
        load_data(tmp_path, problem)
    with pytest.raises(DataError, match="holds neither"):
        import_folder(tmp_path, tmp_path / "out", problem)


@pytest.mark.parametrize("spec", ["oracle:x", "oracle:-1", "oracle:1.5", "oracle:99999999999999", "oracle:٣"])
def test_oracle_seed_must_be_a_whole_number(spec: str, problem: DesignProblem) -> None:
    with pytest.raises(DataError, match="whole number"):
        load_data(spec, problem)


def test_configured_folder_is_never_replaced_silently(
    monkeypatch: pytest.MonkeyPatch, problem: DesignProblem, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIMAT_DATA_DIR", str(tmp_path / "gone"))
    with pytest.raises(DataError, match="gone"):
        load_data("auto", problem)


@pytest.fixture
def folder(rows: Rows, tmp_path: Path) -> Path:
    with (tmp_path / "regression.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


CHECKSUMS: list[tuple[str, str, str]] = [
    (f"{'0' * 64}  regression.csv\n", "wrong checksum 0?", "changed file"),
    (f"{'0' * 64}  other.csv\n", "other.csv is missing", "missing file"),
    (f"{'0' * 64}  ../regression.csv\n", "can't read the line", "path outside"),
    ("regression.csv\n", "can't read the line", "no checksum"),
]


@pytest.mark.parametrize(("text", "words", "name"), CHECKSUMS, ids=[name for *_, name in CHECKSUMS])
def test_checksums_are_verified(text: str, words: str, name: str, folder: Path, problem: DesignProblem) -> None:
    load_data(folder, problem)
    (folder / CHECKSUM_FILE).write_text(text)
    with pytest.raises(DataError, match=words):
        load_data(folder, problem)


WINDOWS: list[tuple[str, str]] = [
    ("{", "not JSON"),
    ("[]", "a list"),
    ("{}", "no bases"),
    ('{"bases": {"Zr": {}}}', "a base without entries"),
    (
        '{"bases": {"Zr": {"n_rows_regression_bmg": 1, "max_elements": 3, "always_present": {"Xx": [0, 1]},'
        ' "possibly_present": {}}}}',
        "unknown element",
    ),
    (
        '{"bases": {"Zr": {"n_rows_regression_bmg": 1, "max_elements": 3, "always_present": {"Zr": [50, 80]},'
        ' "possibly_present": {}}}}',
        "at% instead of fractions",
    ),
]


@pytest.mark.parametrize(("text", "name"), WINDOWS, ids=[name for _, name in WINDOWS])
def test_windows_file_is_refused(text: str, name: str, folder: Path, problem: DesignProblem) -> None:
    (folder / "bases.json").write_text(text)
    with pytest.raises(DataError, match=r"bases\.json"):
        load_data(folder, problem)


def test_no_class_anywhere_is_refused(folder: Path, problem: DesignProblem) -> None:
    frame = pd.read_csv(folder / "regression.csv")
    frame["is_bmg"] = float("nan")
    frame.to_csv(folder / "regression.csv", index=False)
    with pytest.raises(DataError, match="must say which alloys are BMG"):
        load_data(folder, problem)


def test_target_with_tables_is_not_overwritten_unasked(folder: Path, problem: DesignProblem, tmp_path: Path) -> None:
    target = tmp_path / "target"
    import_folder(folder, target, problem)
    with pytest.raises(DataError, match="already holds tables"):
        import_folder(folder, target, problem)
    import_folder(folder, target, problem, overwrite=True)


def test_unwritable_target_is_named(folder: Path, problem: DesignProblem) -> None:
    with pytest.raises(DataError, match="can't write to"):
        import_folder(folder, folder / "regression.csv" / "below", problem)


REQUESTS: list[tuple[Callable[[DesignProblem, AlloyData], Any], type[AimatError], str, str]] = [
    (lambda p, d: goal_for_base(p, d, "Qq", "glass"), ProblemError, "not a known element", "unknown base"),
    (lambda p, d: goal_for_base(p, d, "S", "glass"), ProblemError, "left out", "base without a window"),
    (lambda p, d: goal_for_base(p, d, "Zr", "gold"), ProblemError, "unknown goal 'gold'", "unknown goal"),
    (lambda p, d: goal_for_base(p, d, "Zr", "glass", 100), ProblemError, "between 0 and 100", "percentile"),
    (lambda p, d: fold_map(d.regression, d.classification, p, n_folds=9), DataError, "9 folds need", "too many folds"),
    (lambda p, d: fold_map(d.regression, d.classification, p, "odd"), DataError, "unknown split", "unknown split"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("ask", "kind", "words", "name"), REQUESTS, ids=[name for *_, name in REQUESTS])
def test_request_is_refused(
    ask: Callable[[DesignProblem, AlloyData], Any],
    kind: type[AimatError],
    words: str,
    name: str,
    folder: Path,
    problem: DesignProblem,
) -> None:
    with pytest.raises(kind, match=words):
        ask(problem, load_data(folder, problem))
