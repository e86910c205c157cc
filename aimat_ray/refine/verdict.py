"""Whether a retrained surrogate replaces the one in use. Pure."""

from __future__ import annotations

from aimat_ray.config import VerdictSettings
from aimat_ray.refine.records import Comparison, Verdict


def judge(comparison: Comparison, settings: VerdictSettings, max_attempts: int) -> Verdict:
    """Hold a comparison against every condition.

    Args:
        comparison: Errors, spread and coverage before and after.
        settings: The limits.
        max_attempts: How many proposals one trigger may have; the allowed chance of a false gain is shared by them.
    """
    c, s = comparison, settings
    allowed = (1.0 - s.confidence) / max_attempts
    low, high = s.coverage
    worse = {
        key: change.after / max(change.before, 1e-300) - 1.0
        for key, change in c.others.items()
        if change.after > change.before * (1.0 + s.other_tolerance)
    }
    checks = {
        "error_falls": c.gain >= s.min_gain,
        "not_by_chance": c.p_value <= allowed,
        "variance_falls": c.variance.after < c.variance.before,
        "others_hold": not worse,
        "coverage_in_band": low <= c.coverage <= high,
    }
    words = {
        "error_falls": f"squared error of {c.property_key} on unseen systems changes by {-c.gain:+.1%}; "
        f"asked: {-s.min_gain:+.1%} or better",
        "not_by_chance": f"probability {c.p_value:.3f} of such a fall by chance; allowed: {allowed:.3f}",
        "variance_falls": f"variance over systems where the trigger fired: {c.variance.before:.4g} to "
        f"{c.variance.after:.4g}; it must fall",
        "others_hold": "other properties: "
        + (", ".join(f"{key} {change:+.1%}" for key, change in worse.items()) or "none worsens")
        + f"; allowed: +{s.other_tolerance:.1%}",
        "coverage_in_band": f"90 % intervals cover {c.coverage:.1%}; asked: {low:.0%} to {high:.0%}",
    }
    return Verdict(accepted=all(checks.values()), checks=checks, reasons=tuple(words[name] for name in checks))
