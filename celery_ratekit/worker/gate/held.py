"""Requests that wait in the worker, in lines of equal limits."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection
from enum import Enum
from typing import Any, NamedTuple

from ...limiter import Decision
from ...limits import Concurrency, Limit

__all__ = ["HORIZON_SECONDS", "Held", "Line", "LineKey", "Origin"]

HORIZON_SECONDS = 1.0
"""How far ahead starts are reserved for idle slots."""

MANY_STARTS = 16
"""From so many in stock on, a part of them lasts until others are there."""


class Origin(Enum):
    """Where a request came from, which decides where it may wait."""

    # One lies in the key of each line, so that it is hashed for each task.
    __hash__ = object.__hash__

    #: From the broker; it waits here, unacknowledged.
    HELD = "held"
    #: From the broker; it starts now or is parked in the backlog.
    PARKABLE = "parkable"
    #: The same of a throttled queue, sent when it could start: nobody who waits came before it.
    SENT = "sent"
    #: From the backlog; it starts within the horizon or goes back.
    PULLED = "pulled"


NOW_OR_ELSEWHERE = (Origin.PARKABLE, Origin.SENT)

STOCKS_UP = (Origin.HELD, Origin.PARKABLE)
"""Others come with a start of their own, or are fetched when there is one."""


class LineKey(NamedTuple):
    """What tells lines apart."""

    limits: tuple[Limit, ...]
    origin: Origin


class Held:
    """One received request from its arrival to its start."""

    __slots__ = (
        "decision",
        "due",
        "is_aside",
        "line",
        "may_be_parked",
        "number",
        "request",
        "shadow",
        "since",
        "token",
        "waited_before",
        "was_hit",
    )

    def __init__(self, request: Any, line: Line, number: int, since: float) -> None:
        self.request = request
        self.line = line
        #: Its place in the order of arrival.
        self.number = number
        #: When it arrived; like all moments here, by the gate's clock, seconds.
        self.since = since
        #: How long it has waited elsewhere before that, seconds.
        self.waited_before = 0.0
        #: What its limits granted, and when that start is due.
        self.decision: Decision | None = None
        self.due = 0.0
        #: Limits that only count.
        self.shadow: tuple[Limit, ...] = ()
        #: Whether Celery counts it no longer among those that wait for the pool.
        self.is_aside = True
        #: Whether it was tried to park it, which may have been done though it was not told.
        self.may_be_parked = False
        #: What tells it from all others that this process parks; empty until it is tried.
        self.token = b""
        #: Whether it was not granted at once.
        self.was_hit = False

    def __lt__(self, other: Held) -> bool:
        return self.number < other.number


class Line:
    """Requests of one origin with the same limits, keys and costs: first come, first served."""

    __slots__ = (
        "arrivals",
        "ask_at",
        "asked_us",
        "blocked_by",
        "counted_since",
        "denials",
        "denied_until",
        "horizon_seconds",
        "key",
        "limits",
        "origin",
        "reason",
        "state",
        "stock",
        "stock_size",
        "takes_places",
        "tickets",
        "waiting",
        "was_used",
    )

    def __init__(self, key: LineKey) -> None:
        self.key = key
        self.limits, self.origin = key
        #: How far ahead its starts may be promised: what can wait elsewhere starts now or goes.
        self.horizon_seconds = 0.0 if self.origin in NOW_OR_ELSEWHERE else HORIZON_SECONDS
        #: A place cannot be promised ahead, and each call needs a holder of its own.
        self.takes_places = any(isinstance(limit, Concurrency) for limit in self.limits)
        #: Those without a grant, by the order of their arrival.
        self.waiting: list[Held] = []
        #: "ready" to be asked for, "asleep" until `ask_at`, or "" where nobody waits.
        self.state = ""
        self.ask_at = 0.0
        #: Until when its limits let nobody start, as far as the last denial tells.
        self.denied_until = 0.0
        #: When that was said, by Redis' clock; 0: not known.
        self.asked_us = 0
        #: How often in a row not all that was asked for was granted, and why.
        self.denials = 0
        self.blocked_by: Limit | None = None
        self.reason = ""
        #: How many of its requests queue for a slot of the pool.
        self.tickets = 0
        #: Starts that were granted before their requests came, with the moment of each grant.
        self.stock: deque[tuple[float, Decision]] = deque()
        #: How many starts to ask for beyond those who wait.
        self.stock_size = 0
        #: How many came since when, for the size of the stock.
        self.arrivals = 0
        self.counted_since = 0.0
        #: Whether somebody came since it was last looked at.
        self.was_used = True

    @property
    def overflows(self) -> bool:
        """Whether who is denied does not wait in this worker."""
        return self.origin is not Origin.HELD

    @property
    def is_doubtful(self) -> bool:
        """Whether some of those who wait may wait elsewhere as well, and must not start here."""
        return self.overflows and any(held.may_be_parked for held in self.waiting)

    @property
    def is_low_on_stock(self) -> bool:
        """Whether it is time to ask for more, before somebody comes who would have to wait."""
        # Of many, a quarter lasts for longer than the answer takes; half would be twice as many
        # questions.
        part = 4 if self.stock_size >= MANY_STARTS else 2
        return part * len(self.stock) < self.stock_size

    def push(self, held: Held) -> None:
        """Takes in a request, at its place in the order of arrival."""
        heapq.heappush(self.waiting, held)

    def pop(self) -> Held:
        """The request that came first."""
        return heapq.heappop(self.waiting)

    def before(self, held: Held) -> int:
        """How many of those without a grant came before a request."""
        return sum(one.number < held.number for one in self.waiting)

    def keep_all_but(self, taken: Collection[Held]) -> None:
        """Lets go of many requests at once."""
        self.waiting = [held for held in self.waiting if held not in taken]
        heapq.heapify(self.waiting)

    def remove(self, held: Held) -> None:
        """Lets go of a request."""
        self.waiting.remove(held)
        heapq.heapify(self.waiting)
