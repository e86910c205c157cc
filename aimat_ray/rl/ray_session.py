"""Ray for one run: started explicitly and quietly, stopped by whoever started it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import ray

_BASE_CPUS = 2


@contextmanager
def ray_session(n_runners: int = 0, address: str | None = None) -> Iterator[None]:
    """A running Ray: the caller's if there is one, else a local one (or a cluster at `address`) for this block.

    Args:
        n_runners: Remote env runners that need a CPU each.
        address: Address of a running cluster; None starts a local Ray.
    """
    quiet_ray()
    if ray.is_initialized():
        yield
        return
    local = {} if address else {"num_cpus": max(_BASE_CPUS, n_runners + 1), "include_dashboard": False}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="aimat", **local)
    quiet_ray()  # Ray sets its loggers anew when it starts
    try:
        yield
    finally:
        ray.shutdown()


def quiet_ray() -> None:
    """Keep Ray's start-up notes and RLlib's deprecation noise from the user; errors still show."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    for name in ("ray", "ray.rllib", "ray.tune", "ray.serve", "ray._private"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="ray")
    warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")
