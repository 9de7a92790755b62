"""How a limit looks at another rate: no I/O, no clock."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

from ...errors import BadLimitError
from ...limits import Concurrency, FixedWindow, Limit, SlidingWindow, TokenBucket
from ...rates import MAX_PERIOD_SECONDS, Rate

__all__ = ["as_declared", "at_rate", "text_of", "width_of"]

W = TypeVar("W", FixedWindow, SlidingWindow)

_parsed = lru_cache(1_024)(Rate.parse)


def at_rate(limit: Limit, what: str, lowered_at: float = 0.0) -> Limit:
    """The limit at a rate (places: with so many of them).

    A call's cost always fits: the burst is raised to it, and a window that would be too small
    becomes a longer one of the same rate. ``lowered_at``: see `TokenBucket`, seconds since 1970.

    Raises BadRateError or BadLimitError where the kind cannot have this rate; a `ScheduledBucket`
    has none.
    """
    if isinstance(limit, TokenBucket):
        return _bucket_at(limit, _parsed(what), lowered_at)
    if isinstance(limit, FixedWindow):
        return _window_at(limit, _parsed(what))
    if isinstance(limit, SlidingWindow):
        return _window_at(limit, _parsed(what))
    if isinstance(limit, Concurrency):
        return _places_at(limit, what)
    raise BadLimitError(
        f"expected a limit with a rate, got {limit.shown_name!r}, a {type(limit).__name__} that is "
        "refilled by a schedule; it can be paused, resumed, frozen and disabled"
    )


def as_declared(limit: Limit, text: str, lowered_at: float = 0.0) -> Limit:
    """The limit as others declare it: at what `text_of` gave of theirs, the burst included."""
    if isinstance(limit, TokenBucket):
        rate = _parsed(text)
        if rate.burst is None and not (rate.is_paused or rate.is_unlimited):
            rate = Rate(rate.amount, rate.period_seconds, 1.0)
        return _bucket_at(limit, rate, lowered_at)
    return at_rate(limit, text)


def text_of(limit: Limit) -> str | None:
    """The rate, with a burst that is not 1, or the places as text; None for a schedule."""
    if isinstance(limit, TokenBucket):
        rate = limit.rate
        if rate.is_unlimited or rate.is_paused:
            return str(rate)
        return str(
            Rate(rate.amount, rate.period_seconds, None if limit.burst == 1 else limit.burst)
        )
    if isinstance(limit, (FixedWindow, SlidingWindow)):
        return str(limit.rate)
    return str(limit.size) if isinstance(limit, Concurrency) else None


def width_of(limit: Limit) -> tuple[float, float]:
    """What tells a lower rate from a higher one of the same kind."""
    if isinstance(limit, (TokenBucket, FixedWindow, SlidingWindow)):
        return limit.rate.per_second, limit.capacity
    return limit.capacity, 0.0


def _bucket_at(limit: TokenBucket, rate: Rate, lowered_at: float) -> Limit:
    burst = limit.burst if rate.burst is None else rate.burst
    return TokenBucket(
        limit.name,
        rate,
        max(burst, _cost(limit)),
        key=limit.key,
        cost=limit.cost,
        tag=limit.tag,
        lowered_at=max(limit.lowered_at, lowered_at),
    )


def _window_at(limit: W, rate: Rate) -> Limit:
    cost = max(1.0, _cost(limit))
    if 0 < rate.amount < cost:
        period = min(rate.period_seconds * cost / rate.amount, MAX_PERIOD_SECONDS)
        rate = Rate(cost, period)
    return limit.with_rate(rate)


def _places_at(limit: Concurrency, what: str) -> Limit:
    try:
        size = int(what)
    except ValueError:
        raise BadLimitError(
            f"expected a whole number of places for the limit {limit.shown_name!r}, which says how "
            f"many calls run at a time, got {what!r:.40}"
        ) from None
    if size:
        size = max(size, int(_cost(limit)))
    options: dict[str, Any] = {"key": limit.key, "cost": limit.cost, "tag": limit.tag}
    return Concurrency(limit.name, size, lease_seconds=limit.lease_seconds, **options)


def _cost(limit: Limit) -> float:
    return 0.0 if callable(limit.cost) else limit.cost
