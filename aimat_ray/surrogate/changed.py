"""What a refinement changed: the one property in which two bundles differ, and that property's predictions alone.

A refined bundle shares class model, domain and all other properties with the one before, to the bit. Whoever keeps
predictions of the version before needs to ask for one property only, a small part of a bundle's work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aimat_ray.surrogate.artifacts import ModelState, pack
from aimat_ray.surrogate.base import FloatArray
from aimat_ray.surrogate.bundle import SurrogateBundle
from aimat_ray.surrogate.refined import RefinedEnsemble, base_of


@dataclass(frozen=True, eq=False)
class ChangedProperty:
    """A property in which a bundle differs from the one before it, and in which alone.

    Attributes:
        bundle: The later bundle.
        target: Position of the property.
    """

    bundle: SurrogateBundle
    target: int

    @property
    def version(self) -> str:
        """Version of the later bundle."""
        return self.bundle.version

    def predict(self, at_frac: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and spread of the property, [B] each, to the bit as the bundle predicts them.

        Args:
            at_frac: Atomic fractions, [B, E].
        """
        parts = self.bundle._parts
        assert isinstance(parts.ensemble, RefinedEnsemble), "see changed_property"
        inputs = parts.ensemble.space.transform(np.ascontiguousarray(at_frac, dtype=np.float64))
        mean, spread = parts.ensemble.predict_refined(inputs, self.target)
        low, high = parts.intervals.plausible[self.target]
        return np.clip(mean, low, high), spread


def changed_property(before: SurrogateBundle, after: SurrogateBundle) -> ChangedProperty | None:
    """The property in which `after` differs; None where they differ in more than one, or in anything else."""
    if before.version == after.version or not isinstance(after._parts.ensemble, RefinedEnsemble):
        return None
    old, new = _refined(before), _refined(after)
    changed = [target for target in new if old.get(target) != new[target]]
    if len(changed) != 1 or set(old) - set(new) or _shared(before) != _shared(after):
        return None
    return ChangedProperty(after, changed[0])


def _refined(bundle: SurrogateBundle) -> dict[int, dict[str, bytes]]:
    """The numbers of each refined property's models; not where their inputs stand among all inputs."""
    found = {}
    for refinement in getattr(bundle._parts.ensemble, "refinements", ()):
        state = refinement.models.state()
        meta = {"picks": list(refinement.picks), "weights": state.meta["weights"]}
        found[refinement.target] = pack(ModelState("models", meta=meta, arrays=state.arrays, children=state.children))
    return found


def _shared(bundle: SurrogateBundle) -> dict[str, bytes]:
    """Everything that refinements leave alone."""
    parts = bundle._parts
    whole = parts.state()
    kept = {name: child for name, child in whole.children.items() if name in ("index", "domain")}
    children = {"base": base_of(parts.ensemble).state(), **kept}
    return pack(ModelState("shared", meta=whole.meta, arrays=whole.arrays, children=children))
