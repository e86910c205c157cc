"""Bringing published tables into the form that `sources.load_data` reads: import from a folder, or fetch.

The published workbooks carry no licence: they are never part of this package, and a fetched copy stays with its user.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aimat_ray.data.measurements import Kind, load_table
from aimat_ray.data.windows import compute_windows, ranges_of, read_windows, windows_document
from aimat_ray.errors import DataError
from aimat_ray.problem import DesignProblem

COMMIT = "3b2f078f1a4510656cc204dd93595afcc6143166"
BASE_URL = f"https://raw.githubusercontent.com/yuyouyu32/AIMatDesign/{COMMIT}/data/"
LICENCE_NOTICE = (
    "The source repository (github.com/yuyouyu32/AIMatDesign) states no licence: use the data for research and cite "
    "the paper (AIMATDESIGN, npj Computational Materials; labels: Xiong et al. 2020, Ward et al. 2018); do not "
    "republish them."
)
REGISTRY: dict[str, str] = {
    "ALL_data_cls.xlsx": "57d066a7cc477f509c61765b7bcff47b5990eac5222f28b3ddb783d2dea73119",
    "ALL_data_grouped_processed.xlsx": "830669ae99cba5a7d65df60745d18dcd6ff087fde5ab3f4862d12db6064d58a0",
    "base_matrix.json": "e27f63a6963bd23a28008a74e1e5ae2bd0eabb2f6468cd4c4011d9684c826a19",
}
CHECKSUM_FILE = "SHA256SUMS"
TABLES: dict[Kind, str] = {"regression": "regression.csv", "classification": "classification.csv"}
WINDOWS_FILE = "bases.json"
WORKBOOKS: dict[Kind, str] = {
    "regression": "ALL_data_grouped_processed.xlsx",
    "classification": "ALL_data_cls.xlsx",
}
RANGES_FILE = "base_matrix.json"

# Names of the published columns. The elongation starts with GREEK CAPITAL EPSILON, not a Latin E; both are read.
HEADERS: dict[str, str] = {
    "BMGs": "formula_raw",
    "GFA": "formula_raw",
    "Chemical composition": "formula_source",
    "Class": "class",
    "cls_label": "is_bmg",
    "Dmax(mm)": "dmax_mm",
    "Tg(K)": "tg_k",
    "Tx(K)": "tx_k",
    "Tl(K)": "tl_k",
    "yield(MPa)": "yield_strength_mpa",
    "Modulus (GPa)": "youngs_modulus_gpa",
    "\u0395(%)": "elongation_pct",
    "E(%)": "elongation_pct",
}

Columns = dict[str, list[Any]]


def user_data_folder() -> Path:
    """Where a fetched or imported copy is kept by default: in the platform's folder for user data."""
    import platformdirs

    return Path(platformdirs.user_data_dir("aimat-ray", appauthor=False)) / "measured"


def import_folder(source: str | Path, target: str | Path, problem: DesignProblem, overwrite: bool = False) -> Path:
    """Convert the published workbooks, or tables in CSV form, to regression.csv, classification.csv and bases.json.

    Values are not changed: no row is fixed, dropped or reordered, and numbers are written as the shortest decimal
    that reads back to the same double. Windows come from base_matrix.json (or bases.json) where there is one, else
    from the feasible rows.

    Args:
        source: Folder with the files, or with them in `data/` or `source/`.
        target: Folder to write to; made if missing.
        problem: Names elements, properties and classes.
        overwrite: Replace tables that are already in `target`.

    Returns:
        The target folder, which also gets a SHA256SUMS.

    Raises:
        DataError: A file is missing or does not fit, or the target can't be written.
    """
    folder, target = _source_folder(Path(source)), Path(target)
    if not overwrite and any((target / name).exists() for name in TABLES.values()):
        raise DataError(f"{target} already holds tables; choose another folder, or ask to overwrite them")
    read = _workbook_tables if (folder / WORKBOOKS["regression"]).is_file() else _csv_tables
    tables = read(folder, problem)
    documents = {TABLES[kind]: _csv_text(columns) for kind, columns in tables.items()}
    documents[WINDOWS_FILE] = _windows_text(folder, tables, problem)
    documents[CHECKSUM_FILE] = "".join(
        f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in documents.items()
    )
    _write(target, documents)
    return target


