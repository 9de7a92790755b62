"""The arithmetic of the figures: pure functions of the tasks' own start times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .journal import Start
from .plan import Plan

__all__ = [
    "Figures",
    "figures_of",
    "fits_limit",
    "most_in_window",
    "percentile",
    "reached_per_second",
    "share_of_limit",
]

ROUNDING_SECONDS = 2e-6
"""How much nearer two grants may be than the limit says: each is a whole microsecond."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a run reached.

    ``done`` counts the tasks, ``starts`` their starts: equal unless some ran twice. ``resent``
    counts the messages that were sent again to wait, ``retries`` the real retries that were spent.
    """

    starts: int
    done: int
    reached_per_second: float
    share: float
    worst_window: int
    worst_granted_window: int
    keeps_limit: bool
    lateness_p50_seconds: float
    lateness_p99_seconds: float
    retries: int
    resent: int


def figures_of(starts: Sequence[Start], plan: Plan, resent: int) -> Figures:
    """The figures of a run that is over."""
    moments = sorted(start.started_at for start in starts)
    granted = sorted(start.granted_at for start in starts)
    lateness = sorted(start.lateness_seconds for start in starts)
    return Figures(
        starts=len(starts),
        done=len({start.number for start in starts}),
        reached_per_second=reached_per_second(moments),
        share=share_of_limit(moments, plan.rate.per_second, plan.burst),
        worst_window=most_in_window(moments),
        worst_granted_window=most_in_window(granted),
        keeps_limit=fits_limit(granted, plan.rate.per_second, plan.burst),
        lateness_p50_seconds=percentile(lateness, 0.50),
        lateness_p99_seconds=percentile(lateness, 0.99),
        retries=sum(start.retries for start in starts),
        resent=resent,
    )


def reached_per_second(moments: Sequence[float]) -> float:
    """The rate from the first to the last of the sorted ``moments``; 0.0 for fewer than two.

    >>> reached_per_second([10.0, 10.5, 11.0])
    2.0
    """
    if len(moments) < 2:
        return 0.0
    took = moments[-1] - moments[0]
    return (len(moments) - 1) / took if took > 0 else math.inf


def share_of_limit(moments: Sequence[float], per_second: float, burst: float) -> float:
    """How much of what the limit allowed was used: the shortest time it allows over the time taken.

    With a burst of 1 this is the reached rate over the allowed one; what a larger burst lets start
    at once is no merit.

    >>> share_of_limit([0.0, 0.5, 1.25], 2, 1), share_of_limit([0.0, 0.0, 0.0, 0.5], 2, 3)
    (0.8, 1.0)
    """
    shortest = max(0.0, len(moments) - burst) / per_second
    took = moments[-1] - moments[0] if moments else 0.0
    return shortest / took if took > 0 else float(bool(moments))


def most_in_window(moments: Sequence[float], seconds: float = 1.0) -> int:
    """The most of the sorted ``moments`` in any stretch of ``seconds``, both ends included.

    >>> most_in_window([0.0, 0.1, 0.9, 1.0, 1.05])
    4
    """
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def fits_limit(granted: Sequence[float], per_second: float, burst: float) -> bool:
    """Whether no second of the sorted granted moments holds more than ``burst`` + rate.

    Lateness only moves starts away from their grants, so grants tell whether a limit was kept
    where starts that were late together look like too many.
    """
    return most_in_window(granted) <= burst + per_second * (1 + ROUNDING_SECONDS)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the sorted ``values`` that ``share`` of them do not exceed; 0.0 for none.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5), percentile([1.0, 2.0, 3.0, 4.0], 0.99)
    (2.0, 4.0)
    """
    if not values:
        return 0.0
    return values[max(0, math.ceil(share * len(values)) - 1)]
