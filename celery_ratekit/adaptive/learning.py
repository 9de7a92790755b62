"""What a process does when a service answers, or says "too many requests"."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import RatekitError
from .law import Bounds

__all__ = ["Answer", "Learner", "Rates"]

logger = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
"""How often a process tells of its successes at most, for each limit."""

REMIND_SECONDS = 3_600.0
"""How often it does so at the ceiling where that is not the start: so the rate is not forgotten."""

ANSWER_SECONDS = 5.0
"""For how long an answer tells more than what the process sees of the shared rates."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the fleet knows after one more report."""

    per_second: float
    #: When the rate was last lowered, us since 1970; 0: never.
    lowered_at_us: float


class Rates(Protocol):
    """The rates that a fleet shares, by the names of limits."""

    def seen(self, name: str) -> float | None:
        """The rate that this process goes by, per second; None: the one where it starts."""
        ...

    def succeeded(self, name: str, bounds: Bounds, count: int) -> Answer:
        """Tells of ``count`` calls that were answered."""
        ...

    def throttled(
        self, name: str, bounds: Bounds, granted_us: int | None, freeze_seconds: float
    ) -> Answer:
        """Tells of a 429 to a call that was granted at ``granted_us``; None: that is not known."""
        ...


@dataclass(slots=True)
class _Tally:
    """What this process keeps for one limit."""

    count: int = 0
    reported_at: float = -math.inf
    answer: Answer | None = None
    answered_at: float = -math.inf
    lock: threading.Lock = field(default_factory=threading.Lock)


class Learner:
    """Tells the fleet what this process meets: a 429 at once, successes at most once a second.

    At the ceiling there is nothing to tell of a success. What Redis does not take is logged and
    forgotten: no task fails for it, and none of the methods raises. May be shared by threads.

    ``clock`` is monotonic, in seconds.
    """

    def __init__(self, rates: Rates, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = rates
        self._clock = clock
        self._tallies: dict[str, _Tally] = {}  # One for each adaptive limit of the app's tasks.
        self._is_failing = False

    def succeeded(self, name: str, bounds: Bounds) -> None:
        """Counts a call that the service answered, and reports it if it is time to."""
        tally = self._tallies.setdefault(name, _Tally())
        now = self._clock()
        pause = self._pause_seconds(name, bounds, tally, now)
        with tally.lock:
            tally.count = tally.count + 1 if pause < math.inf else 0
            if not tally.count or now < tally.reported_at + pause:
                return
            count, tally.count = tally.count, 0
            tally.reported_at = now
        self._tell(tally, lambda: self._rates.succeeded(name, bounds, count))

    def throttled(
        self, name: str, bounds: Bounds, granted_us: int | None, freeze_seconds: float
    ) -> None:
        """Reports a 429 to a call that was granted at ``granted_us`` by the clock of Redis.

        ``freeze_seconds`` is for how long no call starts because of it.
        """
        tally = self._tallies.setdefault(name, _Tally())
        self._tell(tally, lambda: self._rates.throttled(name, bounds, granted_us, freeze_seconds))

    def _pause_seconds(self, name: str, bounds: Bounds, tally: _Tally, now: float) -> float:
        """How long to wait between reports of successes; infinite where they say nothing."""
        rate = self._rates.seen(name)
        if tally.answer is not None and now < tally.answered_at + ANSWER_SECONDS:
            rate = tally.answer.per_second
        if (bounds.start_per_second if rate is None else rate) < bounds.most_per_second:
            return REPORT_SECONDS
        return REMIND_SECONDS if bounds.start_per_second < bounds.most_per_second else math.inf

    def _tell(self, tally: _Tally, report: Callable[[], Answer]) -> None:
        try:
            answer = report()
        except RatekitError as error:
            if not self._is_failing:
                logger.warning("rate limits: adaptive rates are not learned: %s", error)
            self._is_failing = True
            return
        self._is_failing = False
        tally.answer, tally.answered_at = answer, self._clock()
