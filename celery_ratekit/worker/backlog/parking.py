"""Brings requests into the backlog that their limits do not let start."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Collection, Iterable
from typing import Any

from celery.utils.log import get_logger

from ...backlog import Backlog, Group, Parking
from ...errors import RatekitError
from ...queues import QUEUE_HEADER
from ...queues.ranks import rank_in_queue
from ...signals import rate_limit_parked
from ..gate.held import Held, Line, Origin
from ..gate.requests import leave
from ..gate.waiting import QUEUED_PAUSE_SECONDS
from .marker import Marker
from .parcel import identity_of, pack

__all__ = ["Parker", "wait_seconds"]

LONGEST_BUSY_SECONDS = 0.5
"""When to ask again for a place that may come back any time, in whichever worker."""

LONGEST_PAUSED_SECONDS = 60.0
"""When to ask again for a limit that was paused by its settings."""

MOST_RANKS = 255

logger = get_logger(__name__)


class Parker:
    """Parks the requests of one consumer.

    ``queue_of`` tells from which queue a message came; ``most`` is how many may wait for one limit
    name, None for any number.
    """

    def __init__(
        self,
        store: Backlog,
        marker: Marker,
        queue_of: Callable[[Any], str | None],
        most: int | None,
    ) -> None:
        self._store = store
        self._marker = marker
        self._queue_of = queue_of
        self._most = most
        self._warned: set[str] = set()

    def park(self, line: Line, now: float) -> Collection[Held]:
        """Parks who waits in a line; those that were not taken stay where they are."""
        blocked_by = line.blocked_by
        if blocked_by is None or line.reason == "unavailable":
            return ()
        wait = wait_seconds(line, now)
        parkings = {held: self._parking(held, wait) for held in sorted(line.waiting)}
        candidates = {held: one for held, one in parkings.items() if one is not None}
        if not candidates:
            return ()
        for held in candidates:
            held.may_be_parked = True  # unless it is told
        try:
            stored = self._store.park(list(candidates.values()), most=self._most)
        except RatekitError as error:
            logger.warning("rate limits: %d tasks stay held: %s", len(candidates), error)
            return ()
        if any(stored):
            self._marker.mark([blocked_by])  # A mark where nobody waits would stop who is held.
        if False in stored:
            self._warn(blocked_by.shown_name)
        parked = _parked(zip(candidates, stored, strict=True))
        self._tell(parked, line)
        return parked

    def _parking(self, held: Held, wait: float) -> Parking | None:
        request, line = held.request, held.line
        queue = self._queue_of(request.message)
        if queue is None or line.blocked_by is None:
            return None
        try:
            packed = pack(request.message)
        except (TypeError, ValueError) as error:
            logger.warning("rate limits: %s cannot be parked: %s", request.id, error)
            return None
        identity, may_be_stored = identity_of(request.message, packed)
        return Parking(
            group=Group(queue, request.task.name, line.limits),
            task_id=str(request.id),
            identity=identity,
            may_be_stored=may_be_stored or held.may_be_parked,
            rank=_rank(request, line.origin),
            message=packed,
            blocked_by=line.blocked_by,
            wait_seconds=wait,
            asked_us=line.asked_us,
            token=self._token_of(held),
        )

    def _token_of(self, held: Held) -> bytes:
        """The same each time that it is tried to park it."""
        if not held.token:
            held.token = secrets.token_bytes(8)
        return held.token

    def _tell(self, parked: Iterable[Held], line: Line) -> None:
        """Lets the broker forget what is safe now, and tells whoever listens."""
        for held in parked:
            leave(held.request)
            rate_limit_parked.send(
                sender=held.request.task,
                task_id=held.request.id,
                limit=line.blocked_by,
                reason=line.reason,
            )

    def _warn(self, name: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            logger.warning(
                "rate limits: more than %s tasks wait for %r; others are held in their workers",
                self._most,
                name,
            )


def _parked(answers: Iterable[tuple[Held, bool | None]]) -> set[Held]:
    """Those that are stored; of whom it is known, there is no doubt any more."""
    parked = set()
    for held, is_stored in answers:
        held.may_be_parked = is_stored is None
        if is_stored:
            parked.add(held)
    return parked


def wait_seconds(line: Line, now: float) -> float:
    """When to ask again for who waits in a denied line, in seconds from now.

    Not before the line itself is asked for: who came back earlier would only be sent away again.
    """
    wait = max(0.0, line.denied_until - now, line.ask_at - now)
    if line.reason == "queued":
        return QUEUED_PAUSE_SECONDS  # What those before wait for is not known here.
    if line.reason == "busy":
        return min(wait, LONGEST_BUSY_SECONDS)
    return LONGEST_PAUSED_SECONDS if math.isinf(wait) else wait


def _rank(request: Any, origin: Origin) -> int:
    """Which of two messages of a group comes first: 0 before 255; brokers count differently."""
    message = request.message
    priority = (message.properties or {}).get("priority")
    if not isinstance(priority, int):
        priority = 0
    counts_down = getattr(message.channel, "priority_steps", None) is not None  # kombu's Redis
    if QUEUE_HEADER in request.request_dict:
        was_sent = origin is Origin.SENT
        return rank_in_queue(priority, lowest_first=counts_down, was_sent=was_sent)
    rank = max(0, min(priority, MOST_RANKS))
    return rank if counts_down else MOST_RANKS - rank
