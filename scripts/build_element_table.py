"""Build the packaged element table and pair enthalpies from pymatgen, matminer and mendeleev.

The package itself needs none of these: it reads the CSV files that this script writes. Run it only to refresh
them, in an environment of its own (matminer 0.10.1 needs pandas < 3, the package needs pandas 3):

    python3.11 -m venv /tmp/element-table
    /tmp/element-table/bin/pip install "pandas<3" pyyaml pymatgen==2026.10.24 matminer==0.10.1 mendeleev==1.3.0
    /tmp/element-table/bin/python scripts/build_element_table.py --check     # compare with what is packaged
    /tmp/element-table/bin/python scripts/build_element_table.py             # rewrite it

The output depends only on the versions of the three packages, so a second run changes no byte. A value that
the source does not give stays empty in the CSV; nothing is imputed. `*_filled_*` columns are the exception, and
say so: they complete a modulus by the isotropic relations between moduli and leave the rest empty.

Traps that this script steps around: matminer's `MixingEnthalpy` replaces missing pairs by means unless told
otherwise, its `WenAlloys` feature has the sign of the mixing enthalpy reversed, `MagpieData` imputes missing values
(bulk modulus of Zr) and counts filled 4f shells as valence electrons. So the raw tables are read instead.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "aimat_ray" / "data" / "tables"
PROBLEM = ROOT / "aimat_ray" / "problems" / "bmg.yaml"
NAN = math.nan
METALLOIDS = frozenset({"B", "C", "Si", "P", "Ge", "S"})
# Relative error of E = 2 G (1 + nu) beyond which a shear modulus is a misprint of the source (Mo: 20 GPa).
SHEAR_TOLERANCE = 0.5


class Sources:
    """The opened source tables; every getter below takes this and an element."""

    def __init__(self) -> None:
        import matminer.utils.data as matminer_data
        from mendeleev.fetch import fetch_table
        from pymatgen.core import Element

        self.element = Element
        self.folder = Path(matminer_data.__file__).parent / "data_files"
        self.mendeleev = fetch_table("elements").set_index("symbol")
        self.cohesive = yaml.safe_load((self.folder / "cohesive_energies.json").read_text(encoding="utf-8"))

    def pymatgen(self, symbol: str, field: str, scale: float = 1.0) -> float:
        """A pymatgen `Element` attribute; NaN where there is none."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return number(getattr(self.element(symbol), field)) * scale

    def table(self, symbol: str, field: str) -> float:
        """One line of a raw Magpie table (line number = atomic number); text such as 'Missing' is NaN."""
        path = self.folder / "magpie_elementdata" / f"{field}.table"
        return number(path.read_text(encoding="utf-8").splitlines()[self.element(symbol).Z - 1])

    def mendeleev_value(self, symbol: str, field: str, scale: float = 1.0) -> float:
        """A column of mendeleev's element table."""
        return number(self.mendeleev.loc[symbol, field]) * scale


