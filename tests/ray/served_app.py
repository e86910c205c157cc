"""The builder of `serve/*.yaml` with a small surrogate in place of a fitted one."""

from typing import Any

from aimat_ray.registry.channel import Channel
from aimat_ray.registry.fake import LinearBundle
from aimat_ray.registry.hub import SurrogateHub
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.serving.access import check_access
from aimat_ray.serving.service import application
from aimat_ray.serving.settings import read_serving_settings


def build(args: dict[str, Any]) -> Any:
    """See `aimat_ray.serving.service.build`."""
    settings = read_serving_settings(args)
    check_access(settings)
    store = SurrogateStore(settings.store, LinearBundle.load)
    hub = SurrogateHub.start(Channel("default", "bmg", "f" * 64), store.root, loader=LinearBundle.load)
    if hub.current() is None:
        hub.publish(store.put(LinearBundle.random(1)))
    return application(hub, settings, "from-file")
