"""An actor that treats all elements alike: one network looks at each element in turn, so that it also serves bases
that it was not trained on. See any-goal-design.md.

What it sees of an element: its properties, its fraction and window, and (by the distilled surrogate's slopes) what more
of it would do to the tightest bounds of the walk's own goal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aimat_ray.data.windows import BaseWindow
from aimat_ray.env.legality import MIN_FRACTION
from aimat_ray.env.task import DesignTask
from aimat_ray.errors import ConfigError
from aimat_ray.rl.distilled_net import DistilledNet
from aimat_ray.search.distilled import DistilledSurrogate, chemistry_of

_TIGHTEST = 3  # bounds of a goal that are looked at, the tightest first
_N_SLOPES = _TIGHTEST + 2  # and the class, and the distance to the data
_EMBEDDING = 16
_FREE_MARGIN = 1.0  # margin of a bound that is not there
_WIDEST = 1.0
_SLOPE_SCALE = 10.0
_FACTS = (
    "quantities", "satisfaction", "at_least_asked", "at_most_asked", "spread", "p_feasible", "distance", "change_left",
)  # fmt: skip


def element_spec(task: DesignTask, windows: Mapping[str, BaseWindow], net: DistilledSurrogate | None) -> dict[str, Any]:
    """The configuration of the actor.

    Args:
        task: What is designed.
        windows: Windows of all bases of the data, also of those that this run does not train on.
        net: The distilled surrogate; None leaves the slopes out.

    Raises:
        ConfigError: The settings don't go together.
    """
    if task.settings.mode != "simplex" or task.settings.observation != "full":
        raise ConfigError("agent.network 'elements' needs mode 'simplex' and the full observation")
    problem = task.problem
    bounds = np.zeros((2, len(problem.bases), len(problem.elements)))
    for row, base in enumerate(problem.bases):
        if base in windows:
            bounds[:, row] = windows[base].lower, windows[base].upper
    return {
        "kind": "elements",
        "blocks": {name: (block.start, block.stop) for name, block in task.layout.blocks.items()},
        "properties": chemistry_of(problem.elements)[0].tolist(),
        "lower": bounds[0].tolist(),
        "upper": bounds[1].tolist(),
        "centre": task.scale.centre.tolist(),
        "width": task.scale.width.tolist(),
        "derived": [
            (problem.property_keys.index(d.numerator), problem.property_keys.index(d.denominator))
            for d in problem.derived
        ],
        "max_step": task.max_step,
        "net": net,
    }


class ElementActor(nn.Module):
    """Deterministic policy: obs [B, O] -> action [B, E] in (-1, 1).

    Args:
        spec: From `element_spec`.
        hidden: Width of the element network, and of the network of the whole alloy.
    """

    properties: Tensor
    lower: Tensor
    upper: Tensor
    centre: Tensor
    width: Tensor

    def __init__(self, spec: Mapping[str, Any], hidden: tuple[int, int] = (64, 128)) -> None:
        super().__init__()
        self.blocks = {name: slice(*ends) for name, ends in spec["blocks"].items()}
        self.derived = [tuple(pair) for pair in spec["derived"]]
        self.max_step = float(spec["max_step"])
        for name in ("properties", "lower", "upper", "centre", "width"):
            self.register_buffer(name, torch.tensor(spec[name], dtype=torch.float32), persistent=False)
        self.net = None if spec["net"] is None else DistilledNet(spec["net"], frozen=True)
        n_slopes = 0 if self.net is None else _N_SLOPES
        n_facts = sum(self.blocks[name].stop - self.blocks[name].start for name in _FACTS) + _TIGHTEST + n_slopes
        one, whole = hidden
        self.embed = nn.Linear(self.properties.shape[1], _EMBEDDING, bias=False)
        self.look = nn.Sequential(nn.Linear(_EMBEDDING + 7 + n_slopes, one), nn.ReLU(), nn.Linear(one, one), nn.ReLU())
        self.gather = nn.Sequential(
            nn.Linear(n_facts + 3 * one, whole), nn.ReLU(), nn.Linear(whole, whole), nn.ReLU(), nn.Linear(whole, one)
        )
        self.decide = nn.Sequential(nn.Linear(one, one), nn.ReLU(), nn.Linear(one, 1))
        self.mix = nn.Linear(one, one)

    def forward(self, obs: Tensor) -> Tensor:
        """Actions for `obs`; 0 for elements that its window does not admit."""
        x = self.block(obs, "at_frac").detach()
        window = self.block(obs, "base").argmax(1)
        lower, upper, present = self.lower[window], self.upper[window], x > 0
        own = [x * 4, x.clamp(min=0).sqrt(), present.float(), (x >= x.amax(1, keepdim=True)).float(),
               self.block(obs, "displacement"), (x - lower) * 4, (upper - x) * 4]  # fmt: skip
        facts = [self.block(obs, name) for name in _FACTS]
        facts.append(self.tightest(self.margins(obs, self.quantities_of(obs))))
        if self.net is not None:
            slopes, levels = self.slopes(obs, x)
            own += list(slopes.unbind(-1))
            facts.append(levels)
        # A window admits nine elements on average, of 52: only those are looked at, as one long list.
        row, element = (present | (upper > MIN_FRACTION)).nonzero(as_tuple=True)
        each = torch.stack([values[row, element] for values in own], 1)
        seen = self.look(torch.cat([self.embed(self.properties)[element], each], 1))
        whole = self.gather(torch.cat([*facts, *_pooled(seen, row, x[row, element], len(x))], 1))
        action = torch.tanh(self.decide(torch.relu(self.mix(seen) + whole[row])).squeeze(-1))
        return torch.zeros_like(x).index_put((row, element), action)

    def block(self, obs: Tensor, name: str) -> Tensor:
        """A named part of observations [B, O]."""
        return obs[:, self.blocks[name]]

    def quantities_of(self, obs: Tensor) -> Tensor:
        """Quantities as the surrogate predicts them, [B, Q]."""
        return self.block(obs, "quantities") * self.width + self.centre

    def margins(self, obs: Tensor, quantities: Tensor) -> Tensor:
        """Relative margin of every quantity to its bound, [B, Q]; a free one has the widest."""
        low = self.block(obs, "at_least") * self.width + self.centre
        high = self.block(obs, "at_most") * self.width + self.centre
        above = (quantities - low) / low.abs().clamp(min=1e-6)
        below = (high - quantities) / high.abs().clamp(min=1e-6)
        above = torch.where(self.block(obs, "at_least_asked") > 0, above, _FREE_MARGIN)
        below = torch.where(self.block(obs, "at_most_asked") > 0, below, _FREE_MARGIN)
        return torch.minimum(above, below).clamp(-_WIDEST, _WIDEST)

    @staticmethod
    def tightest(margins: Tensor) -> Tensor:
        """The smallest margins, the tightest first, [B, 3]."""
        return margins.sort(1).values[:, :_TIGHTEST]

    def slopes(self, obs: Tensor, at_frac: Tensor) -> tuple[Tensor, Tensor]:
        """What the distilled surrogate expects of a full step of each element, [B, E, 5], and its levels, [B, 5].

        Of the tightest margins, the class and the distance to the data; without gradient.
        """
        assert self.net is not None
        with torch.enable_grad():
            x = at_frac.detach().requires_grad_(True)
            answers = self.net(x)
            mean = answers["mean"]
            ratios = [mean[:, top] / mean[:, bottom].clamp(min=1e-6) for top, bottom in self.derived]
            quantities = torch.cat([mean, *(ratio[:, None] for ratio in ratios)], 1)
            margins = self.tightest(self.margins(obs.detach(), quantities))
            levels = torch.cat([margins, answers["p_feasible"][:, None], answers["distance"][:, None]], 1)
            each = torch.eye(_N_SLOPES, device=x.device)[:, None].expand(-1, len(x), -1)
            (slope,) = torch.autograd.grad(levels, x, each, is_grads_batched=True)
        slope = slope.permute(1, 2, 0)
        present = (at_frac > 0).float()[..., None]
        slope = slope - (slope * present).sum(1, keepdim=True) / present.sum(1, keepdim=True).clamp(min=1)
        return torch.asinh(_SLOPE_SCALE * self.max_step * slope).detach(), levels.detach()


def _pooled(seen: Tensor, row: Tensor, at_frac: Tensor, n: int) -> list[Tensor]:
    """What a list of elements says about its alloys: mean by fraction, plain mean and largest, [n, H] each."""
    zeros = seen.new_zeros(n, seen.shape[1])
    count = torch.bincount(row, minlength=n).clamp(min=1)[:, None]
    at = row[:, None].expand_as(seen)
    return [
        zeros.index_add(0, row, seen * at_frac[:, None]),
        zeros.index_add(0, row, seen) / count,
        zeros.scatter_reduce(0, at, seen, "amax"),
    ]
