"""Import of published workbooks, and fetching them over HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.data.upstream import CHECKSUM_FILE, RANGES_FILE, WORKBOOKS, fetch, import_folder
from aimat_ray.errors import DataError
from aimat_ray.problem import DesignProblem

# The published order of the targets, with the elongation's GREEK CAPITAL EPSILON.
TARGETS = ("Dmax(mm)", "Tg(K)", "Tx(K)", "Tl(K)", "yield(MPa)", "Modulus (GPa)", "\u0395(%)")


def write_workbook(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    for row in (header, *rows):
        sheet.append(row)
    book.save(path)
    book.close()


@pytest.fixture
def published(tmp_path: Path, problem: DesignProblem) -> Path:
    """A folder that looks like the published one, with invented alloys."""
    folder = tmp_path / "published"
    folder.mkdir()
    amounts = [
        [{"Zr": 65, "Cu": 35}.get(s, 0) for s in problem.elements],
        [{"Fe": 80.5, "B": 19.5}.get(s, 0) for s in problem.elements],
    ]
    targets = [[3.5, 650, None, 1100, None, 90.25, 2], [None] * 5 + [170, None]]
    elements = list(problem.elements)
    write_workbook(
        folder / WORKBOOKS["regression"],
        ["BMGs", "Chemical composition", *TARGETS, *elements, "cls_label"],
        [["Zr65Cu35", "Zr65.0Cu35.0", *targets[0], *amounts[0], 1], ["Fe80.5B19.5", None, *targets[1], *amounts[1], 0]],
    )
    write_workbook(
        folder / WORKBOOKS["classification"],
        ["Chemical composition", *elements, "Class", "GFA", "cls_label"],
        [["Zr65Cu35", *amounts[0], "BMG", "Zr65Cu35", 1], ["Fe80.5B19.5", *amounts[1], "RMG", "Fe80.5B19.5", 0]],
    )
    ranges = {"Zr": [{"Zr": [0.52, 0.78]}, {"Cu": [0.0, 0.42]}, 2]}
    (folder / RANGES_FILE).write_text(json.dumps(ranges))
    return folder


def test_workbooks_become_tables(published: Path, tmp_path: Path, problem: DesignProblem) -> None:
    target = import_folder(published, tmp_path / "out", problem)
    frame = pd.read_csv(target / "regression.csv", dtype=str, keep_default_na=False)
    assert list(frame.columns[:4]) == ["source_row", "formula_raw", "formula_source", "composition"]
    assert tuple(frame.columns[4:56]) == problem.elements
    assert tuple(frame.columns[56:]) == (*problem.property_keys, "is_bmg")
    first = frame.iloc[0]
    assert first[list(problem.property_keys)].tolist() == ["650", "", "1100", "3.5", "", "90.25", "2"]
    assert frame.iloc[1]["composition"] == "Fe80.5B19.5"
    data = load_data(target, problem)
    assert data.windows["Zr"].n_rows == 1
    assert data.windows["Zr"].upper[problem.element_index["Cu"]] == 0.42
    assert data.classification.label == ("BMG", "RMG")


def test_imported_tables_are_guarded_by_their_checksums(
    published: Path, tmp_path: Path, problem: DesignProblem
) -> None:
    target = import_folder(published, tmp_path / "out", problem)
    assert len((target / CHECKSUM_FILE).read_text().splitlines()) == 3
    with (target / "regression.csv").open("a") as stream:
        stream.write("\n")
    with pytest.raises(DataError, match="wrong checksum"):
        load_data(target, problem)


def test_importing_a_copy_changes_nothing(published: Path, tmp_path: Path, problem: DesignProblem) -> None:
    first = import_folder(published, tmp_path / "a", problem)
    second = import_folder(first, tmp_path / "b", problem)
    for name in ("regression.csv", "classification.csv", "bases.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (WORKBOOKS["regression"], b"not a workbook", "can't be read as a workbook"),
        (WORKBOOKS["classification"], None, "is missing"),
        (RANGES_FILE, b"{", "base_matrix.json"),
        (RANGES_FILE, b'{"Xx": [{}, {}, 3]}', "unknown element 'Xx'"),
        (RANGES_FILE, b'{"Zr": [1, 2, 3]}', "base_matrix.json"),
    ],
)
def test_damaged_source_is_refused(
    name: str, content: bytes | None, words: str, published: Path, tmp_path: Path, problem: DesignProblem
) -> None:
    if content is None:
        (published / name).unlink()
    else:
        (published / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        import_folder(published, tmp_path / "out", problem)
    assert not (tmp_path / "out").exists()


def test_workbook_without_a_target_is_refused(published: Path, tmp_path: Path, problem: DesignProblem) -> None:
    write_workbook(published / WORKBOOKS["regression"], ["BMGs", "Chemical composition"], [["Zr65Cu35", None]])
    with pytest.raises(DataError, match="regression workbook has no column for 'Ni'"):
        import_folder(published, tmp_path / "out", problem)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(published: Path) -> Iterator[str]:
    """Serves the published folder on this machine."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(published)))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}/"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_fetch_downloads_verifies_and_converts(
    server: str, published: Path, tmp_path: Path, problem: DesignProblem
) -> None:
    folder = fetch(tmp_path / "user", problem, server, digests(published))
    assert len(load_data(folder, problem).regression) == 2
    fetch(tmp_path / "user", problem, server, digests(published))  # a second time is fine


def test_fetch_refuses_a_wrong_checksum(server: str, published: Path, tmp_path: Path, problem: DesignProblem) -> None:
    with pytest.raises(DataError, match="wrong checksum"):
        fetch(tmp_path / "user", problem, server, digests(published) | {RANGES_FILE: "0" * 64})
    assert not (tmp_path / "user" / "source" / RANGES_FILE).exists()
    assert not (tmp_path / "user" / "regression.csv").exists()


def test_fetch_names_what_is_not_there(server: str, tmp_path: Path, problem: DesignProblem) -> None:
    with pytest.raises(DataError, match=r"can't download .*nothing\.xlsx.*404"):
        fetch(tmp_path / "user", problem, server, {"nothing.xlsx": "0" * 64})


def test_fetch_without_a_server_is_one_message(server: str, tmp_path: Path, problem: DesignProblem) -> None:
    with pytest.raises(DataError, match="check the network"):
        fetch(tmp_path / "user", problem, "http://127.0.0.1:9/", {"a.xlsx": "0" * 64})


@pytest.mark.real_data
def test_real_workbooks_give_the_stored_tables(
    real_data_dir: Path, real_data: AlloyData, tmp_path: Path, problem: DesignProblem
) -> None:
    if not (real_data_dir / "source").is_dir():
        pytest.skip("no workbooks beside the tables")
    target = import_folder(real_data_dir / "source", tmp_path / "out", problem)
    for name in ("regression.csv", "classification.csv"):
        assert (target / name).read_bytes() == (real_data_dir / name).read_bytes()
    ours, stored = (json.loads((folder / "bases.json").read_text())["bases"] for folder in (target, real_data_dir))
    assert ours == stored
    assert list(ours) == list(stored)
    assert load_data(target, problem).checksum == real_data.checksum
