"""Starts reserved for requests that are about to come, where limits grant all that is asked for.

One question to Redis for each task would cost more than many tasks take. Where nobody had to wait,
the next question asks for some starts more, a few milliseconds ahead, which later arrivals use up.
That is never more than the limits let start in that time, and what is not used is given back.
"""

from __future__ import annotations

import math

from ...limiter import Decision
from ...limits import FixedWindow, Limit, SlidingWindow, TokenBucket
from .held import Line

__all__ = ["STOCK_SECONDS", "adjust", "expiry", "most_of", "take", "take_old"]

STOCK_SECONDS = 0.02
"""How far ahead such starts may lie: no more is kept than the limits let start in so long."""

ARRIVALS_SECONDS = 0.05
"""For how long what is kept lasts, if as much comes as came lately: a question costs as much as
several starts."""

KEPT_SECONDS = 0.05
"""For how long after their moment such starts are kept."""

SHORTEST_SECONDS = 0.001
"""Arrivals within less say nothing about how many will come."""

MOST_STOCKED = 128


def take(line: Line, now: float) -> tuple[float, Decision] | None:
    """The next start in stock with its moment; None where there is none that is still in time."""
    stock = line.stock
    if not stock or stock[0][0] + KEPT_SECONDS <= now:
        return None
    return stock.popleft()


def take_old(line: Line, now: float) -> list[tuple[float, Decision]]:
    """What was kept for too long, with its moments."""
    old = []
    while line.stock and line.stock[0][0] + KEPT_SECONDS <= now:
        old.append(line.stock.popleft())
    return old


def expiry(line: Line) -> float:
    """From when on nothing may be used any more of what a line has in stock."""
    return line.stock[-1][0] + KEPT_SECONDS if line.stock else math.inf


def adjust(line: Line, now: float, *, is_plentiful: bool) -> None:
    """Decides how much to ask for the next time: what is likely to be used up, or nothing.

    To be called after each answer; ``line.arrivals`` counts those that came since the one before.
    """
    elapsed = max(now - line.counted_since, SHORTEST_SECONDS)
    likely = math.floor(line.arrivals / elapsed * ARRIVALS_SECONDS)
    line.arrivals, line.counted_since = 0, now
    line.stock_size = min(likely, most_of(line)) if is_plentiful else 0


def most_of(line: Line) -> int:
    """The most that may be in stock for a line."""
    return min((_refilled(limit) for limit in line.limits), default=0)


def _refilled(limit: Limit) -> int:
    """How many calls a limit lets start in the time that is looked ahead."""
    if not isinstance(limit, (TokenBucket, FixedWindow, SlidingWindow)):
        return 0
    cost = limit.cost
    assert not callable(cost)  # Lines have limits that were worked out.
    if limit.is_unlimited or not cost:
        return MOST_STOCKED
    return min(MOST_STOCKED, math.floor(limit.rate.per_second * STOCK_SECONDS / cost))
