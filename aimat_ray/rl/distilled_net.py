"""The distilled surrogate in torch: for fitting it, and for gradients through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aimat_ray.search.distilled import N_LAYERS, ROOT_SHIFT, DistilledSurrogate


class DistilledNet(nn.Module):
    """The same function as `DistilledSurrogate`, differentiable in the composition.

    Args:
        model: The arrays to start from; `frozen` keeps them.
        frozen: Whether its parameters take no gradient.
    """

    feature_mean: Tensor
    feature_scale: Tensor
    answer_mean: Tensor
    answer_scale: Tensor
    properties: Tensor
    enthalpies: Tensor

    def __init__(self, model: DistilledSurrogate, frozen: bool = False) -> None:
        super().__init__()
        self.n_properties = model.n_properties
        properties, enthalpies = model.chemistry
        constants = {"properties": properties, "enthalpies": enthalpies}
        for name in ("feature_mean", "feature_scale", "answer_mean", "answer_scale"):
            constants[name] = model.arrays[name]
        for name, values in constants.items():
            self.register_buffer(name, torch.as_tensor(np.asarray(values, dtype=np.float32)), persistent=False)
        layers: list[nn.Module] = []
        for layer in range(N_LAYERS):
            weight = torch.as_tensor(np.asarray(model.arrays[f"weight_{layer}"], dtype=np.float32))
            linear = nn.Linear(*weight.shape)
            linear.weight.data.copy_(weight.T)
            linear.bias.data.copy_(torch.as_tensor(np.asarray(model.arrays[f"bias_{layer}"], dtype=np.float32)))
            layers += [linear, nn.ReLU()] if layer < N_LAYERS - 1 else [linear]
        self.net = nn.Sequential(*layers).requires_grad_(not frozen)

    def features(self, x: Tensor) -> Tensor:
        """Inputs of the net from compositions [B, E]; see search.distilled.features."""
        mean = x @ self.properties
        variance = x @ self.properties.square() - mean.square()
        mixing = 2.0 * ((x @ self.enthalpies) * x).sum(1, keepdim=True)
        repulsion = 2.0 * ((x @ self.enthalpies.clamp(min=0.0)) * x).sum(1, keepdim=True)
        entropy = -(x * x.clamp(min=ROOT_SHIFT).log()).sum(1, keepdim=True)
        parts = [x, (x.clamp(min=0.0) + ROOT_SHIFT).sqrt(), mean, variance, mixing, repulsion, entropy]
        return torch.cat(parts, 1)

    def scaled(self, x: Tensor) -> Tensor:
        """Raw outputs, [B, 4 P + 3]: scaled answers, class logit, domain logit."""
        outputs: Tensor = self.net((self.features(x) - self.feature_mean) / self.feature_scale)
        return outputs

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Answers for compositions [B, E]: mean, lower, upper, spread [B, P]; distance, p_feasible [B]."""
        out, p = self.scaled(x), self.n_properties
        answers = out[:, : 4 * p + 1] * self.answer_scale + self.answer_mean
        names = ("mean", "lower", "upper", "spread")
        result = {name: answers[:, i * p : (i + 1) * p] for i, name in enumerate(names)}
        return result | {"distance": answers[:, 4 * p], "p_feasible": out[:, 4 * p + 1].sigmoid()}

    def arrays(self) -> dict[str, Any]:
        """The arrays of a `DistilledSurrogate`."""
        stored: dict[str, Any] = {
            name: getattr(self, name).numpy().astype(np.float64)
            for name in ("feature_mean", "feature_scale", "answer_mean", "answer_scale")
        }
        linears = [layer for layer in self.net if isinstance(layer, nn.Linear)]
        for i, layer in enumerate(linears):
            stored |= {
                f"weight_{i}": layer.weight.detach().numpy().T.copy(),
                f"bias_{i}": layer.bias.detach().numpy().copy(),
            }
        return stored
