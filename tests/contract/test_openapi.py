"""The endpoint keeps what its OpenAPI document says, and refuses what nobody means well. Over a real port."""

import importlib.util
import sys
from pathlib import Path

import httpx
import pytest
from live_app import listening

from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext
from aimat_ray.serving.keys import KeyFile, keys_path
from aimat_ray.serving.settings import read_serving_settings

pytestmark = pytest.mark.timeout(600)


def benchmark_part(name):
    """A helper of the benchmark scripts, which measure the same on the real service."""
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


hostile = benchmark_part("_hostile")
schema_cases = benchmark_part("_schema_cases")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Address and key of a service with every scope."""
    folder = tmp_path_factory.mktemp("service")
    settings = read_serving_settings({"store": str(folder), "data": "oracle", "runs": str(folder / "runs")})
    _, key = KeyFile(keys_path(settings)).create("tests", ["read", "design", "admin"])
    context = AppContext(load_problem(), LocalBackend(LinearBundle.random(1)), settings)
    with listening(make_app(context)) as url:
        yield url, key


@pytest.mark.parametrize("case", hostile.HOSTILE, ids=lambda case: case.name)
def test_hostile_requests_get_a_clear_refusal(service, case):
    status, message = hostile.ask(service[0], case)
    assert (status, bool(message)) == (case.status, True), message
    assert len(message) < 1000


def test_generated_requests_meet_no_5xx_and_no_reply_that_the_document_does_not_foresee(service):
    url, key = service
    outcome = schema_cases.run_cases(url, 10, key)
    # Without a cluster behind it, this service says 503 to what changes versions or designs: foreseen, not a failure.
    failures = [text for text in outcome["failures"] if "/v1/admin" not in text and "/v1/design" not in text]
    assert failures == []
    assert outcome["complete"]
    assert outcome["n_cases"] >= 500


def test_the_document_has_an_example_for_every_body_and_says_how_errors_look(service):
    document = httpx.get(f"{service[0]}/openapi.json").json()
    bodies = [
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for path in document["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    ]
    schemas = document["components"]["schemas"]
    for name in bodies:
        shown = schemas[name].get("examples") or [p for p in schemas[name]["properties"].values() if p.get("examples")]
        assert shown, f"{name} has no example"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert {"401", "429", "503"} <= set(operation["responses"]), path
