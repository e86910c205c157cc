"""How often a run of a sweep speaks."""

from __future__ import annotations


class Pace:
    """Keeps reports apart in time; what is urgent goes out at once.

    Args:
        every_s: Seconds between two reports.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next_s = 0.0

    def due(self, now_s: float, urgent: bool = False) -> bool:
        """Whether to report now; if so, the next one has to wait."""
        if now_s < self._next_s and not urgent:
            return False
        self._next_s = now_s + self._every_s
        return True