def fetch(
    target: str | Path | None = None,
    problem: DesignProblem | None = None,
    base_url: str = BASE_URL,
    registry: Mapping[str, str] | None = None,
) -> Path:
    """Download the published workbooks at a pinned commit, check their sha256, and convert them.

    Args:
        target: Folder for the converted tables; the user's data folder by default. Downloads go to `source/` in it.
        problem: Names elements, properties and classes; the built-in one by default.
        base_url: Folder of the files, ending in a slash.
        registry: sha256 per file name.

    Returns:
        The folder of the converted tables.

    Raises:
        DataError: No answer, an error status, or a file that does not match its checksum.
    """
    from aimat_ray.problem import load_problem

    folder = Path(target) if target is not None else user_data_folder()
    for name, digest in (registry or REGISTRY).items():
        _download(base_url.rstrip("/") + "/" + name, digest, folder / "source" / name)
    return import_folder(folder / "source", folder, problem or load_problem(), overwrite=True)


def checksums(folder: Path) -> dict[str, str]:
    """The sha256 per file that the folder's SHA256SUMS lists.

    Raises:
        DataError: A line can't be read, or names a file outside the folder.
    """
    listing = folder / CHECKSUM_FILE
    found = {}
    for line in listing.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.strip().partition(" ")
        name = name.strip().lstrip("*")
        if line.strip():
            if len(digest) != 64 or Path(name).name != name:
                raise DataError(f"{listing}: can't read the line {line[:80]!r}; expected 'SHA256  FILE'")
            found[name] = digest.lower()
    return found


def check_sums(folder: Path) -> None:
    """Verify the files that a SHA256SUMS in the folder lists; nothing to do without one.

    Raises:
        DataError: A file is missing, differs from its checksum, or the list can't be read.
    """
    if not (folder / CHECKSUM_FILE).is_file():
        return
    for name, digest in checksums(folder).items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing, but {CHECKSUM_FILE} lists it; fetch or import the data again")
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        if actual != digest:
            raise DataError(
                f"{path}: wrong checksum {actual[:12]}..., {CHECKSUM_FILE} says {digest[:12]}...; the file was "
                f"changed: fetch or import the data again, or delete {CHECKSUM_FILE} to use the file as your own table"
            )


def _download(url: str, digest: str, path: Path) -> None:
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        downloader = pooch.HTTPDownloader(progressbar=False, timeout=60)
        pooch.retrieve(url, known_hash=f"sha256:{digest}", fname=path.name, path=path.parent, downloader=downloader)
    except requests.RequestException as error:
        hint = "check the network, or import a copy from a folder"
        raise DataError(f"can't download {url}: {error}; {hint}") from error
    except ValueError as error:
        message = f"{url}: wrong checksum; expected sha256 {digest[:12]}..., nothing was kept"
        raise DataError(message) from error
    except OSError as error:
        raise DataError(f"can't write {path}: {error}") from error


def _source_folder(source: Path) -> Path:
    names = (WORKBOOKS["regression"], TABLES["regression"])
    if not source.is_dir():
        raise DataError(f"no folder {source}; expected one with {' or '.join(names)}")
    for name in names:
        for folder in (source, source / "data", source / "source"):
            if (folder / name).is_file():
                return folder
    raise DataError(f"{source} holds neither {names[0]} nor {names[1]}")


def _workbook_tables(folder: Path, problem: DesignProblem) -> dict[Kind, Columns]:
    return {kind: _published(_read_workbook(folder / name), kind, problem) for kind, name in WORKBOOKS.items()}


def _read_workbook(path: Path) -> Columns:
    """Cells of the first sheet by header; None where empty."""
    import zipfile

    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    if not path.is_file():
        raise DataError(f"{path} is missing; expected the published workbook")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            rows = list(book.worksheets[0].iter_rows(values_only=True))
        finally:
            book.close()
    except (zipfile.BadZipFile, InvalidFileException, OSError, KeyError, ValueError, IndexError) as error:
        raise DataError(f"{path}: can't be read as a workbook: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path}: the table is empty; expected a header row and at least one alloy")
    header = [str(name).strip() for name in rows[0]]
    if len(set(header)) != len(header):
        raise DataError(f"{path}: duplicate column in the header; each name may appear once")
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(header)}


