"""One local Ray for all tests of this folder; it starts on first use and ends with the session."""

import pytest


@pytest.fixture(scope="session")
def ray_session():
    """A running local Ray: two cores, no dashboard, no lines of workers on the terminal."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()
