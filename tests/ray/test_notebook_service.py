"""The notebook about the property service, executed against a real service."""

from pathlib import Path

import pytest
from http_server import free_port

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "05_property_service.ipynb"
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def address(finished_run, ray_session, aimat_store):
    from aimat_ray.registry.deployment import stop_surrogate_service
    from aimat_ray.serving.service import published_hub, start_http_service
    from aimat_ray.serving.settings import ServingSettings

    http = {"port": free_port(), "num_cpus": 0.1}
    runs = finished_run[0].parent
    settings = ServingSettings.model_validate(
        {"data": "oracle", "runs": runs, "store": aimat_store, "http": http, "surrogate": {"num_cpus": 0.2}}
    )
    hub = published_hub(settings)
    start_http_service(hub, settings, app_name="notebook-test")
    yield f"http://127.0.0.1:{http['port']}"
    stop_surrogate_service(shutdown=True)
    hub.stop()


def test_the_notebook_runs_and_says_what_it_should(address, monkeypatch):
    import nbclient
    import nbformat

    monkeypatch.setenv("AIMAT_URL", address)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "it is stored without outputs"
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "\n".join(str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert "synthetic: True" in text
    assert "unseen_element" in text, "the alloy with Be is outside the domain"
    assert "unknown element 'Qx'" in text
    assert "designs," in text
    assert any("image/png" in output.get("data", {}) for output in outputs), "the scan is drawn"
