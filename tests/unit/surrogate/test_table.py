from __future__ import annotations

import csv

import pytest

from aimat_ray.errors import DataError
from aimat_ray.surrogate import table
from aimat_ray.surrogate.table import output_columns, predict_rows, predict_texts, read_rows, write_csv


def _write(path, rows, header=("id", "formula", "note")):
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def _read(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_columns_are_the_contract(problem):
    columns = output_columns(problem)
    assert columns[:2] == ("composition", "p_bmg")
    assert columns[2:5] == ("tg_k", "tg_k_lower", "tg_k_upper")
    assert columns[-6:] == (
        "in_domain", "domain_reason", "nearest_formula", "nearest_distance_at_pct", "surrogate_version", "error",
    )  # fmt: skip


def test_a_file_keeps_order_and_columns_and_marks_what_it_can_not_read(bundle, problem, tmp_path):
    rows = [["b", "Zr50Cu50", "x,y"], ["a", "Xx3", ""], ["c", "(Cu50Zr50)94Al6", "ü"], ["d", "", ""]]
    source = _write(tmp_path / "in.csv", rows)
    header, read = read_rows(source)
    n_errors = write_csv(tmp_path / "out.csv", header, predict_rows(bundle, read, problem), problem)
    out = _read(tmp_path / "out.csv")
    assert n_errors == 2
    assert [row["id"] for row in out] == ["b", "a", "c", "d"]
    assert [row["note"] for row in out] == ["x,y", "", "ü", ""]
    assert list(out[0]) == ["id", "formula", "note", *output_columns(problem)]
    assert out[0]["composition"] == "Cu50Zr50"
    assert out[0]["error"] == ""
    assert "Xx" in out[1]["error"]
    assert out[1]["tg_k"] == ""
    assert out[2]["composition"] == "Cu47Zr47Al6"
    assert out[0]["in_domain"] in ("true", "false")
    assert float(out[0]["tg_k_lower"]) <= float(out[0]["tg_k"]) <= float(out[0]["tg_k_upper"])
    assert out[0]["surrogate_version"] == bundle.version


def test_chunks_do_not_change_the_answer(bundle, problem):
    rows = [{"formula": f"Zr{50 + i}Cu{50 - i}"} for i in range(7)]
    whole = list(predict_rows(bundle, rows, problem))
    assert whole == list(predict_rows(bundle, rows, problem, chunk=2))
    assert len(whole) == 7


def test_rows_are_read_only_as_they_are_needed(bundle, problem):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield {"formula": "Zr50Cu50"}

    stream = predict_rows(bundle, endless(), problem, chunk=4)
    for _ in range(5):
        next(stream)
    assert len(asked) == 8


def test_an_input_column_with_a_predicted_name_is_kept_under_another(bundle, problem, tmp_path):
    source = _write(tmp_path / "in.csv", [["Zr50Cu50", "700"]], header=("formula", "tg_k"))
    header, read = read_rows(source)
    write_csv(tmp_path / "out.csv", header, predict_rows(bundle, read, problem), problem)
    row = _read(tmp_path / "out.csv")[0]
    assert row["tg_k_input"] == "700"
    assert row["tg_k"] != "700"


def test_the_nearest_measured_alloy_is_named(bundle, alloys, problem):
    from aimat_ray.data.composition import format_formula

    formula = format_formula(alloys.regression.at_frac[3], problem.elements)
    row = predict_texts(bundle, [formula], problem)[0]
    assert row["nearest_formula"] == formula
    assert row["nearest_distance_at_pct"] < 0.2


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("id", "alloy"), "expected a column 'formula'"),
        ((), "expected a column 'formula'"),
        (("formula", "x", "x"), "'x' appears more than once"),
    ],
)
def test_a_file_without_usable_header_is_refused(tmp_path, header, message):
    with pytest.raises(DataError, match=message):
        read_rows(_write(tmp_path / "in.csv", [], header=header))


def test_other_file_trouble_is_named(bundle, problem, tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        read_rows(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="can't be read"):
        read_rows(tmp_path / "binary.csv")
    _, rows = read_rows(_write(tmp_path / "long.csv", [["a", "Zr50Cu50", "n", "surplus"]]))
    with pytest.raises(DataError, match="row 2: more cells than columns"):
        list(rows)
    with pytest.raises(DataError, match="can't be written"):
        write_csv(tmp_path / "long.csv" / "out.csv", [], [], problem)


def test_a_byte_order_mark_is_not_part_of_the_header(tmp_path):
    (tmp_path / "in.csv").write_bytes(b"\xef\xbb\xbfformula\nZr50Cu50\n")
    assert read_rows(tmp_path / "in.csv")[0] == ["formula"]


def test_chunk_size_bounds_memory():
    assert table.CHUNK_ROWS <= 10_000
