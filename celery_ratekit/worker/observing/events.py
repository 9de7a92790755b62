"""Tells Celery's monitors which tasks wait for their limits, and about when they will start.

Flower and ``celery events`` keep a state of each task. An event of a type of its own would give it
a state that hides its start until it has ended, and one of Celery's types would be counted as
another receipt or retry. ``task-pending`` is of the weakest state that there is: whenever it comes,
the task keeps the state that it has, and only takes over the fields.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from celery.utils.log import get_logger

from ...limiter.foresight import seconds_behind
from ...limits import Limit
from ..gate.held import Held

__all__ = ["EVENT", "MOST_PER_SECOND", "Announcer", "seconds_to_start"]

EVENT = "task-pending"

MOST_PER_SECOND = 50
"""How many a worker sends; of more tasks that begin to wait, monitors are not told."""

FORESEEN_SECONDS = 10 * 366 * 86_400.0

logger = get_logger(__name__)


class Announcer:
    """Sends an event for each task that begins to wait, as far as monitors listen.

    ``clock`` is the gate's.
    """

    def __init__(self, consumer: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._clock = clock
        self._second = 0
        self._sent = 0

    def announce(self, hits: Iterable[Held]) -> None:
        """Tells of calls that were not granted at once; whatever fails there changes nothing."""
        dispatcher = self._consumer.event_dispatcher
        if dispatcher is None or not dispatcher.enabled:
            return
        if dispatcher.groups and "task" not in dispatcher.groups:
            return
        now = self._clock()
        try:
            for held in hits:
                if held.request.task.send_events and self._may_send(now):
                    dispatcher.send(EVENT, **_fields(held, now))
        except Exception:
            logger.exception("rate limits: monitors were not told which tasks wait")

    def _may_send(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._sent = int(now), 0
        self._sent += 1
        return self._sent <= MOST_PER_SECOND


def _fields(held: Held, now: float) -> dict[str, Any]:
    """Those of the event; the result is what both monitors show, until there is one."""
    limit = held.line.blocked_by or held.line.limits[0]
    starts_at = _moment(seconds_to_start(held, limit, now))
    about = "start unknown" if starts_at is None else f"starts about {_shown(starts_at)}"
    return {
        "uuid": held.request.id,
        "name": held.request.name,
        "result": f"waits for rate limit {limit.shown_name!r}, {about}",
        "rate_limit": limit.shown_name,
        "estimated_start": starts_at,
    }


def _moment(seconds: float) -> float | None:
    """So many seconds from now, as seconds since 1970; None for what nobody can foresee."""
    return time.time() + seconds if seconds < FORESEEN_SECONDS else None


def _shown(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")


def seconds_to_start(held: Held, limit: Limit, now: float) -> float:
    """About how long it takes: what was promised, or as ``limit`` lets those before it start.

    Infinity where only a change can tell, as for a paused limit. Of those that wait in other
    workers, or in the backlog, nothing is known here.
    """
    if held.decision is not None:
        return max(0.0, held.due - now)
    line = held.line
    return max(0.0, line.denied_until - now) + seconds_behind(limit, line.before(held))
