"""One local Ray for all tests of this folder; it starts on first use and ends with the session."""

import importlib.util
import json
import os

import design_runs
import pytest
from filelock import FileLock


@pytest.fixture(scope="session")
def ray_session():
    """A running local Ray: two cores, no dashboard, no lines of workers on the terminal."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder of this session that all its processes see; what is costly is made there once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def aimat_store(shared_folder):
    """One surrogate store for all processes of the session: each surrogate is fitted once. AIMAT_STORE overrides it."""
    if "AIMAT_STORE" in os.environ:
        yield os.environ["AIMAT_STORE"]
        return
    os.environ["AIMAT_STORE"] = str(shared_folder / "store")
    yield os.environ["AIMAT_STORE"]
    del os.environ["AIMAT_STORE"]


@pytest.fixture(scope="session")
def finished_run(aimat_store, shared_folder):
    """A small `aimat design` run that nothing disturbed: its folder and its JSON document."""
    folder, said = shared_folder / "runs" / "undisturbed", shared_folder / "undisturbed.json"
    with FileLock(f"{said}.lock"):
        if not said.exists():
            ended = design_runs.run([*design_runs.design_command(folder), "--json"])
            said.write_text(ended.stdout)
    return folder, json.loads(said.read_text())


@pytest.fixture(scope="session")
def finished_sweep(aimat_store, tmp_path_factory):
    """The folder of a small sweep of two bases, which also told the trackers that are installed."""
    folder = tmp_path_factory.mktemp("sweeps")
    track = {}
    if importlib.util.find_spec("mlflow"):
        track["mlflow"] = f"sqlite:///{folder / 'mlflow.db'}"
    if importlib.util.find_spec("wandb"):
        track |= {"wandb": "aimat-tests", "wandb_dir": str(folder)}
    file = design_runs.small_sweep(folder / "sweep.yaml", steps=400, bases=["Zr", "Cu"], track=track)
    design_runs.run([design_runs.AIMAT, "sweep", str(file), "--out", str(folder / "out")])
    return folder / "out"
