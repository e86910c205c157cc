"""aimat-ray: distributed reinforcement learning for inverse materials design."""

__version__ = "0.1.0"
