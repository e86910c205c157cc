"""One surrogate service for all runs of a cluster that ask the same version: a name per version, started once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.schema import ApplicationStatus

from aimat_ray.registry.channel import Channel, ManifestLike
from aimat_ray.registry.deployment import APP_NAME, ServiceOptions, quiet_serve, start_surrogate_service
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.store import Loader, load_bundle

_RUN = "design"


def service_name(version: str) -> str:
    """Name of the Serve application that answers with a version.

    Sweeps with other data or other surrogates on the same cluster have other names, so none answers for another.

    Args:
        version: Version of the surrogate.
    """
    return f"{APP_NAME}-{version}"


def share_surrogate(
    root: Path,
    manifest: ManifestLike,
    version: str,
    options: ServiceOptions | None = None,
    loader: Loader = load_bundle,
) -> str:
    """Start the service of a stored version, unless it runs already, and wait until it answers.

    Args:
        root: Folder of the store; on a cluster a folder that all machines see.
        manifest: Of the bundle.
        version: The bundle's version, stored there.
        options: How to run the service, where it is started here.
        loader: Stand-in for `SurrogateBundle.load`.

    Returns:
        Its name, for `SurrogateClient.serve`.

    Raises:
        ServiceError: No replica came up.
    """
    name = service_name(version)
    hub = SurrogateHub.start(Channel.of(manifest, run=f"{_RUN}-{version}"), root, loader=loader)
    current = hub.current()
    if current is None or current.version != version:
        hub.publish(version, check=False)  # whoever asks has loaded it from this store
    # Nothing where Serve runs; but a process that knew an earlier Serve of this cluster finds the one that runs now.
    serve.start(proxy_location=ProxyLocation.Disabled, logging_config=quiet_serve())
    if not _runs(name):
        start_surrogate_service(hub, options, app_name=name)
    return name


def _runs(name: str) -> bool:
    applications: dict[str, Any] = serve.status().applications
    return name in applications and applications[name].status == ApplicationStatus.RUNNING
