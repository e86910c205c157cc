"""What a service can be told; the only place with its defaults. `serve/*.yaml` holds values of these."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from aimat_ray.config import Count, Positive, Settings
from aimat_ray.errors import ConfigError

Scope = Literal["read", "design", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "design", "admin")


class LimitSettings(Settings):
    """What one HTTP process takes on.

    Attributes:
        body_bytes: Largest body of a request.
        ongoing_requests: Requests held at once; further ones get 503.
        request_timeout_s: A request that is not answered by then gets 504.
        predict_timeout_s: How long one prediction may take.
        batch_rows: Compositions in one call of the surrogate.
        batch_calls: Calls of the surrogate under way at once; with several replicas, about two for each.
        waiting_rows: Compositions that may wait for a call; beyond it a request gets 503.
        rate_per_s: Requests a second that one key (or, without keys, one address) may make on average.
        burst: Requests that it may make at once.
    """

    body_bytes: Count = 2_000_000
    ongoing_requests: Count = 512
    request_timeout_s: Positive = 60.0
    predict_timeout_s: Positive = 20.0
    batch_rows: Count = 256
    batch_calls: Count = 2
    waiting_rows: Count = 16_000
    rate_per_s: Positive = 2_000.0
    burst: Count = 4_000


class SurrogateSettings(Settings):
    """The deployment that predicts.

    Attributes:
        num_replicas: Processes; with `autoscaling`, how many to start with.
        autoscaling: Serve's autoscaling_config, or None for a fixed number.
        num_cpus: Cores that Ray sets aside for each.
        poll_s: How often a replica looks for a new version.
        max_ongoing_requests: Calls that a replica holds at once.
        max_queued_requests: Calls that wait at a caller before it is refused; -1 for no limit.
        health_period_s: How often the reference answers are checked.
    """

    num_replicas: Count = 1
    autoscaling: dict[str, Any] | None = None
    num_cpus: Annotated[float, Field(ge=0)] = 0.5
    poll_s: Positive = 1.0
    max_ongoing_requests: Count = 16
    max_queued_requests: Annotated[int, Field(ge=-1)] = 64
    health_period_s: Positive = 5.0


class HttpSettings(Settings):
    """The deployment that listens.

    Attributes:
        host: Address to listen on; every replica of a machine shares it.
        port: Port to listen on.
        num_replicas: Processes that listen.
        num_cpus: Cores that Ray sets aside for each.
        names: Names under which the service may be asked for (Host header), beside its address and loopback; one
            that starts with "*." stands for all names below it. Empty takes any when bound elsewhere than loopback.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    num_replicas: Count = 1
    num_cpus: Annotated[float, Field(ge=0)] = 0.5
    names: tuple[str, ...] = ()


class AccessSettings(Settings):
    """Who may ask.

    Attributes:
        keys: File of API keys; None takes `api-keys.json` in the surrogate store.
        anonymous: What may be done without a key where the service listens on loopback; elsewhere nothing.
    """

    keys: Path | None = None
    anonymous: tuple[Scope, ...] = ("read", "design")


class ServingSettings(Settings):
    """One property endpoint.

    Attributes:
        problem: Design problem: a built-in name or a YAML file.
        data: Data set behind the surrogate and the page: a folder, 'oracle' or 'auto'.
        bundle: Surrogate that is published first if none is current.
        seed: Seed of its fit.
        store: Folder of the surrogate store; None takes AIMAT_STORE or the cache folder.
        runs: Folder whose finished runs are offered under /v1/candidates and used by /v1/design.
        surrogate: The deployment that predicts.
        http: The deployment that listens.
        limits: What one HTTP process takes on.
        access: Who may ask.
    """

    problem: str = "bmg"
    data: str = "auto"
    bundle: Literal["default", "paper", "judge"] = "default"
    seed: int = 0
    store: Path | None = None
    runs: Path = Path("runs")
    surrogate: SurrogateSettings = SurrogateSettings()
    http: HttpSettings = HttpSettings()
    limits: LimitSettings = LimitSettings()
    access: AccessSettings = AccessSettings()


def read_serving_settings(values: dict[str, Any], source: str = "the service's args") -> ServingSettings:
    """Settings from plain values.

    Args:
        values: Values by key, as in the `args` of `serve/surrogate.yaml`.
        source: Where they come from, for messages.

    Raises:
        ConfigError: Names every key that is unknown or does not fit.
    """
    try:
        return ServingSettings.model_validate(values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            unknown = item["type"] == "extra_forbidden"
            lines.append(f"unknown key {key!r}" if unknown else f"{key} = {item['input']!r}: {item['msg'].lower()}")
        raise ConfigError(f"{source}: {'; '.join(lines)}") from error
