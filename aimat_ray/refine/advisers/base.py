"""What an adviser is asked and how it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aimat_ray.errors import AimatError
from aimat_ray.refine.records import Proposal, Trigger

FloatArray = NDArray[np.float64]


class AdviceError(AimatError):
    """There is no proposal.

    Args:
        message: Why.
        final: Asking again is of no use.
    """

    def __init__(self, message: str, final: bool = True) -> None:
        super().__init__(message)
        self.final = final

    def __reduce__(self) -> tuple[object, ...]:
        return AdviceError, (self.message, self.final)


@dataclass(frozen=True, eq=False)
class Question:
    """What an adviser may look at.

    Attributes:
        trigger: Why it is asked.
        label: The property in words, with its unit.
        candidates: The closed list: names of descriptors that may be chosen.
        in_use: Descriptors that the property's models read already; choosing one of them again gives it a weight of
            its own.
        tried: Sets that were tried and refused.
        values: Candidate descriptors of the measured rows, [N, len(candidates)].
        residual: Measured minus predicted value of each row, by models that never saw its chemical system, [N]; NaN
            where not measured.
        fold: Fold by chemical system of each row, [N].
        system: Number of the chemical system of each row, [N].
        most: Largest number of descriptors in a proposal.
        seed: For whatever is random.
    """

    trigger: Trigger
    label: str
    candidates: tuple[str, ...]
    in_use: tuple[str, ...]
    tried: tuple[tuple[str, ...], ...]
    values: FloatArray
    residual: FloatArray
    fold: NDArray[np.int64]
    system: NDArray[np.int64]
    most: int = 3
    seed: int = 0

    def check(self, descriptors: tuple[str, ...]) -> tuple[str, ...]:
        """The proposal without repetitions.

        Raises:
            AdviceError: It is empty, too long, was tried before, or names something outside the closed list.
        """
        chosen = tuple(dict.fromkeys(descriptors))
        unknown = [name for name in chosen if name not in self.candidates]
        if unknown:
            raise AdviceError(f"proposed {unknown[0][:60]!r}, which is not in the closed list", final=False)
        if not 1 <= len(chosen) <= self.most:
            raise AdviceError(f"proposed {len(chosen)} descriptors; 1 to {self.most} are allowed", final=False)
        if any(set(chosen) == set(before) for before in self.tried):
            raise AdviceError(f"proposed {', '.join(chosen)} again, which was refused", final=False)
        return chosen


class Adviser(Protocol):
    """Chooses descriptors."""

    def propose(self, question: Question) -> Proposal:
        """Choose.

        Raises:
            AdviceError: Nothing to propose.
        """


class NoAdviser:
    """Proposes nothing: triggers are watched and logged, and the surrogate stays as it is."""

    def propose(self, question: Question) -> Proposal:
        """See `Adviser`."""
        raise AdviceError("no adviser: the run only watches")
