"""What the monitor tells of what was seen, as plain values: no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...errors import RatekitError
from ...manager import CurrentRate
from ...rates import Rate
from .paces import Paces
from .seen import QueueSeen, Seen

__all__ = [
    "BacklogLine",
    "LimitLine",
    "QueueLine",
    "Report",
    "WorkerLine",
    "per_second_of",
    "report_of",
]


@dataclass(frozen=True)
class LimitLine:
    """One limit. Rates a second, times in seconds; None: it cannot be told.

    ``allowed`` is infinite where everything passes. ``waiting`` in the backlog, ``held`` in
    workers.
    """

    name: str
    kind: str
    rate: str
    allowed: float | None
    reached: float | None
    past: list[float]
    available: float | None
    capacity: float | None
    frozen_seconds: float
    waiting: int
    held: int
    late_seconds: float | None


@dataclass(frozen=True)
class QueueLine:
    """One throttled queue, and the rate that it reached; see `LimitLine`."""

    queue: QueueSeen
    reached: float | None
    past: list[float]


@dataclass(frozen=True)
class BacklogLine:
    """The backlog of one queue."""

    queue: str
    waiting: int
    claimed: int
    oldest_age_seconds: float


@dataclass(frozen=True)
class WorkerLine:
    """One worker; ``gate`` as of `WorkerSeen`."""

    name: str
    gate: str
    slots: int
    busy: int
    held: int


@dataclass(frozen=True)
class Report:
    """All that the monitor tells. ``at``: seconds since 1970."""

    at: float
    redis_ms: float
    redis_version: str
    redis_error: str
    broker_error: str
    limits: list[LimitLine] = field(default_factory=list)
    queues: list[QueueLine] = field(default_factory=list)
    backlog: list[BacklogLine] = field(default_factory=list)
    workers: list[WorkerLine] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """The same as data for JSON."""
        return dataclasses.asdict(self)


def report_of(seen: Seen, paces: Paces) -> Report:
    """The report of what was seen last; ``paces`` knows what came before."""
    return Report(
        seen.at,
        seen.redis_ms,
        seen.redis_version,
        seen.redis_error,
        seen.broker_error,
        list(_limits(seen, paces)),
        [_queue(one, paces) for one in seen.queues],
        [
            BacklogLine(queue, sizes.waiting, sizes.claimed, sizes.oldest_age_seconds)
            for queue, sizes in sorted(seen.backlog.items())
        ],
        [
            WorkerLine(name, one.gate, one.slots, one.slots - one.idle, sum(one.held.values()))
            for name, one in sorted(seen.workers.items())
        ],
    )


def per_second_of(rate: str) -> float | None:
    """What a rate's text allows in a second; None where it is none."""
    if rate == "paused":
        return 0.0
    try:
        return Rate.parse(rate).per_second
    except RatekitError:
        return None


def _queue(queue: QueueSeen, paces: Paces) -> QueueLine:
    pace = paces.of(queue.limit_name)
    return QueueLine(queue, None if pace is None else pace.per_second, paces.past(queue.limit_name))


def _limits(seen: Seen, paces: Paces) -> Iterator[LimitLine]:
    shown = {one.name for one in seen.rates.values()} | {one.limit_name for one in seen.queues}
    for rate in seen.rates.values():
        if rate.kind != "celery":
            yield _limit(rate, seen, paces)
    # A name that only a message or a rule brings to workers of another app.
    counted = {name for worker in seen.workers.values() for name in (*worker.held, *worker.started)}
    for name in sorted(counted - shown):
        yield _limit(CurrentRate(name, "", "", ""), seen, paces)


def _limit(rate: CurrentRate, seen: Seen, paces: Paces) -> LimitLine:
    name, pace = rate.name, paces.of(rate.name)
    of_kind = (
        one
        for one in seen.states
        if one.limit.name == name and type(one.limit).__name__ == rate.kind
    )
    state = next(of_kind, None)
    is_rate = rate.kind not in ("Concurrency", "")
    return LimitLine(
        name=name,
        kind=rate.kind,
        rate=rate.rate,
        allowed=per_second_of(rate.rate) if is_rate else None,
        reached=None if pace is None else pace.per_second,
        past=paces.past(name),
        available=None if state is None else state.available,
        capacity=None if state is None else state.capacity,
        frozen_seconds=0.0 if state is None else state.frozen_seconds,
        waiting=sum(sizes.by_limit.get(name, 0) for sizes in seen.backlog.values()),
        held=sum(worker.held.get(name, 0) for worker in seen.workers.values()),
        late_seconds=None if pace is None else pace.late_seconds,
    )
