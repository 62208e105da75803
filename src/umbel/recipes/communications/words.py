"""Estimates as words in a verdict."""

from umbel.report import Estimate


def points(estimate: Estimate, unit: str = "points") -> str:
    """A difference with its interval, "+1.2 ± 0.4 points"."""
    if not estimate.known:
        return "an unknown difference"
    return f"{estimate.mean:+.1f}{_interval(estimate)} {unit}"


def percent(estimate: Estimate) -> str:
    """A part with its interval, "93.1 ± 0.4 %"."""
    return f"{estimate.mean:.1f}{_interval(estimate)} %" if estimate.known else "an unknown part"


def _interval(estimate: Estimate) -> str:
    return f" ± {estimate.half_width:.1f}" if estimate.has_interval else ""
