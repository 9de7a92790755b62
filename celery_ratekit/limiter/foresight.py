"""When a call will start that waits behind others: no I/O."""

from __future__ import annotations

import math

from ..limits import FixedWindow, Limit, SlidingWindow, TokenBucket

__all__ = ["seconds_behind"]


def seconds_behind(limit: Limit, before: int) -> float:
    """How long after the first of those that wait the one starts that has ``before`` ahead of it.

    All take what ``limit`` says as its cost, and nobody else takes any of it. Infinity where that
    cannot be foreseen: limits that are paused, places that others give back, and schedules.
    """
    if limit.is_paused:
        return math.inf
    if before <= 0 or limit.is_unlimited or callable(limit.cost) or not limit.cost:
        return 0.0
    if isinstance(limit, TokenBucket):
        return before * limit.cost / limit.rate.per_second
    if isinstance(limit, (FixedWindow, SlidingWindow)):
        at_once = max(1, math.floor(limit.capacity / limit.cost))
        return before // at_once * limit.rate.period_seconds
    return math.inf
