"""The Open Inference Protocol: with an independent client of it, and what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest
from asgi_caller import Caller
from live_app import listening

from aimat_ray.problem import load_problem
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext

BUNDLE = LinearBundle.random(1)
PROBLEM = load_problem()
MODEL = "/v2/models/default"

# In a process of its own: the client brings gevent, which changes the process that it is loaded into.
CLIENT = """
import json, sys
import numpy as np
import tritonclient.http as triton

client = triton.InferenceServerClient(sys.argv[1])
metadata = client.get_model_metadata("default")
formulas = triton.InferInput("formula", [2], "BYTES")
formulas.set_data_from_numpy(np.array(["Cu50Zr50", "Fe80B20"], dtype=object), binary_data=False)
wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in ("tg_k", "in_domain", "domain_reason")]
some = client.infer("default", [formulas], outputs=wanted, request_id="mine")
n_elements = metadata["inputs"][1]["shape"][1]
at_pct = triton.InferInput("at_pct", [1, n_elements], "FP64")
at_pct.set_data_from_numpy(np.eye(n_elements)[:1] * 100, binary_data=False)
version = metadata["versions"][0]
every = client.infer("default", [at_pct], model_version=version)
try:
    client.infer("default", [formulas], model_version="other")
    refusal = ""
except triton.InferenceServerException as error:
    refusal = error.message()
print(json.dumps({
    "live": client.is_server_live(), "ready": client.is_server_ready(), "model": client.is_model_ready("default"),
    "absent": client.is_model_ready("absent"), "server": client.get_server_metadata()["name"], "metadata": metadata,
    "id": some.get_response()["id"], "version": some.get_response()["model_version"],
    "outputs": [output["name"] for output in some.get_response()["outputs"]],
    "tg_k": some.as_numpy("tg_k").tolist(), "in_domain": some.as_numpy("in_domain").tolist(),
    "p_bmg": every.as_numpy("p_bmg").tolist(), "n_outputs": len(every.get_response()["outputs"]), "refusal": refusal,
}))
"""


@pytest.fixture(scope="module")
def app():
    return make_app(AppContext(PROBLEM, LocalBackend(BUNDLE)))


@pytest.fixture
def api(app):
    return Caller(app)


def test_an_independent_client_understands_the_server(app):
    with listening(app) as url:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CLIENT, url.removeprefix("http://")],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["live"] and said["ready"] and said["model"] and not said["absent"]
    assert said["server"] == "aimat-ray"
    assert said["version"] == BUNDLE.version
    assert said["id"] == "mine"
    assert said["outputs"] == ["tg_k", "in_domain", "domain_reason"]
    weights = dict(zip(BUNDLE.elements, BUNDLE.weights, strict=True))
    expected = [(weights["Cu"] + weights["Zr"])[0] / 2, (0.8 * weights["Fe"] + 0.2 * weights["B"])[0]]
    np.testing.assert_allclose(said["tg_k"], expected)
    assert said["in_domain"] == [True, True]
    np.testing.assert_allclose(said["p_bmg"], [BUNDLE.weights[0, 0] / 10])
    assert said["n_outputs"] == len(said["metadata"]["outputs"]) == 3 * len(PROBLEM.properties) + 3
    assert "'other' is not loaded" in said["refusal"]


def tensor(**changes):
    return {"name": "formula", "datatype": "BYTES", "shape": [1], "data": ["Zr50Cu50"]} | changes


def at_pct(rows, **changes):
    return tensor(name="at_pct", datatype="FP64", shape=[len(rows), 52], data=rows) | changes


def test_flat_and_nested_numbers_give_what_formulas_give(api):
    row = [0.0] * 52
    row[BUNDLE.elements.index("Zr")], row[BUNDLE.elements.index("Cu")] = 50.0, 50.0
    replies = [
        api.post(f"{MODEL}/infer", {"inputs": [one]}).json()["outputs"]
        for one in (tensor(), at_pct([row]), at_pct([row], data=row), at_pct([row], datatype="FP32"))
    ]
    assert replies[0] == replies[1] == replies[2] == replies[3]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"inputs": [tensor(data=["Xx"])]}, "Xx"),
        ({"inputs": [tensor(shape=[2])]}, "shape [2]"),
        ({"inputs": [tensor(datatype="FP64")]}, "BYTES"),
        ({"inputs": [tensor(data=[1.0])]}, "formula"),
        ({"inputs": [tensor(data=[], shape=[0])]}, "formula"),
        ({"inputs": [at_pct([[1.0] * 52])]}, "sums to 52"),
        ({"inputs": [at_pct([[100.0]], shape=[1, 1])]}, "[B, 52]"),
        ({"inputs": [at_pct([[100.0], [50.0, 50.0]], shape=[2, 52])]}, "[B, 52]"),
        ({"inputs": [at_pct([["100"]])]}, "at_pct"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [tensor(), tensor()]}, "inputs"),
        ({"inputs": [tensor()], "outputs": [{"name": "colour"}]}, "colour"),
    ],
)
def test_what_does_not_fit_is_refused_in_the_protocols_form(api, body, said):
    reply = api.post(f"{MODEL}/infer", body)
    assert reply.status_code == 422
    assert said in reply.json()["error"]


def test_unknown_models_and_versions_are_not_found(api):
    for path in (
        "/v2/models/absent",
        "/v2/models/absent/ready",
        f"{MODEL}/versions/absent",
        f"{MODEL}/versions/x/ready",
    ):
        reply = api.get(path)
        assert reply.status_code == 404
        assert isinstance(reply.json()["error"], str)
    assert api.get(f"{MODEL}/versions/{BUNDLE.version}/ready").json() == {"name": "default", "ready": True}


def test_binary_tensors_are_refused_with_the_way_out(api):
    reply = api("POST", f"{MODEL}/infer", json={"inputs": [tensor()]}, headers={"inference-header-content-length": "9"})
    assert reply.status_code == 422
    assert "binary_data=False" in reply.json()["error"]
