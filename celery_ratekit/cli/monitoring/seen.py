"""What was seen of a deployment at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...backlog.values import Sizes
from ...limiter.decision import LimitState
from ...manager import CurrentRate

__all__ = ["QueueSeen", "Seen", "Started", "WorkerSeen", "worker_seen"]


@dataclass(frozen=True)
class Started:
    """Starts under a limit since their worker began, and the sum of how late they were, seconds."""

    count: int
    late_seconds: float


@dataclass(frozen=True)
class WorkerSeen:
    """What a worker answered.

    ``gate``: "on", "off", or "none" where it does not know the question. ``clock``: its own,
    seconds. ``started`` and ``held`` by the name of the limit.
    """

    gate: str
    slots: int = 0
    idle: int = 0
    clock: float = 0.0
    started: Mapping[str, Started] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueSeen:
    """A throttled queue, with its counts; ``created_at``: seconds since 1970.

    ``limit_name`` is that of its limit.
    """

    name: str
    limit_name: str
    rate: str
    active: bool
    waiting: int
    processing: int
    completed: int
    failed: int
    created_at: float
    available: float
    capacity: float
    refill_per_second: float
    next_token_seconds: float


@dataclass(frozen=True)
class Seen:
    """All of it. ``redis_error`` and ``broker_error`` are empty where there was an answer.

    ``at``: seconds since 1970. ``redis_ms``: how long Redis took to answer.
    """

    at: float
    redis_ms: float = 0.0
    redis_version: str = ""
    redis_error: str = ""
    broker_error: str = ""
    rates: Mapping[str, CurrentRate] = field(default_factory=dict)
    states: Sequence[LimitState] = ()
    backlog: Mapping[str, Sizes] = field(default_factory=dict)
    workers: Mapping[str, WorkerSeen] = field(default_factory=dict)
    queues: Sequence[QueueSeen] = ()


def worker_seen(reply: Any) -> WorkerSeen:
    """What a worker's answer says; whatever is not as expected is left out."""
    if not isinstance(reply, Mapping) or "gate" not in reply:
        return WorkerSeen("none")
    if reply["gate"] != "on":
        return WorkerSeen("off")
    try:
        slots, started = reply["slots"], reply.get("started") or {}
        return WorkerSeen(
            "on",
            int(slots["size"]),
            int(slots["idle"]),
            float(reply.get("clock", 0.0)),
            {str(name): Started(int(one[0]), float(one[1])) for name, one in started.items()},
            {str(name): int(one) for name, one in (reply.get("held_by_limit") or {}).items()},
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return WorkerSeen("on")
