"""How near the starts of tasks came to what their limit allows: never more, hardly less.

Granted moments are Redis' own word, starts are the first line of a body: both on one clock.
"""

from __future__ import annotations

from typing import Any

from support.journal import most_beyond

from celery_ratekit.demo.figures import most_in_window, share_of_limit

__all__ = [
    "LEAST_SHARE",
    "ROUNDING",
    "check_exact",
    "check_not_saved_up",
    "granted_moments",
    "used_share",
]

ROUNDING = 1e-3
"""Of a count: sums of microseconds, some of them in floating point."""

LEAST_SHARE = 0.7
"""Of a rate: a test only makes sure that nothing is wasted by design, whatever else keeps the
machine busy; benchmarks say how much is used."""

CLOCK_SECONDS = 0.001
"""How much Redis' clock may differ from Python's: both read the machine's, one after the other."""

Start = dict[str, Any]


def granted_moments(starts: list[Start]) -> list[float]:
    """The granted moments in their order, seconds since 1970."""
    return sorted(float(start["granted_at"]) for start in starts)


def used_share(starts: list[Start], per_second: float, burst: float = 1) -> float:
    """How much of the allowed rate was used from the first to the last start."""
    return share_of_limit(sorted(float(start["at"]) for start in starts), per_second, burst)


def check_exact(starts: list[Start], per_second: float, burst: float = 1) -> None:
    """No start comes before its grant, and grants keep to the limit in every stretch of time."""
    for start in starts:
        assert start["at"] >= start["granted_at"] - CLOCK_SECONDS, start
    assert most_beyond(granted_moments(starts), per_second) <= burst + ROUNDING


def check_not_saved_up(starts: list[Start], per_second: float, burst: float = 1) -> None:
    """No second holds more starts than the limit allows in it and in the longest lateness."""
    longest = max(start["at"] - start["granted_at"] for start in starts)
    most = most_in_window(sorted(float(start["at"]) for start in starts))
    allowed = burst + per_second * (1 + max(0.0, longest))
    assert most <= allowed + ROUNDING, (most, longest)