def _published(cells: Columns, kind: Kind, problem: DesignProblem) -> Columns:
    """Columns of a published workbook under our names, in our order."""
    named = {HEADERS.get(name, name): values for name, values in cells.items()}
    needed = ["formula_raw", "formula_source", *problem.elements]
    needed += [*problem.property_keys] if kind == "regression" else [problem.feasibility.label_column]
    needed.append(problem.feasibility.flag_column)
    missing = [name for name in needed if name not in named]
    if missing:
        raise DataError(f"the {kind} workbook has no column for {missing[0]!r}; its columns are: {', '.join(cells)}")
    n_rows = len(named["formula_raw"])
    columns: Columns = {"source_row": list(range(2, n_rows + 2))}
    columns |= {name: named[name] for name in ("formula_raw", "formula_source")}
    columns["composition"] = _formulas(named, problem, kind)
    return columns | {name: named[name] for name in needed[2:]}


def _formulas(named: Columns, problem: DesignProblem, kind: Kind) -> list[str]:
    """Amounts of every row as a formula, at% with two decimals, largest first; not rescaled."""
    import pandas as pd

    load_table(pd.DataFrame(named, dtype=object), problem, kind)  # names the first cell that is wrong
    rows = zip(*(named[symbol] for symbol in problem.elements), strict=True)
    return [_formula([float(amount) for amount in row], problem.elements) for row in rows]


def _formula(at_pct: Sequence[float], elements: Sequence[str]) -> str:
    order = sorted(range(len(elements)), key=lambda i: -at_pct[i])
    return "".join(f"{elements[i]}{_text(round(at_pct[i], 2))}" for i in order if at_pct[i] > 0)


def _csv_tables(folder: Path, problem: DesignProblem) -> dict[Kind, Columns]:
    """Tables in CSV form as they are, after a check."""
    tables: dict[Kind, Columns] = {}
    for kind, name in TABLES.items():
        path = folder / name
        if kind == "classification" and not path.is_file():
            continue
        load_table(path, problem, kind)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header, *rows = [line for line in csv.reader(stream) if any(cell.strip() for cell in line)]
        tables[kind] = {key.strip(): [row[i].strip() for row in rows] for i, key in enumerate(header)}
    return tables


def _windows_text(folder: Path, tables: Mapping[Kind, Columns], problem: DesignProblem) -> str:
    import pandas as pd

    if (folder / WINDOWS_FILE).is_file():
        read_windows(folder / WINDOWS_FILE, problem)
        return (folder / WINDOWS_FILE).read_text(encoding="utf-8")
    regression, labelled = (
        load_table(pd.DataFrame(tables[kind], dtype=object), problem, kind) if kind in tables else None
        for kind in TABLES
    )
    assert regression is not None
    if (folder / RANGES_FILE).is_file():
        ranges = _read_ranges(folder / RANGES_FILE, problem)
    else:
        ranges = ranges_of(compute_windows(regression, problem), problem)
    document = windows_document(ranges, regression, labelled or regression, problem)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _read_ranges(path: Path, problem: DesignProblem) -> dict[str, tuple[dict[str, Any], dict[str, Any], int]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        ranges = {base: (dict(entry[0]), dict(entry[1]), int(entry[2])) for base, entry in document.items()}
    except (OSError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: does not fit the form of the published base_matrix.json: {error}") from error
    unknown = {s for always, possibly, _ in ranges.values() for s in (*always, *possibly)} | set(ranges)
    unknown -= set(problem.elements)
    if unknown:
        raise DataError(f"{path}: unknown element {min(unknown)!r}")
    return ranges


def _csv_text(columns: Columns) -> str:
    """CSV with LF line ends; None is an empty cell."""
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    texts: Iterable[list[str]] = ([_text(value) for value in values] for values in columns.values())
    writer.writerows(zip(*texts, strict=True))
    return stream.getvalue()


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value).strip()


def _write(target: Path, documents: Mapping[str, str]) -> None:
    """Write the files; each appears whole or not at all, the checksums last."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in documents.items():
            part = target / f".{name}.part"
            part.write_text(text, encoding="utf-8", newline="\n")
            part.replace(target / name)
        for name in {*TABLES.values(), WINDOWS_FILE} - set(documents):
            (target / name).unlink(missing_ok=True)  # left by an earlier import; would be read as part of this one
    except OSError as error:
        raise DataError(f"can't write to {target}: {error}; choose a folder that can be written") from error
