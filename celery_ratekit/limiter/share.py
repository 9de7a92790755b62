"""An equal share of each rate, kept by one process alone while Redis is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from ..limits import Concurrency, FixedWindow, Limit, ScheduledBucket, SlidingWindow, TokenBucket
from ..rates import Rate
from .forks import after_fork

__all__ = ["LocalShare"]

MAX_REMEMBERED = 10_000
"""Limits and keys that are remembered; the one longest unused is forgotten first."""

NO_ANSWER_SECONDS = 1.0
"""When to ask again about a limit that cannot be shared out."""

Counted: TypeAlias = "tuple[type[Limit], str, str, str, Rate, float]"
"""What tells one bucket from another: a limit without its cost."""


class LocalShare:
    """Token buckets in this process, each with ``1 / members`` of a limit's rate and burst.

    Windows are spaced evenly, which keeps them too. Places and scheduled refills cannot be shared
    out without knowing who holds what, so such calls wait.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty_at: OrderedDict[Counted, float] = OrderedDict()
        self._lock = threading.Lock()
        after_fork(self)

    def acquire(self, limits: tuple[Limit, ...], members: int) -> tuple[float, Limit | None]:
        """Charges all limits or none; how long to wait, and for which (None: granted)."""
        with self._lock:
            return self._acquire(limits, members)

    def forget(self) -> None:
        """Begins a forked child with a lock that nobody holds."""
        self._lock = threading.Lock()

    def _acquire(self, limits: tuple[Limit, ...], members: int) -> tuple[float, Limit | None]:
        now = self._clock()
        charged: dict[Counted, float] = {}
        for limit in limits:
            if isinstance(limit, (Concurrency, ScheduledBucket)):
                return NO_ANSWER_SECONDS, limit
            assert isinstance(limit, (TokenBucket, FixedWindow, SlidingWindow))
            cost = limit.cost
            assert not callable(cost)
            burst = limit.burst / members if isinstance(limit, TokenBucket) else 1.0
            interval = limit.rate.microseconds_per_token / 1e6 * members
            counted = (type(limit), limit.name, str(limit.key), limit.tag, limit.rate, burst)
            empty_at = max(
                self._empty_at.get(counted, float("-inf")), now - max(cost, burst) * interval
            )
            charged[counted] = empty_at + cost * interval
            if charged[counted] > now + 1e-9:
                return charged[counted] - now, limit
        for one, empty_at in charged.items():
            self._empty_at[one] = empty_at
            self._empty_at.move_to_end(one)
        while len(self._empty_at) > MAX_REMEMBERED:
            self._empty_at.popitem(last=False)
        return 0.0, None
