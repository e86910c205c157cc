"""A policy of several actors: stands still less often than any of them. See td3-design.md."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Turns(nn.Module):
    """A policy of several actors that take turns, one step each: where one of them stands still, another goes on.

    Args:
        actors: The newest first.
    """

    def __init__(self, actors: Sequence[nn.Module]) -> None:
        super().__init__()
        self.actors = nn.ModuleList(actors)

    def forward(self, obs: Tensor, step: Tensor) -> Tensor:
        """Actions for `obs` [B, O] of walks that have taken `step` steps, [B]."""
        actions = torch.stack([actor(obs) for actor in self.actors])
        chosen: Tensor = actions[step % len(self.actors), torch.arange(len(obs))]
        return chosen
