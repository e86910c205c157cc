"""A Ray cluster of several nodes on this machine, for commands with `--address`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster


@contextmanager
def cluster_of(*n_cpus: int, head_cpus: int = 0) -> Iterator[tuple[Cluster, list[Any]]]:
    """A head, and one worker node for each number of cores; the head is not among the nodes returned."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": head_cpus, "include_dashboard": False})
    try:
        yield cluster, [cluster.add_node(num_cpus=n) for n in n_cpus]
    finally:
        cluster.shutdown()
