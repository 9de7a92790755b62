"""Marks on the limits that calls wait for in the backlog, so that newcomers do not overtake."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from celery.utils.log import get_logger

from ...errors import LimiterUnavailableError
from ...limiter import Limiter
from ...limits import Limit

__all__ = ["Marker"]

MARK_SECONDS = 2.0
RENEWED_AFTER_SECONDS = 0.5
MOST_REMEMBERED = 10_000

logger = get_logger(__name__)


class Marker:
    """Renews the marks of one worker, each now and then."""

    def __init__(self, limiter: Callable[[], Limiter], clock: Callable[[], float]) -> None:
        self._limiter = limiter
        self._clock = clock
        self._marked: dict[Limit, float] = {}

    def mark(self, limits: Iterable[Limit]) -> None:
        """Says that calls wait for these limits, where that was not said a moment ago."""
        now = self._clock()
        old = now - RENEWED_AFTER_SECONDS
        due = [one for one in dict.fromkeys(limits) if self._marked.get(one, old) <= old]
        if not due:
            return
        try:
            self._limiter().mark(due, MARK_SECONDS)
        except LimiterUnavailableError as error:
            logger.warning("rate limits: newcomers may overtake who waits: %s", error)
            return
        if len(self._marked) >= MOST_REMEMBERED:
            self._marked.clear()
        self._marked.update(dict.fromkeys(due, now))