def number(value: Any) -> float:
    """A float, or NaN where the source holds no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return NAN


def shell(sources: Sources, symbol: str, letter: str) -> float:
    """Valence electrons in one subshell: outermost s and p, the d of groups 3-12, the 4f of lanthanides."""
    element = sources.element(symbol)
    orbitals = {(n, kind): count for n, kind, count in element.full_electronic_structure}
    outer = max(n for n, _ in orbitals)
    # Pd is 4d10 without 5s: its outermost occupied shell is one below its period.
    outer = max(outer, element.row)
    wanted = {"s": outer, "p": outer, "d": outer - 1, "f": outer - 2}[letter]
    if (letter == "d" and element.group > 12) or (letter == "f" and not element.is_lanthanoid):
        return 0.0
    return float(orbitals.get((wanted, letter), 0))


def vec(sources: Sources, symbol: str) -> float:
    """Electrons beyond the noble-gas core without f electrons and without a filled d core."""
    group = sources.element(symbol).group
    return float(group if group <= 12 else group - 10)


def vec_with_f(sources: Sources, symbol: str) -> float:
    """The same with 4f electrons counted for lanthanides: electrons beyond the xenon core."""
    element = sources.element(symbol)
    return float(element.Z - 54) if element.is_lanthanoid else vec(sources, symbol)


def shear(sources: Sources, symbol: str) -> float:
    """Shear modulus, left out where it contradicts Young's modulus and Poisson's ratio of the same source."""
    g = sources.pymatgen(symbol, "rigidity_modulus")
    young, nu = (sources.pymatgen(symbol, f) for f in ("youngs_modulus", "poissons_ratio"))
    implied = 2 * g * (1 + nu)
    return NAN if math.isfinite(implied) and abs(implied - young) > SHEAR_TOLERANCE * young else g


def first(*values: float) -> float:
    """The first finite value."""
    return next((v for v in values if math.isfinite(v)), NAN)


def bulk_filled(sources: Sources, symbol: str) -> float:
    """Bulk modulus of the source, else E / (3 (1 - 2 nu))."""
    young, nu = (sources.pymatgen(symbol, f) for f in ("youngs_modulus", "poissons_ratio"))
    return first(sources.pymatgen(symbol, "bulk_modulus"), young / (3 * (1 - 2 * nu)))


def shear_filled(sources: Sources, symbol: str) -> float:
    """Shear modulus of the source, else E / (2 (1 + nu)), else 3 K E / (9 K - E)."""
    young, nu = (sources.pymatgen(symbol, f) for f in ("youngs_modulus", "poissons_ratio"))
    bulk = sources.pymatgen(symbol, "bulk_modulus")
    return first(shear(sources, symbol), young / (2 * (1 + nu)), 3 * bulk * young / (9 * bulk - young))


PYMATGEN, MENDELEEV, MAGPIE = "pymatgen Element", "mendeleev elements table", "matminer raw Magpie table"
PM = 100.0  # Angstrom to picometre

# column, unit, package, field, note, getter
Column = tuple[str, str, str, str, str, Callable[[Sources, str], float]]


def simple(name: str, unit: str, package: str, field: str, scale: float = 1.0, note: str = "") -> Column:
    """A column that is one field of one package, scaled to our unit."""
    getters: dict[str, Callable[[Sources, str], float]] = {
        PYMATGEN: lambda s, e: s.pymatgen(e, field, scale),
        MENDELEEV: lambda s, e: s.mendeleev_value(e, field, scale),
        MAGPIE: lambda s, e: s.table(e, field) * scale,
    }
    return (name, unit, package, field, note, getters[package])


COLUMNS: tuple[Column, ...] = (
    simple("atomic_number", "1", PYMATGEN, "Z"),
    simple("atomic_mass", "u", PYMATGEN, "atomic_mass"),
    simple("period", "1", PYMATGEN, "row"),
    simple("group", "1", PYMATGEN, "group", note="lanthanides count as group 3"),
    simple("mendeleev_number", "1", PYMATGEN, "mendeleev_no", note="Pettifor's chemical scale order"),
    simple("packing_radius", "pm", MAGPIE, "MiracleRadius", note="packing radii in metallic glasses"),
    simple("atomic_radius", "pm", PYMATGEN, "atomic_radius", PM, "empirical radii after Slater"),
    simple("metallic_radius", "pm", PYMATGEN, "metallic_radius", PM, "empty for metalloids, Sn and Pb"),
    simple("covalent_radius", "pm", MENDELEEV, "covalent_radius_cordero", note="Cordero et al. 2008"),
    simple("en_pauling", "1", PYMATGEN, "X", note="Tb and Yb are estimates of the source"),
    simple("en_allen", "eV", MENDELEEV, "en_allen", note="empty for lanthanides; Magpie's are not Allen's"),
    simple("en_miedema", "V", MENDELEEV, "en_miedema", note="Miedema's phi*"),
    simple("electron_density_miedema", "d.u.", MENDELEEV, "miedema_electron_density", note="Miedema's n_ws"),
    simple("molar_volume_miedema", "cm3/mol", MENDELEEV, "miedema_molar_volume"),
    simple("ionization_energy", "eV", PYMATGEN, "ionization_energy", note="first"),
    simple("electron_affinity", "eV", PYMATGEN, "electron_affinity"),
    simple("polarizability", "a.u.", MENDELEEV, "dipole_polarizability"),
    ("valence_s", "1", PYMATGEN, "full_electronic_structure", "electrons in the outermost s subshell",
     lambda s, e: shell(s, e, "s")),
    ("valence_p", "1", PYMATGEN, "full_electronic_structure", "electrons in the outermost p subshell",
     lambda s, e: shell(s, e, "p")),
    ("valence_d", "1", PYMATGEN, "full_electronic_structure", "d electrons of groups 3-12; a filled d core counts 0",
     lambda s, e: shell(s, e, "d")),
    ("valence_f", "1", PYMATGEN, "full_electronic_structure", "4f electrons of lanthanides; a filled 4f core counts 0",
     lambda s, e: shell(s, e, "f")),
    ("vec", "1", PYMATGEN, "group", "group number, less 10 for the p block: no f electrons", vec),
    ("vec_with_f", "1", PYMATGEN, "Z", "as vec, lanthanides Z - 54", vec_with_f),
    simple("melting_point", "K", PYMATGEN, "melting_point"),
    simple("boiling_point", "K", PYMATGEN, "boiling_point"),
    simple("heat_of_fusion", "kJ/mol", MAGPIE, "HeatFusion", note="per mole of atoms, unlike mendeleev's"),
    simple("heat_of_vaporization", "kJ/mol", MAGPIE, "HeatVaporization", note="P and S per mole of molecules"),
    simple("heat_of_atomization", "kJ/mol", MENDELEEV, "heat_of_formation", note="enthalpy of the gaseous atom"),
    ("cohesive_energy", "eV", "matminer cohesive_energies.json", "", "per atom",
     lambda s, e: number(s.cohesive.get(e))),
    simple("heat_capacity", "J/(mol K)", MENDELEEV, "molar_heat_capacity", note="298 K"),
    simple("thermal_conductivity", "W/(m K)", PYMATGEN, "thermal_conductivity"),
    simple("thermal_expansion", "1e-6/K", PYMATGEN, "coefficient_of_linear_thermal_expansion", 1e6),
    simple("density", "g/cm3", PYMATGEN, "density_of_solid", 1e-3),
    simple("molar_volume", "cm3/mol", PYMATGEN, "molar_volume"),
    simple("speed_of_sound", "m/s", PYMATGEN, "velocity_of_sound"),
    simple("youngs_modulus", "GPa", PYMATGEN, "youngs_modulus"),
    simple("bulk_modulus", "GPa", PYMATGEN, "bulk_modulus", note="empty for Zr, which Magpie would impute"),
    ("shear_modulus", "GPa", PYMATGEN, "rigidity_modulus",
     "left out where 2 G (1 + nu) misses E by more than half (Mo)", shear),
    simple("poissons_ratio", "1", PYMATGEN, "poissons_ratio"),
    ("bulk_modulus_filled", "GPa", "derived", "bulk_modulus", "bulk_modulus, else E / (3 (1 - 2 nu))", bulk_filled),
    ("shear_modulus_filled", "GPa", "derived", "shear_modulus",
     "shear_modulus, else E / (2 (1 + nu)), else 3 K E / (9 K - E)", shear_filled),
    ("is_metalloid", "0/1", "defined here", "", "B C Si P Ge S", lambda s, e: float(e in METALLOIDS)),
    ("is_rare_earth", "0/1", "defined here", "", "Sc, Y and the lanthanides",
     lambda s, e: float(s.element(e).is_rare_earth)),
    ("is_early_tm", "0/1", "defined here", "", "groups 4-6",
     lambda s, e: float(s.element(e).group in (4, 5, 6))),
    ("is_late_tm", "0/1", "defined here", "", "groups 7-11",
     lambda s, e: float(s.element(e).group in (7, 8, 9, 10, 11))),
)  # fmt: skip


def text(value: float) -> str:
    """Shortest text that keeps ten significant digits; empty for NaN."""
    return format(value, ".10g") if math.isfinite(value) else ""


def csv_text(header: list[str], rows: list[list[str]]) -> str:
    """One CSV document with LF line ends."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    return buffer.getvalue()


