"""One surrogate service per version and cluster, whoever asks first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aimat_ray.registry.channel import Channel
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.store import SurrogateStore


def test_each_version_has_one_service_that_everybody_finds(ray_session: Any, tmp_path: Path) -> None:
    from ray import serve
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    from aimat_ray.registry.deployment import ServiceOptions, stop_surrogate_service
    from aimat_ray.registry.shared import service_name, share_surrogate

    store = SurrogateStore(tmp_path, load=LinearBundle.load)
    one, other = LinearBundle.random(0), LinearBundle.random(1)
    for bundle in (one, other):
        store.put(bundle)
    options = ServiceOptions(num_cpus=0.0)

    def share(bundle: LinearBundle) -> str:
        return share_surrogate(store.root, bundle.manifest, bundle.version, options, LinearBundle.load)

    group = placement_group([{"CPU": 1}])
    inside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    names = [share(one), ray_session.get(ray_session.remote(share).options(scheduling_strategy=inside).remote(one))]
    remove_placement_group(group)  # as when a trial ends
    names.append(share(other))
    assert names == [service_name(one.version), service_name(one.version), service_name(other.version)]
    assert set(serve.status().applications) >= set(names)
    rows = np.random.default_rng(0).dirichlet(np.full(52, 0.1), 5)
    for bundle in (one, other):
        answer = SurrogateClient.serve(service_name(bundle.version)).predict(rows)
        assert answer.version == bundle.version
        np.testing.assert_array_equal(answer.mean, bundle.predict(rows).mean)
    for bundle in (one, other):
        hub = SurrogateHub(Channel.of(bundle.manifest, run=f"design-{bundle.version}"), loader=LinearBundle.load)
        assert hub.require_current().version == bundle.version
        hub.stop()
    stop_surrogate_service(shutdown=True)


def test_a_process_that_knew_an_earlier_serve_finds_the_one_that_runs_now(ray_session: Any, tmp_path: Path) -> None:
    from aimat_ray.registry.deployment import ServiceOptions, stop_surrogate_service
    from aimat_ray.registry.shared import service_name, share_surrogate

    store, bundle = SurrogateStore(tmp_path, load=LinearBundle.load), LinearBundle.random(2)
    store.put(bundle)

    def share() -> str:
        options = ServiceOptions(num_cpus=0.0)
        return share_surrogate(store.root, bundle.manifest, bundle.version, options, LinearBundle.load)

    class Process:
        def share(self) -> str:
            return share()

    process = ray_session.remote(Process).options(num_cpus=0).remote()
    for _ in range(2):
        assert share() == service_name(bundle.version)
        assert ray_session.get(process.share.remote()) == service_name(bundle.version)
        stop_surrogate_service(shutdown=True)
    ray_session.kill(process)
    SurrogateHub(Channel.of(bundle.manifest, run=f"design-{bundle.version}"), loader=LinearBundle.load).stop()
