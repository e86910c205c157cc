"""Rates with intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass

_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of successes with its 95 % interval (Wilson score)."""

    mean: float
    lower: float
    upper: float
    n: int

    @classmethod
    def of(cls, successes: int, n: int) -> Rate:
        """Rate of `successes` among `n` independent trials."""
        if n == 0:
            return cls(float("nan"), 0.0, 1.0, 0)
        mean, z2 = successes / n, _Z95**2
        centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z95 * ((mean * (1 - mean) + z2 / (4 * n)) / n) ** 0.5 / (1 + z2 / n)
        return cls(mean, max(0.0, centre - half), min(1.0, centre + half), n)

    def as_dict(self) -> dict[str, float | int]:
        """Plain mapping for JSON."""
        return asdict(self)
