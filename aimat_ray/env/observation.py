"""What the agent sees: one flat float32 vector with named blocks, so that other parts find what they need in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aimat_ray.env.goals import GoalBatch, satisfaction
from aimat_ray.env.legality import FloatArray
from aimat_ray.prediction import Prediction

Float32Array = NDArray[np.float32]
DISPLACEMENT_SCALE, CHANGE_LEFT_SCALE = 10.0, 5.0
CLIP = 10.0  # no entry lies further from zero


@dataclass(frozen=True)
class ObservationLayout:
    """Sizes and positions of the blocks of an observation.

    Attributes:
        n_elements: E.
        n_bases: Number of bases of the problem (not only of this run), so that policies can be shared.
        n_quantities: Q.
        n_properties: P.
        full: False gives the fractions alone (the published observation).
    """

    n_elements: int
    n_bases: int
    n_quantities: int
    n_properties: int
    full: bool = True

    @property
    def blocks(self) -> dict[str, slice]:
        """Position of each named block."""
        sizes = {"at_frac": self.n_elements}
        if self.full:
            sizes |= {
                "base": self.n_bases,
                "quantities": self.n_quantities,
                "satisfaction": self.n_quantities,
                "at_least": self.n_quantities,
                "at_least_asked": self.n_quantities,
                "at_most": self.n_quantities,
                "at_most_asked": self.n_quantities,
                "spread": self.n_properties,
                "p_feasible": 1,
                "distance": 1,
                "change_left": 1,
                "displacement": self.n_elements,
            }
        blocks, position = {}, 0
        for name, size in sizes.items():
            blocks[name] = slice(position, position + size)
            position += size
        return blocks

    @property
    def size(self) -> int:
        """Length of an observation."""
        return max(block.stop for block in self.blocks.values())


@dataclass(frozen=True, slots=True)
class ObservationScale:
    """Location and width that bring quantities near [-1, 1], [Q] each, from the measured data."""

    centre: FloatArray
    width: FloatArray


def build_observation(
    layout: ObservationLayout,
    scale: ObservationScale,
    at_frac: FloatArray,
    start: FloatArray,
    base: NDArray[np.intp],
    prediction: Prediction,
    quantities: FloatArray,
    goals: GoalBatch,
) -> Float32Array:
    """Assemble the observations of a batch.

    Args:
        layout: Where each block goes.
        scale: Scaling of the quantities.
        at_frac: Current compositions, [B, E].
        start: Compositions at the start of the episodes, [B, E].
        base: Position of each row's base among the problem's bases, [B].
        prediction: Predictions for `at_frac`.
        quantities: Quantities that the goal is judged on, [B, Q].
        goals: Goals of the rows.

    Returns:
        Observations, [B, layout.size], float32, finite.
    """
    out = np.zeros((len(at_frac), layout.size), dtype=np.float32)
    blocks = layout.blocks
    out[:, blocks["at_frac"]] = at_frac
    if not layout.full:
        return out
    out[np.arange(len(base)), blocks["base"].start + base] = 1.0
    out[:, blocks["quantities"]] = np.nan_to_num((quantities - scale.centre) / scale.width)
    out[:, blocks["satisfaction"]] = (
        np.nan_to_num(np.where(goals.asked, satisfaction(quantities, goals) - 1.0, 0.0)) * 4
    )
    for side, bound in (("at_least", goals.at_least), ("at_most", goals.at_most)):
        asked = np.isfinite(bound)
        out[:, blocks[side]] = np.where(asked, (np.where(asked, bound, 0.0) - scale.centre) / scale.width, 0.0)
        out[:, blocks[f"{side}_asked"]] = asked
    n_properties = layout.n_properties
    out[:, blocks["spread"]] = np.nan_to_num(prediction.spread / scale.width[:n_properties])
    out[:, blocks["p_feasible"]] = 2 * np.nan_to_num(prediction.p_feasible[:, None]) - 1
    out[:, blocks["distance"]] = np.clip(np.nan_to_num(prediction.distance[:, None]), 0, 3)
    displacement = at_frac - start
    limited = np.isfinite(goals.max_change)
    left = np.where(limited, np.where(limited, goals.max_change, 0.0) - 0.5 * np.abs(displacement).sum(axis=1), 1.0)
    out[:, blocks["change_left"]] = (CHANGE_LEFT_SCALE * left[:, None]).clip(-1, 1)
    out[:, blocks["displacement"]] = np.where(limited[:, None], displacement * DISPLACEMENT_SCALE, 0.0)
    return np.clip(out, -CLIP, CLIP, out=out)
