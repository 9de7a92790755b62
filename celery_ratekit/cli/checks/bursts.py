"""Whether a bucket lets far more start at once than its rate suggests."""

from __future__ import annotations

from collections.abc import Iterator

from ...limits import Limit, TokenBucket
from ..durations import short
from .facts import Facts
from .finding import Finding, ok, warning

__all__ = ["NAME", "check", "refill_seconds"]

NAME = "bursts"

LONG_SECONDS = 600.0
MOST_PERIODS = 10


def check(facts: Facts) -> Iterator[Finding]:
    """The time that a bucket takes to be full, which is how much of its rate it lets go at once."""
    found = False
    for limit in facts.limits:
        if _is_large(limit):
            found = True
            yield warning(
                f"the bucket of {limit.name!r:.80} holds {limit.capacity:g}: after a pause as many "
                f"start at once as its rate allows in {short(refill_seconds(limit))}",
                "lower its burst, or raise its rate",
            )
    if not found:
        yield ok("no bucket is much larger than its rate")


def refill_seconds(limit: TokenBucket | Limit) -> float:
    """How long an empty bucket takes to be full; 0 for what is none, is paused or unlimited."""
    if not isinstance(limit, TokenBucket) or limit.is_paused or limit.is_unlimited:
        return 0.0
    return limit.capacity / limit.rate.per_second


def _is_large(limit: Limit) -> bool:
    if not isinstance(limit, TokenBucket):
        return False
    return refill_seconds(limit) > max(LONG_SECONDS, MOST_PERIODS * limit.rate.period_seconds)
