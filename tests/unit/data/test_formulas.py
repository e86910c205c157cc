"""Batches of formulas are read and written as one formula is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimat_ray.data.composition import format_formula, from_mapping, parse_formula
from aimat_ray.data.formulas import AlloyReader, amounts_at_pct, format_formulas
from aimat_ray.errors import CompositionError
from aimat_ray.problem import load_problem

ELEMENTS = load_problem().elements
READER = AlloyReader(ELEMENTS)

symbols = st.sampled_from(ELEMENTS)
numbers = st.one_of(
    st.just(""),
    st.integers(0, 10**6).map(str),
    st.floats(0, 1e4).map(lambda x: f"{x:.4f}"),
    st.just(".5"),
    st.just("7."),
)
formulas = st.lists(st.tuples(symbols, numbers), min_size=1, max_size=8).map(lambda p: "".join(a + b for a, b in p))
odd = st.sampled_from(
    ["(Fe0.5Ni0.5)80B20", "Zr-Cu", "Zr₅₀Cu₅₀", "Zr50 Cu50 at%", "Zr50", "[(Fe0.6Ni0.4)0.75B0.2Si0.05]96Nb4"]
)
mappings = st.dictionaries(symbols, st.floats(0, 1e6), min_size=1, max_size=6)


def read_alone(alloy):
    try:
        return (parse_formula if isinstance(alloy, str) else from_mapping)(alloy, ELEMENTS)
    except CompositionError as error:
        return error.message


@given(st.lists(st.one_of(formulas, odd, mappings), min_size=1, max_size=5))
def test_a_batch_reads_to_the_last_digit_what_one_alloy_reads(alloys):
    alone = [read_alone(alloy) for alloy in alloys]
    wrong = [i for i, found in enumerate(alone) if isinstance(found, str)]
    if wrong:
        with pytest.raises(CompositionError) as caught:
            READER.read(alloys)
        assert caught.value.message == f"alloys[{wrong[0]}]: {alone[wrong[0]]}"
    else:
        np.testing.assert_array_equal(READER.read(alloys), np.array(alone))


@given(st.text(max_size=30))
def test_any_text_gets_the_same_verdict(text):
    alone = read_alone(text)
    if isinstance(alone, str):
        with pytest.raises(CompositionError):
            READER.read([text])
    else:
        np.testing.assert_array_equal(READER.read([text])[0], alone)


@given(st.integers(0, 2**32 - 1))
def test_a_batch_is_written_as_one_alloy_is(seed):
    generator = np.random.default_rng(seed)
    rows = np.zeros((4, len(ELEMENTS)))
    for row in rows:
        present = generator.choice(len(ELEMENTS), generator.integers(1, 9), replace=False)
        row[present] = generator.dirichlet(np.ones(len(present)))
    assert format_formulas(rows, ELEMENTS) == [format_formula(row, ELEMENTS) for row in rows]
    for row, amounts in zip(rows, amounts_at_pct(rows, ELEMENTS), strict=True):
        assert amounts == {ELEMENTS[e]: 100.0 * row[e] for e in np.flatnonzero(row)}


def test_nothing_is_read_and_written_as_nothing():
    assert READER.read([]).shape == (0, len(ELEMENTS))
    assert format_formulas(np.zeros((0, len(ELEMENTS))), ELEMENTS) == []
    assert amounts_at_pct(np.zeros((0, len(ELEMENTS))), ELEMENTS) == []
