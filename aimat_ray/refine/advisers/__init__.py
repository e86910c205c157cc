"""Advisers: who chooses the descriptors of a refinement, always from a closed list."""

from aimat_ray.refine.advisers.base import AdviceError, Adviser, NoAdviser, Question

__all__ = ["AdviceError", "Adviser", "NoAdviser", "Question"]
