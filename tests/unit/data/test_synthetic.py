"""The synthetic tables against the facts of the measured ones that the design lists, within stated tolerance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.elements import load_element_table, load_pair_enthalpies
from aimat_ray.data.synthetic import OracleWorld
from aimat_ray.errors import CompositionError
from aimat_ray.prediction import Predictor
from aimat_ray.problem import load_problem

FloatArray = NDArray[np.float64]
PROBLEM = load_problem()
WORLD = OracleWorld(0)


@pytest.fixture(scope="module")
def tables() -> tuple[AlloyTable, AlloyTable]:
    return WORLD.sample_tables(0)


@pytest.fixture(scope="module")
def glasses(tables: tuple[AlloyTable, AlloyTable]) -> AlloyTable:
    return tables[0].rows(tables[0].feasible == 1)


def column(table: AlloyTable, key: str) -> FloatArray:
    return table.values[:, PROBLEM.property_keys.index(key)]


def mean_of(at_frac: FloatArray, name: str) -> FloatArray:
    values = load_element_table(PROBLEM.elements).column(name)
    known = np.isfinite(values)
    return at_frac[:, known] @ values[known] / at_frac[:, known].sum(axis=1)


def line(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    """Slope, value at the middle of x, and residual spread of a straight line."""
    both = np.isfinite(x) & np.isfinite(y)
    slope, intercept = np.polyfit(x[both], y[both], 1)
    return slope, slope * x[both].mean() + intercept, float(np.std(y[both] - slope * x[both] - intercept))


def random_alloys(n: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    at_frac = np.zeros((n, 52))
    for row in at_frac:
        size = rng.integers(1, 9)
        row[rng.choice(52, size, replace=False)] = rng.dirichlet(np.ones(size))
    return at_frac


def test_sizes_classes_and_gaps_are_those_of_the_measured_tables(tables: tuple[AlloyTable, AlloyTable]) -> None:
    regression, classification = tables
    assert (len(regression), len(classification)) == (1284, 6872)
    assert int((regression.feasible == 0).sum()) == 205
    assert Counter(classification.label) == {"RMG": 3675, "CRA": 1756, "BMG": 1441}
    assert np.isfinite(regression.values).sum(axis=0).tolist() == [878, 820, 815, 812, 334, 399, 296]
    assert np.isnan(classification.values).all()
    crystalline = regression.values[regression.feasible == 0]
    assert np.isfinite(crystalline).sum(axis=0).tolist() == [0, 0, 0, 0, 179, 62, 166]


def test_rows_per_base_count_ties_for_each_base(glasses: AlloyTable) -> None:
    at_frac = glasses.at_frac
    majority = at_frac >= at_frac.max(axis=1, keepdims=True) - 1e-9
    counts = dict(zip(PROBLEM.elements, majority.sum(axis=0).tolist(), strict=True))
    expected = {"Zr": 291, "Fe": 164, "Cu": 153, "Mg": 87, "Ni": 76, "La": 74, "Ca": 68, "Ce": 42, "Pd": 38}
    expected |= {"Ti": 26, "Ag": 20}
    for base, n in expected.items():
        assert abs(counts[base] - n) <= 4, base


def test_class_is_confounded_with_the_number_of_elements(tables: tuple[AlloyTable, AlloyTable]) -> None:
    classification = tables[1]
    label, n = np.array(classification.label), classification.n_elements()
    assert set(n[label == "RMG"].tolist()) == {2, 3}
    assert (n[label == "BMG"] >= 4).mean() > 0.6
    assert (n[label == "CRA"] >= 4).sum() == 205
    p = WORLD.p_feasible(classification.at_frac)
    assert (p[label == "BMG"] >= 0.5).mean() > 0.85
    assert (p[label != "BMG"] >= 0.5).mean() < 0.15


def test_compositions_are_tenths_of_a_percent_and_some_repeat(tables: tuple[AlloyTable, AlloyTable]) -> None:
    for table in tables:
        at_pct = 100 * table.at_frac
        np.testing.assert_allclose(at_pct.sum(axis=1), 100, atol=1e-9)
        assert (at_pct >= 0).all()
        # Ties of three or more elements may leave a rest of half a tenth.
        assert (np.abs(at_pct * 10 - np.round(at_pct * 10)).max(axis=1) < 1e-6).mean() > 0.9
    keys = Counter(np.round(100 * tables[0].at_frac, 1).tobytes()[i * 416 : (i + 1) * 416] for i in range(1284))
    assert 10 <= sum(n - 1 for n in keys.values()) <= 80


def test_elements_size_and_enthalpy_marginals(glasses: AlloyTable) -> None:
    at_frac = glasses.at_frac
    assert np.percentile(glasses.n_elements(), [5, 50, 95]).tolist() == [3, 4, 6]
    radius = load_element_table(PROBLEM.elements).column("packing_radius")
    size = 100 * np.sqrt(np.maximum(at_frac @ radius**2 / (at_frac @ radius) ** 2 - 1, 0))
    np.testing.assert_allclose(np.percentile(size, [5, 50, 95]), [8.5, 11.2, 18.2], atol=1.5)
    pairs = np.nan_to_num(load_pair_enthalpies(PROBLEM.elements))
    enthalpy = 2 * ((at_frac @ pairs) * at_frac).sum(axis=1)
    np.testing.assert_allclose(np.percentile(enthalpy, [5, 50, 95]), [-39, -25, -7], atol=3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_relations_between_properties(seed: int) -> None:
    regression = OracleWorld(seed).sample_tables(0)[0]
    rows = regression.rows(regression.feasible == 1)
    tg, tx, tl = (column(rows, key) for key in ("tg_k", "tx_k", "tl_k"))
    modulus, strength = column(rows, "youngs_modulus_gpa"), column(rows, "yield_strength_mpa")
    # (x, y, slope, value at the middle of x, residual spread) of the measured rows
    facts = [
        (mean_of(rows.at_frac, "melting_point"), tg, 0.444, 629, 67),
        (tg, tx, 1.031, 688, 21),
        (tg, tl, 1.50, 1090, 75),
        (mean_of(rows.at_frac, "youngs_modulus"), modulus, 0.847, 88, 22),
        (modulus, strength, 16.6, 1810, 195),
    ]
    for x, y, slope, middle, spread in facts:
        found = line(x, y)
        assert found[0] == pytest.approx(slope, rel=0.25)
        assert found[1] == pytest.approx(middle, rel=0.15)
        assert found[2] == pytest.approx(spread, rel=0.4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_casting_diameter_follows_trg_and_window(seed: int) -> None:
    regression = OracleWorld(seed).sample_tables(0)[0]
    rows = regression.rows(regression.feasible == 1)
    tg, tx, tl = (column(rows, key) for key in ("tg_k", "tx_k", "tl_k"))
    with np.errstate(invalid="ignore"):
        log_dmax = np.log(column(rows, "dmax_mm"))
    assert np.nanmean(log_dmax) == pytest.approx(1.28, abs=0.45)
    assert np.nanstd(log_dmax) == pytest.approx(0.93, abs=0.2)
    both = np.isfinite(tg + tx + tl + log_dmax)
    design = np.column_stack([np.ones(both.sum()), (tg / tl)[both], (tx - tg)[both]])
    weights = np.linalg.lstsq(design, log_dmax[both], rcond=None)[0]
    assert 2 < weights[1] < 10  # measured: 5.3 per unit of Tg/Tl
    assert 0.008 < weights[2] < 0.028  # measured: 0.018 per K
    assert np.std(log_dmax[both] - design @ weights) == pytest.approx(0.78, abs=0.25)


def test_elongation_of_glasses_falls_with_tg_and_is_small(glasses: AlloyTable) -> None:
    elongation, tg = column(glasses, "elongation_pct"), column(glasses, "tg_k")
    both = np.isfinite(elongation) & np.isfinite(tg)
    assert -0.75 < np.corrcoef(elongation[both], tg[both])[0, 1] < -0.1
    assert np.nanmedian(elongation) == pytest.approx(2.4, abs=1.2)
    assert (elongation == 0).sum() >= 3


def test_a_seed_gives_the_same_tables_and_another_seed_others() -> None:
    first, second, other = (OracleWorld(3).sample_tables(draw) for draw in (5, 5, 6))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.at_frac, b.at_frac) and np.array_equal(a.values, b.values, equal_nan=True)
        assert a.formula == b.formula and a.label == b.label
    assert not np.array_equal(first[0].at_frac, other[0].at_frac)


def test_worlds_of_two_seeds_are_related_but_differ(glasses: AlloyTable) -> None:
    a, b = (OracleWorld(seed).truth(glasses.at_frac) for seed in (0, 1))
    agreement = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    assert min(agreement) > 0.8
    assert np.abs(a - b).max() > 1


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 130), st.integers(0, 2**32 - 1))
def test_truth_of_a_row_has_the_same_bits_in_every_batch(size: int, seed: int) -> None:
    at_frac = random_alloys(1200)
    whole, p = WORLD.truth(at_frac), WORLD.p_feasible(at_frac)
    part = np.random.default_rng(seed).permutation(1200)[:size]
    assert np.array_equal(WORLD.truth(at_frac[part]), whole[part])
    assert np.array_equal(WORLD.p_feasible(at_frac[part]), p[part])


def test_truth_is_finite_plausible_and_ordered_everywhere() -> None:
    at_frac = np.vstack([np.eye(52), random_alloys(3000, 2)])
    values, p = WORLD.truth(at_frac), WORLD.p_feasible(at_frac)
    assert np.isfinite(values).all() and ((p >= 0) & (p <= 1)).all()
    tg, tx, tl = values[:, 0], values[:, 1], values[:, 2]
    assert (tg < tx).all() and (tg < tl).all()
    assert (values[:, 3:] > 0).all()
    for i, spec in enumerate(PROBLEM.properties):
        inside = (values[:, i] >= spec.plausible[0]) & (values[:, i] <= spec.plausible[1])
        assert inside.mean() > 0.995, spec.key
    assert WORLD.p_feasible(np.eye(52)).max() < 0.02  # pure elements do not cast as glasses


def test_truth_is_smooth_on_the_scale_of_a_design_step() -> None:
    rng = np.random.default_rng(0)
    start = random_alloys(200, 3)
    end = rng.permutation(start)
    step = 1e-4
    t = np.arange(0.2, 0.3, step)
    path = (1 - t)[:, None, None] * start + t[:, None, None] * end
    values = WORLD.truth(path.reshape(-1, 52)).reshape(len(t), 200, -1)
    jump = np.abs(np.diff(values, axis=0)).max(axis=0) / np.ptp(values, axis=0).clip(1e-9)
    assert np.quantile(jump, 0.99) < 0.02  # no cliff: a thousandth of the path holds no large share of the change


def test_predict_is_the_truth_without_doubt(glasses: AlloyTable) -> None:
    assert isinstance(WORLD, Predictor)
    at_frac = glasses.at_frac[:50]
    answer = WORLD.predict(at_frac)
    assert answer.version == "oracle-0"
    for values in (answer.mean, answer.lower, answer.upper):
        assert np.array_equal(values, WORLD.truth(at_frac))
    assert np.array_equal(answer.p_feasible >= 0.5, WORLD.feasible(at_frac))
    assert answer.in_domain.all() and not answer.spread.any()


def test_wrong_shape_is_refused_and_input_kept() -> None:
    with pytest.raises(CompositionError, match=r"\[B, 52\]"):
        WORLD.truth(np.ones((2, 3)))
    at_frac = random_alloys(40)
    before = at_frac.copy()
    WORLD.truth(at_frac)
    assert np.array_equal(at_frac, before)
    assert WORLD.truth(at_frac[:0]).shape == (0, 7)
