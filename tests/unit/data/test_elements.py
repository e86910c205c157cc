from __future__ import annotations

import numpy as np
import pytest

from aimat_ray.data.elements import load_element_table, load_pair_enthalpies
from aimat_ray.errors import CompositionError, DataError
from aimat_ray.problem import load_problem

ELEMENTS = load_problem().elements


def test_the_table_covers_every_element_of_the_problem_in_its_order() -> None:
    table = load_element_table(ELEMENTS)
    assert table.symbols == ELEMENTS
    assert table.values.shape == (52, len(table.columns))
    assert set(table.sources) == set(table.columns) and all(table.sources.values())


def test_missing_values_stay_visible() -> None:
    table = load_element_table(ELEMENTS)
    at = ELEMENTS.index
    # Magpie imputes the bulk modulus of zirconium; the completed column gives E / (3 (1 - 2 nu)) = 68 / 0.96.
    assert np.isnan(table.column("bulk_modulus")[at("Zr")])
    assert table.column("bulk_modulus_filled")[at("Zr")] == pytest.approx(68 / 0.96)
    # The source's 20 GPa for molybdenum contradicts its E and nu: 329 / (2 * 1.31).
    assert np.isnan(table.column("shear_modulus")[at("Mo")])
    assert table.column("shear_modulus_filled")[at("Mo")] == pytest.approx(329 / 2.62)
    complete = ("packing_radius", "en_pauling", "melting_point", "heat_of_fusion", "molar_volume", "vec")
    assert all(np.isfinite(table.column(name)).all() for name in complete)


@pytest.mark.parametrize(
    ("element", "s", "p", "d", "f", "vec", "vec_with_f"),
    [
        ("Zr", 2, 0, 2, 0, 4, 4),
        ("Cu", 1, 0, 10, 0, 11, 11),
        ("Pd", 0, 0, 10, 0, 10, 10),
        ("Al", 2, 1, 0, 0, 3, 3),
        ("Gd", 2, 0, 1, 7, 3, 10),
        ("Hf", 2, 0, 2, 0, 4, 4),
        ("Ge", 2, 2, 0, 0, 4, 4),
    ],
)
def test_valence_electrons(element: str, s: int, p: int, d: int, f: int, vec: int, vec_with_f: int) -> None:
    table = load_element_table([element])
    names = ("valence_s", "valence_p", "valence_d", "valence_f", "vec", "vec_with_f")
    assert [table.column(name)[0] for name in names] == [s, p, d, f, vec, vec_with_f]


def test_pair_enthalpies_are_symmetric_and_only_sulphur_lacks_them() -> None:
    pairs = load_pair_enthalpies(ELEMENTS)
    at = ELEMENTS.index
    assert pairs[at("Cu"), at("Zr")] == pairs[at("Zr"), at("Cu")] == -23.0
    assert pairs[at("Al"), at("Ni")] == -22.0
    np.testing.assert_array_equal(pairs, pairs.T)
    assert np.diag(pairs).tolist() == [0.0] * 52
    unknown = np.isnan(pairs)
    assert unknown.sum() == 2 * 51 and unknown[at("S")].sum() == 51


def test_callers_cannot_change_the_packaged_values() -> None:
    load_pair_enthalpies()[:] = 0.0
    assert np.nanmin(load_pair_enthalpies()) < -100
    with pytest.raises(ValueError, match="read-only"):
        load_element_table().values[0, 0] = 1.0


def test_unknown_elements_and_columns_are_named() -> None:
    with pytest.raises(CompositionError, match="Xx"):
        load_element_table(["Zr", "Xx"])
    with pytest.raises(DataError, match="colour"):
        load_element_table().column("colour")
