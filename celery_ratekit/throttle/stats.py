"""What people see of throttled queues and of the workers that serve them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..rates import Rate

__all__ = ["QueueConfig", "QueueStats", "WorkerInfo", "WorkerQueueInfo"]


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """A throttled queue. ``str(rate_limit)`` is the text as it was written.

    ``target_queue`` is Celery's queue that its tasks go to; ``auto_named``: it expires an hour
    after its last use, unless it holds tasks.
    """

    name: str
    rate_limit: Rate
    active: bool
    created_at: datetime
    target_queue: str
    auto_named: bool


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How many tasks a queue has.

    ``tasks_waiting``: in its backlog. ``tasks_processing``: sent or taken by a worker, and not yet
    over. ``tasks_completed`` and ``tasks_failed``: over, since the queue was created; one that was
    revoked, or lost with its process, has failed.
    """

    name: str
    tasks_waiting: int
    tasks_processing: int
    tasks_completed: int
    tasks_failed: int
    created_at: datetime
    active: bool
    rate_limit: Rate


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A live worker.

    ``status`` is "online"; ``total_tasks`` counts what it took since its start, ``active_tasks``
    and ``reserved_tasks`` what it runs and what it holds. ``queue_sizes``: messages by queue that
    it consumes, in the broker and in the backlog.
    """

    name: str
    status: str
    total_tasks: int
    active_tasks: int
    reserved_tasks: int
    queue_sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerQueueInfo:
    """One of Celery's queues: how many messages it has, in the broker and in the backlog."""

    name: str
    total_size: int
    workers_listening: tuple[str, ...]
