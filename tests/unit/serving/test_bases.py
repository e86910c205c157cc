"""GET /v1/bases: windows, examples and distributions; never a measured row."""

import numpy as np
import pytest
from asgi_caller import Caller

from aimat_ray.data.sources import load_data
from aimat_ray.data.windows import base_rows
from aimat_ray.env.legality import check_legality
from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.knowledge import MIN_ROWS, N_BINS, Knowledge
from aimat_ray.serving.settings import ServingSettings

PROBLEM = load_problem()


@pytest.fixture(scope="module")
def data():
    return load_data("oracle", PROBLEM)


@pytest.fixture(scope="module")
def api():
    context = AppContext(PROBLEM, LocalBackend(LinearBundle.random(1)), ServingSettings(data="oracle"))
    return Caller(make_app(context))


def test_lists_the_bases_with_a_window(api, data):
    document = api.get("/v1/bases").json()
    assert document["synthetic"] is True
    assert [item["base"] for item in document["bases"]] == list(data.windows)
    assert document["bases"][0]["n_rows"] == next(iter(data.windows.values())).n_rows


def test_a_base_has_ranges_and_an_example_within_them(api, data):
    document = api.get("/v1/bases/Zr").json()
    ranges = {item["element"]: item for item in document["elements"]}
    window = data.windows["Zr"]
    zr = PROBLEM.element_index["Zr"]
    assert ranges["Zr"]["always"]
    assert ranges["Zr"]["upper_at_pct"] == pytest.approx(100 * window.upper[zr], abs=1e-3)
    assert set(ranges) == {PROBLEM.elements[e] for e in np.flatnonzero(window.allowed)}
    assert next(iter(ranges)) == "Zr"
    for element, amount in document["example"].items():
        assert ranges[element]["lower_at_pct"] - 1e-3 <= amount <= ranges[element]["upper_at_pct"] + 1e-3
    assert sum(document["example"].values()) == pytest.approx(100, abs=1e-2)
    assert {bound["quantity"] for bound in document["goal"]} == {"dmax_mm", "yield_strength_mpa"}


def test_every_base_has_a_legal_example(data):
    knowledge = Knowledge(PROBLEM, data)
    for base in data.windows:
        example = knowledge.example(base)
        at_frac = np.zeros((1, len(PROBLEM.elements)))
        for element, amount in example.items():
            at_frac[0, PROBLEM.element_index[element]] = amount
        at_frac /= at_frac.sum()
        report = check_legality(at_frac, knowledge.limits(base))
        assert report.element_count_ok[0], (base, example)
        assert report.base_is_largest[0], (base, example)


def test_distributions_count_every_measured_alloy_once(api, data):
    document = api.get("/v1/bases/Zr").json()
    found = {item["quantity"]: item for item in document["distributions"]}
    assert set(found) == set(PROBLEM.quantity_keys)
    values = PROBLEM.with_derived(data.regression.values)
    of_base = base_rows(data.regression, "Zr", PROBLEM)
    for q, key in enumerate(PROBLEM.quantity_keys):
        item = found[key]
        measured = np.isfinite(values[:, q])
        assert len(item["edges"]) == N_BINS + 1
        assert item["edges"] == sorted(item["edges"])
        assert sum(item["counts"]) == item["n"] == measured.sum()
        assert sum(item["base_counts"]) == item["n_base"] == (measured & of_base).sum()
        # the middle of the counts lies where the median of the values lies
        middle = np.searchsorted(np.cumsum(item["counts"]), item["n"] / 2)
        low, high = item["edges"][middle], item["edges"][middle + 1]
        assert low - 1e-6 <= np.median(values[measured, q]) <= high + 1e-6


def test_few_alloys_are_not_told_apart(api, data):
    rare = [base for base, window in data.windows.items() if window.n_rows < MIN_ROWS]
    assert rare, "the synthetic world has rare bases"
    for base in rare:
        for item in api.get(f"/v1/bases/{base}").json()["distributions"]:
            enough = item["n_base"] >= MIN_ROWS
            assert (item["base_counts"] is not None) == enough


@pytest.mark.parametrize(
    ("base", "status", "words"),
    [
        ("Xx", 422, "not a known element"),
        ("S", 422, "left out"),
        ("Cr", 422, "has no window"),
        ("Zirconium", 422, "base"),
        ("%27", 422, "base"),
        ("<b>", 422, "base"),
    ],
)
def test_unknown_bases_are_refused_with_the_reason(api, base, status, words):
    reply = api.get(f"/v1/bases/{base}")
    assert reply.status_code == status
    assert words in reply.json()["error"]["message"]
