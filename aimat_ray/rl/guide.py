"""What a distilled surrogate can tell the actor: the worth of a move as a differentiable function, and a move uphill.

Two uses (`agent.guidance`): `gradient` climbs r(s, a) + gamma Q(s', pi'(s')) through the net instead of Q(s, a);
`residual` lets the actor correct the net's own uphill move. The surrogate itself still rewards every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from aimat_ray.config import EnvSettings
from aimat_ray.env.goals import SATISFACTION_FLOOR
from aimat_ray.env.observation import CHANGE_LEFT_SCALE, DISPLACEMENT_SCALE
from aimat_ray.env.task import DesignTask
from aimat_ray.errors import ConfigError
from aimat_ray.rl.distilled_net import DistilledNet
from aimat_ray.search.distilled import DistilledSurrogate

_SOFT_P = 0.05  # width of the soft step at the feasibility threshold
_SOFT_GOAL = 0.02  # width of the soft step at the goal, in relative satisfaction
_ENTERS = 0.75  # action of the absent element that the net wants most; it enters above 0.5


def guide_spec(kind: str, task: DesignTask, net: DistilledSurrogate | None, gamma: float) -> dict[str, Any]:
    """The configuration of a guide.

    Args:
        kind: gradient or residual.
        task: What is designed.
        net: The distilled surrogate.
        gamma: Discount of the agent.

    Raises:
        ConfigError: The settings don't go together.
    """
    if task.settings.mode != "simplex" or task.settings.observation != "full":
        raise ConfigError(f"agent.guidance {kind!r} needs mode 'simplex' and the full observation")
    if task.settings.reward.robust or task.settings.reward.kind != "progress":
        raise ConfigError(f"agent.guidance {kind!r} works with the progress reward on means (not robust, not paper)")
    if net is None:
        raise ConfigError(f"agent.guidance {kind!r} needs a distilled surrogate; run aimat surrogate distil first")
    problem = task.problem
    keys = problem.property_keys
    return {
        "kind": kind,
        "net": net,
        "blocks": {name: (block.start, block.stop) for name, block in task.layout.blocks.items()},
        "centre": task.scale.centre.tolist(),
        "width": task.scale.width.tolist(),
        "derived": [(keys.index(d.numerator), keys.index(d.denominator)) for d in problem.derived],
        "threshold": problem.feasibility.threshold,
        "env": task.settings,
        "gamma": gamma,
    }


class Guide(nn.Module):
    """The net's opinion on walks, read from observations.

    Args:
        spec: From `guide_spec`.
    """

    centre: Tensor
    width: Tensor

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__()
        self.net = DistilledNet(spec["net"], frozen=True)
        self.blocks = {name: slice(*ends) for name, ends in spec["blocks"].items()}
        self.derived = [tuple(pair) for pair in spec["derived"]]
        self.threshold, self.gamma = float(spec["threshold"]), float(spec["gamma"])
        env: EnvSettings = spec["env"]
        self.reward, self.max_step = env.reward, env.max_step_at_pct / 100.0
        for name in ("centre", "width"):
            self.register_buffer(name, torch.tensor(spec[name], dtype=torch.float32), persistent=False)

    def block(self, obs: Tensor, name: str) -> Tensor:
        """A named part of observations [B, O]."""
        return obs[:, self.blocks[name]]

    def quantities(self, answers: Mapping[str, Tensor]) -> Tensor:
        """Quantities of the net's answers, [B, Q]."""
        mean = answers["mean"]
        ratios = [mean[:, top] / mean[:, bottom].clamp(min=1e-6) for top, bottom in self.derived]
        return torch.cat([mean, *(ratio[:, None] for ratio in ratios)], 1)

    def satisfaction(self, obs: Tensor, quantities: Tensor) -> tuple[Tensor, Tensor]:
        """How far each asked quantity is met, and which are asked; the torch twin of env.goals.satisfaction, [B, Q]."""
        low_asked, high_asked = self.block(obs, "at_least_asked") > 0, self.block(obs, "at_most_asked") > 0
        low = self.block(obs, "at_least") * self.width + self.centre
        high = self.block(obs, "at_most") * self.width + self.centre
        missing = torch.maximum((low - quantities) * low_asked, (quantities - high) * high_asked).clamp(min=0.0)
        scale = torch.where(low_asked, low, high).abs().clamp(min=1e-9)
        asked = low_asked | high_asked
        return torch.where(asked, (1.0 - missing / scale).clamp(min=SATISFACTION_FLOOR), 0.0), asked

    def merit(self, obs: Tensor, x: Tensor) -> Tensor:
        """Closeness to the goal less what the barrier takes off, for compositions x [B, E], [B]."""
        answers = self.net(x)
        met, _ = self.satisfaction(obs, self.quantities(answers))
        short = (self.reward.feasibility_barrier - answers["p_feasible"]).clamp(min=0.0)
        return met.sum(1) - self.reward.barrier_weight / self.reward.progress_weight * short

    def step(self, obs: Tensor, effect: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a move leads to, as the net sees it.

        Args:
            obs: Observations, [B, O].
            effect: Composition changes in units of the largest step, [B, E].

        Returns:
            Rewards [B], next observations [B, O], and the share that goes on (neither at the goal nor infeasible), [B];
            the steps at both thresholds are soft, so that they have slopes.
        """
        before, after = self.block(obs, "at_frac"), self.block(obs, "at_frac") + self.max_step * effect
        answers = self.net(after)
        quantities = self.quantities(answers)
        met, asked = self.satisfaction(obs, quantities)
        was, _ = self.satisfaction(obs, self.quantities(self.net(before)))
        p = answers["p_feasible"]
        feasible = ((p - self.threshold) / _SOFT_P).sigmoid()
        worst = torch.where(asked, met, 1.0).amin(1)
        at_goal = feasible * (1.0 + (worst - 1.0) / _SOFT_GOAL).clamp(0.0, 1.0)
        r = self.reward
        short = (r.feasibility_barrier - p).clamp(min=0.0)
        reward = r.progress_weight * (met - was).sum(1) + r.goal_bonus * at_goal - r.step_cost
        reward = reward - r.barrier_weight * short - r.infeasible_cost * (1.0 - feasible)
        return reward, self._observe(obs, effect, after, answers, quantities, met, asked), feasible * (1.0 - at_goal)

    def _observe(
        self,
        obs: Tensor,
        effect: Tensor,
        after: Tensor,
        answers: Mapping[str, Tensor],
        quantities: Tensor,
        met: Tensor,
        asked: Tensor,
    ) -> Tensor:
        """The next observation, in the scaling of env.observation; blocks that the net knows nothing of stay."""
        limited = (self.block(obs, "displacement").abs().sum(1, keepdim=True) > 0) | (
            self.block(obs, "change_left") < 1.0
        )
        displacement = self.block(obs, "displacement") + DISPLACEMENT_SCALE * self.max_step * effect * limited
        moved = (displacement.abs() - self.block(obs, "displacement").abs()).sum(1, keepdim=True) / DISPLACEMENT_SCALE
        n_properties = answers["spread"].shape[1]
        new = {
            "at_frac": after,
            "quantities": (quantities - self.centre) / self.width,
            "satisfaction": 4.0 * torch.where(asked, met - 1.0, 0.0),
            "spread": answers["spread"].clamp(min=0.0) / self.width[:n_properties],
            "p_feasible": 2.0 * answers["p_feasible"][:, None] - 1.0,
            "distance": answers["distance"][:, None].clamp(0.0, 3.0),
            "change_left": (self.block(obs, "change_left") - 0.5 * CHANGE_LEFT_SCALE * moved * limited).clamp(
                -1.0, 1.0
            ),
            "displacement": displacement,
        }
        order = sorted(self.blocks, key=lambda name: self.blocks[name].start)
        return torch.cat([new.get(name, self.block(obs, name)) for name in order], 1).clamp(-10.0, 10.0)

    def uphill(self, obs: Tensor) -> Tensor:
        """The move that the net wants: its slope, the largest entry at full speed, [B, A]; without gradient.

        Of the absent elements only the one with the steepest slope enters, and only when no present one is steeper.
        """
        with torch.enable_grad():
            x = self.block(obs, "at_frac").detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.merit(obs.detach(), x).sum(), x)
        present = x.detach() > 0
        mean = (slope * present).sum(1, keepdim=True) / present.sum(1, keepdim=True).clamp(min=1)
        slope = slope - mean
        inside = torch.where(present, slope, 0.0)
        move = inside / inside.abs().amax(1, keepdim=True).clamp(min=1e-9)
        outside = torch.where(present, -torch.inf, slope)
        best, column = outside.max(1, keepdim=True)
        enters = best > inside.amax(1, keepdim=True)
        wish = torch.zeros_like(move).scatter_(1, column, torch.full_like(best, _ENTERS)) * enters
        return torch.where(present, move, wish).detach()


class ResidualActor(nn.Module):
    """An actor that corrects the net's uphill move.

    Args:
        inner: Actor of the correction: observations [B, O] -> [B, A] in (-1, 1).
        guide: Gives the move to correct.
    """

    def __init__(self, inner: nn.Module, guide: Guide) -> None:
        super().__init__()
        self.inner, self.guide = inner, guide

    def forward(self, obs: Tensor) -> Tensor:
        """Actions in [-1, 1], [B, A]."""
        correction: Tensor = self.inner(obs)
        return (self.guide.uphill(obs) + correction).clamp(-1.0, 1.0)
