"""The design environment: pure batched functions under a thin gymnasium vector environment."""
