"""What the models of several routers share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]


class Wire(BaseModel):
    """Base of what goes over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Bound(Wire):
    """Smallest and largest acceptable value of a quantity, in its unit."""

    at_least: Finite | None = None
    at_most: Finite | None = None
