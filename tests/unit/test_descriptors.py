from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aimat_ray.data.composition import from_mapping
from aimat_ray.descriptors import DESCRIPTOR_CATALOGUE, Descriptors, descriptor_names
from aimat_ray.errors import CompositionError, ConfigError
from aimat_ray.problem import load_problem

FloatArray = NDArray[np.float64]
ELEMENTS = load_problem().elements
ALL = Descriptors(ELEMENTS)


def of(amounts: Mapping[str, float]) -> dict[str, float]:
    values = ALL.transform(from_mapping(amounts, ELEMENTS)[None])[0]
    return dict(zip(ALL.names, values.tolist(), strict=True))


def random_alloys(n: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    at_frac = np.zeros((n, len(ELEMENTS)))
    for row in at_frac:
        size = rng.integers(1, 9)
        row[rng.choice(len(ELEMENTS), size, replace=False)] = rng.dirichlet(np.ones(size))
    return at_frac


compositions = st.dictionaries(st.sampled_from(ELEMENTS), st.floats(0.01, 1.0), min_size=1, max_size=8)


def test_catalogue_has_the_agreed_size_and_groups() -> None:
    assert 50 <= len(DESCRIPTOR_CATALOGUE) <= 70
    assert {d.group for d in DESCRIPTOR_CATALOGUE.values()} == {
        "size",
        "electronic",
        "thermal",
        "elastic",
        "mixing",
        "short_range",
    }
    assert descriptor_names() == tuple(DESCRIPTOR_CATALOGUE) == ALL.names


def test_mixing_enthalpy_of_a_known_glass() -> None:
    # 4 (.12 * -23 + .06 * -44 + .06 * -49 + .02 * -1 + .02 * 4 + .01 * -22) = -34.0; the repulsive pair is Cu-Ni
    values = of({"Zr": 60, "Cu": 20, "Al": 10, "Ni": 10})
    assert values["h_mix"] == pytest.approx(-34.0, abs=1e-12)
    assert values["h_mix_repulsive"] == pytest.approx(0.32, abs=1e-12)


def test_hand_worked_values_of_cu50zr50() -> None:
    values = of({"Cu": 50, "Zr": 50})
    r_ln2 = 8.314462618 * math.log(2.0)
    expected = {
        "h_mix": -23.0,
        "s_mix": r_ln2,
        "size_mismatch": 100 * 16 / 142,  # radii 126 and 158 pm
        "radius_ratio": 158 / 126,
        "vec_mean": 7.5,
        "melting_mean": (1357.77 + 2128) / 2,
        "youngs_mismatch": 100 * 31 / 99,  # 130 and 68 GPa
        "en_mismatch": (1.90 - 1.33) / 2,
        "omega": 1742.885 * r_ln2 / 23000,
        "attractive_pairs": 1.0,
        "strong_pairs": 0.0,
        "pair_spread": 0.0,
        "liquidus_ideal": 1 / (1 / 2128 + r_ln2 / 21000),  # zirconium freezes first
        "local_enthalpy_min": -46.0,  # 4 * 0.5 * -23
        "ionic_share": 1 - math.exp(-(0.57**2) / 4),
        "metalloid_fraction": 0.0,
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("element", ELEMENTS)
def test_pure_elements_have_no_mismatch(element: str) -> None:
    values = of({element: 1.0})
    assert all(math.isfinite(v) for v in values.values())
    for name in ("size_mismatch", "en_mismatch", "s_mix", "h_mix", "omega", "pair_spread", "local_enthalpy_spread"):
        assert values[name] == 0.0, name
    assert values["mismatch_entropy"] == pytest.approx(0.0, abs=1e-12)


def test_means_run_over_the_elements_that_have_a_value() -> None:
    # Boron has no Young's modulus: the mean of Fe80B20 is that of iron, and pure boron takes the mean of all elements.
    assert of({"Fe": 80, "B": 20})["youngs_mean"] == pytest.approx(211.0)
    assert of({"B": 1})["youngs_mean"] == pytest.approx(of({"P": 1})["youngs_mean"])


def test_unknown_pairs_are_scaled_up_from_the_known_ones() -> None:
    # Cu47.5 Zr47.5 S5: known pair weight 2 * .475^2, full pair weight 1 - 2 * .475^2 - .05^2
    values = of({"Cu": 47.5, "Zr": 47.5, "S": 5})
    known, full = 2 * 0.475**2, 1 - 2 * 0.475**2 - 0.05**2
    assert values["h_mix"] == pytest.approx(4 * 0.475**2 * -23 * full / known)
    assert of({"Zr": 50, "S": 50})["h_mix"] == 0.0


@settings(deadline=None)
@given(compositions)
def test_any_composition_has_finite_descriptors_in_range(amounts: dict[str, float]) -> None:
    values = of(amounts)
    assert all(math.isfinite(v) for v in values.values())
    for name in ("attractive_pairs", "strong_pairs", "ionic_share", "rare_earth_fraction", "small_atom_fraction"):
        assert -1e-12 <= values[name] <= 1 + 1e-9, name
    assert values["s_mix"] <= 8.3145 * math.log(len(amounts)) + 1e-9
    assert values["radius_ratio"] >= 1.0


@settings(deadline=None, max_examples=30)
@given(compositions, st.randoms(use_true_random=False))
def test_the_order_of_the_elements_does_not_matter(amounts: dict[str, float], random: object) -> None:
    order = list(ELEMENTS)
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = Descriptors(order).transform(from_mapping(amounts, order)[None])[0]
    np.testing.assert_allclose(shuffled, list(of(amounts).values()), rtol=1e-7, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_a_row_has_the_same_bits_in_every_batch(sizes: list[int], seed: int) -> None:
    at_frac = random_alloys(300, 1)
    whole = ALL.transform(at_frac)
    order = np.random.default_rng(seed).permutation(300)
    start = 0
    for size in sizes:
        part = order[start : start + size]
        assert np.array_equal(ALL.transform(at_frac[part]), whole[part])
        start += size


def test_a_selection_has_the_columns_asked_for() -> None:
    at_frac = random_alloys(5)
    picked = Descriptors(ELEMENTS, ["omega", "radius_mean"])
    whole = ALL.transform(at_frac)
    expected = whole[:, [ALL.names.index("omega"), ALL.names.index("radius_mean")]]
    assert np.array_equal(picked.transform(at_frac), expected)


def test_input_is_not_modified_and_an_empty_batch_is_fine() -> None:
    at_frac = random_alloys(7)
    before = at_frac.copy()
    ALL.transform(at_frac)
    assert np.array_equal(at_frac, before)
    assert ALL.transform(at_frac[:0]).shape == (0, len(ALL.names))


def test_wrong_names_and_shapes_are_refused() -> None:
    with pytest.raises(ConfigError, match="valence_g"):
        Descriptors(ELEMENTS, ["valence_g"])
    with pytest.raises(CompositionError, match=r"\[B, 52\]"):
        ALL.transform(np.ones((3, 4)))
    with pytest.raises(CompositionError, match="Xx"):
        Descriptors(["Zr", "Xx"])


@pytest.mark.real_data
def test_descriptors_of_the_measured_glasses(real_data: object) -> None:
    # Facts of the design: size mismatch 8.5 / 11.2 / 18.2 %, mixing enthalpy -39 / -25 / -7 kJ/mol (p5 / 50 / 95).
    table = real_data.regression  # type: ignore[attr-defined]
    values = ALL.transform(table.at_frac[table.feasible == 1])
    size, enthalpy = values[:, ALL.names.index("size_mismatch")], values[:, ALL.names.index("h_mix")]
    np.testing.assert_allclose(np.percentile(size, [5, 50, 95]), [8.5, 11.2, 18.2], atol=0.25)
    np.testing.assert_allclose(np.percentile(enthalpy, [5, 50, 95]), [-39, -25, -7], atol=0.7)
