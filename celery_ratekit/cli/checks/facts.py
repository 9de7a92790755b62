"""What the checks look at: everything that was asked for, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...limits import Limit
from ..monitoring.seen import WorkerSeen

__all__ = ["BrokerFacts", "Facts", "RedisFacts", "WorkerFacts"]


@dataclass(frozen=True)
class RedisFacts:
    """The Redis that keeps the limits. Where it does not say something, that is None.

    ``pings_ms``: how long it took to answer, several times. ``save_points``: whether it writes
    snapshots. ``config_file``: the path that it was started with.
    """

    pings_ms: Sequence[float] = (0.0,)
    version: str = ""
    has_append_file: bool | None = None
    fsync: str | None = None
    has_save_points: bool | None = None
    max_memory: int | None = None
    eviction: str | None = None
    config_file: str = ""


@dataclass(frozen=True)
class BrokerFacts:
    """The broker. ``kind``: kombu's name of its transport, such as "redis" or "amqp".

    ``is_same_redis``: it is the very server that keeps the limits.
    """

    kind: str = ""
    is_same_redis: bool = False
    visibility_timeout: float | None = None
    error: str = ""


@dataclass(frozen=True)
class WorkerFacts:
    """A worker that answered. ``prefetch``: how many messages it may have at once; 0: any number;
    None: not known.
    """

    seen: WorkerSeen = field(default_factory=lambda: WorkerSeen("none"))
    queues: frozenset[str] = frozenset()
    prefetch: int | None = None


@dataclass(frozen=True)
class Facts:
    """All of it.

    ``redis`` is None where it gave no answer, and ``redis_error`` says why. ``uses_backlog`` and
    ``holds``: whether some limited task waits there, or in workers. ``waiting``: how many wait in
    the backlog, by queue; ``throttled``: those among them that wait for throttled queues.
    ``disagreements``: rates that live workers declare for a limit, where they differ.
    """

    redis: RedisFacts | None = None
    redis_error: str = ""
    redis_timeout_seconds: float = 0.5
    broker: BrokerFacts = BrokerFacts()
    limits: Sequence[Limit] = ()
    uses_backlog: bool = False
    holds: bool = True
    max_reschedule_seconds: float = 600.0
    prefetch_multiplier: int = 4
    waiting: Mapping[str, int] = field(default_factory=dict)
    throttled: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, WorkerFacts] = field(default_factory=dict)
    disagreements: Mapping[str, Sequence[str]] = field(default_factory=dict)