def element_csv(sources: Sources, elements: list[str]) -> str:
    """The element table, elements in atomic-number order."""
    ordered = sorted(elements, key=lambda e: sources.element(e).Z)
    rows = [[e, *(text(getter(sources, e)) for *_, getter in COLUMNS)] for e in ordered]
    return csv_text(["symbol", *(name for name, *_ in COLUMNS)], rows)


def pair_csv(sources: Sources, elements: list[str]) -> str:
    """Liquid pair enthalpies at equal amounts, kJ/mol, one row per pair; pairs without a value are absent."""
    lines = (sources.folder / "MiedemaLiquidDeltaHf.tsv").read_text(encoding="utf-8").splitlines()[1:]
    wanted = {e: sources.element(e).Z for e in elements}
    rows = []
    for first_element, second, value in (line.split() for line in lines if line.strip()):
        if first_element in wanted and second in wanted and math.isfinite(number(value)):
            pair = sorted((first_element, second), key=wanted.__getitem__)
            rows.append([*pair, text(float(value))])
    rows.sort(key=lambda row: (wanted[row[0]], wanted[row[1]]))
    return csv_text(["element_a", "element_b", "h_mix_kj_mol"], rows)


def sources_yaml() -> str:
    """Where each column comes from."""
    columns = {
        name: {"unit": unit, "source": package} | ({"field": field} if field else {}) | ({"note": note} if note else {})
        for name, unit, package, field, note, _ in COLUMNS
    }
    document = {
        "packages": {name: version(name) for name in ("matminer", "mendeleev", "pymatgen")},
        "built_by": "scripts/build_element_table.py",
        "columns": columns,
        "pair_enthalpy": {
            "unit": "kJ/mol",
            "source": "matminer MiedemaLiquidDeltaHf.tsv",
            "reference": "A. Takeuchi, A. Inoue, Mater. Trans. 46, 2817 (2005)",
            "note": "value at equal amounts; H_mix = sum over pairs of 4 c_i c_j H_ij; pairs with S are missing",
        },
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def check(elements_text: str, pairs_text: str) -> None:
    """Refuse to write a table that lost its sign or a column."""
    pairs = {frozenset(r[:2]): float(r[2]) for r in csv.reader(io.StringIO(pairs_text)) if r[2][-1].isdigit()}
    alloy = {"Zr": 0.6, "Cu": 0.2, "Al": 0.1, "Ni": 0.1}
    enthalpy = sum(4 * alloy[a] * alloy[b] * pairs[frozenset((a, b))] for a in alloy for b in alloy if a < b)
    if not math.isclose(enthalpy, -34.0, abs_tol=1e-9):
        raise SystemExit(f"Zr60Cu20Al10Ni10 mixes at {enthalpy} kJ/mol, expected -34.0: check the sign of the source")
    if len(elements_text.splitlines()) != 53:
        raise SystemExit("expected 52 elements")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare with the packaged files")
    arguments = parser.parse_args()
    sources = Sources()
    elements = yaml.safe_load(PROBLEM.read_text(encoding="utf-8"))["elements"]
    documents = {
        "elements.csv": element_csv(sources, elements),
        "pair_enthalpy.csv": pair_csv(sources, elements),
        "sources.yaml": sources_yaml(),
    }
    check(documents["elements.csv"], documents["pair_enthalpy.csv"])
    for name, document in documents.items():
        path = TABLES / name
        same = path.is_file() and path.read_text(encoding="utf-8") == document
        if arguments.check and not same:
            raise SystemExit(f"{path} differs from what the sources give")
        if not same:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(document, encoding="utf-8", newline="\n")
        print(f"{name}: {'unchanged' if same else 'written'}")


if __name__ == "__main__":
    main()
