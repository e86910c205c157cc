"""Formulas and amounts that must be refused, and the words the message must hold."""

from __future__ import annotations

from typing import Any

import pytest

from aimat_ray.data.composition import from_mapping, parse_formula, parse_formulas
from aimat_ray.errors import CompositionError
from aimat_ray.problem import DesignProblem

FORMULAS: list[tuple[Any, str, str]] = [
    ("", "empty", "empty"),
    ("   ", "empty", "blank"),
    ("%", "empty", "only a percent sign"),
    ("Xx50Zr50", "unknown element 'Xx'", "unknown element"),
    ("Zr65O35", "unknown element 'O'", "element outside the problem"),
    ("zr65cu35", "capital letter", "lower case"),
    ("Zr65Cu-35", "negative amount -35", "negative amount"),
    ("Zr65Cu−35", "negative amount -35", "Unicode minus"),
    ("65Zr35Cu", "must follow an element", "amount before the element"),
    ("Zr65 35", "must follow an element", "two amounts"),
    ("Zr65--Cu35", "joins no two parts", "double hyphen"),
    ("Zr65Cu35-", "joins no two parts", "trailing hyphen"),
    ("-Zr65Cu35", "joins no two parts", "leading hyphen"),
    ("(Zr65Cu35", "not closed", "open bracket"),
    ("Zr65Cu35)", "closes no bracket", "stray bracket"),
    ("(Zr65Cu35]", "closes no bracket", "mixed brackets"),
    ("Zr50()50", "empty bracket", "empty bracket"),
    ("Zr0Cu0", "sum to zero", "zero sum"),
    ("(ZrCu)0", "sum to zero", "bracket times zero"),
    ("Zr65,5Cu34,5", "can't read", "decimal comma"),
    ("Zr6.5.5Cu", "must follow", "two decimal points"),
    ("Zr1e5Cu", "can't read", "exponent"),
    ("Zr50Cu50 wt%", "mass percent", "mass percent"),
    ("Zr" + "9" * 400 + "Cu", "not finite", "overflowing amount"),
    ("(" * 30 + "Zr" + ")" * 30, "nested", "deep nesting"),
    ("(" * 100_000, "characters", "huge text"),
    ("=1+1", "can't read", "spreadsheet formula"),
    ("__import__('os')", "can't read", "code"),
    (None, "must be text", "None"),
    (65.0, "must be text", "number"),
]


@pytest.mark.parametrize(("text", "words", "name"), FORMULAS, ids=[name for *_, name in FORMULAS])
def test_formula_is_refused(text: Any, words: str, name: str, problem: DesignProblem) -> None:
    with pytest.raises(CompositionError) as caught:
        parse_formula(text, problem.elements)
    assert words in caught.value.message
    assert len(caught.value.message) < 500
    assert caught.value.exit_code == 2


MAPPINGS: list[tuple[Any, str, str]] = [
    ({}, "sum to zero", "nothing"),
    ({"Zr": 0}, "sum to zero", "zero"),
    ({"Xx": 1}, "unknown element", "unknown element"),
    ({"Zr": -1, "Cu": 2}, "negative", "negative"),
    ({"Zr": "many"}, "must be a number", "text"),
    ({"Zr": None}, "must be a number", "None"),
    ({"Zr": float("nan")}, "not finite", "NaN"),
    ({"Zr": float("inf"), "Cu": 1}, "not finite", "infinity"),
    ({"Zr": 1e308, "Cu": 1e308}, "too large", "overflow"),
]


@pytest.mark.parametrize(("amounts", "words", "name"), MAPPINGS, ids=[name for *_, name in MAPPINGS])
def test_mapping_is_refused(amounts: Any, words: str, name: str, problem: DesignProblem) -> None:
    with pytest.raises(CompositionError, match=words):
        from_mapping(amounts, problem.elements)


def test_a_list_names_the_row(problem: DesignProblem) -> None:
    with pytest.raises(CompositionError, match=r"row 2: .*unknown element 'Qq'"):
        parse_formulas(["Zr50Cu50", "Qq5"], problem.elements)
