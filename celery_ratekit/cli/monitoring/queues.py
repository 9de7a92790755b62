"""Looks at throttled queues."""

from __future__ import annotations

from ...errors import RatekitError
from ...throttle import CeleryThrottle
from ...throttle.stats import QueueStats
from .seen import QueueSeen

__all__ = ["look_at_queues"]

MOST_QUEUES = 100
"""How many are told of: those that are active and have the most waiting."""


def look_at_queues(throttle: CeleryThrottle) -> list[QueueSeen]:
    """What each queue holds; one that was removed meanwhile is left out."""
    manager = throttle.queue_manager
    ranked = sorted(
        manager.all_stats(), key=lambda one: (not one.active, -one.tasks_waiting, one.name)
    )
    found = (_seen(throttle, stats) for stats in ranked[:MOST_QUEUES])
    return [one for one in found if one is not None]


def _seen(throttle: CeleryThrottle, stats: QueueStats) -> QueueSeen | None:
    try:
        limit_name = throttle.queue_manager.record(stats.name).limit.name
        status = throttle.get_rate_limit_status(stats.name)
    except RatekitError:
        return None
    return QueueSeen(
        name=stats.name,
        limit_name=limit_name,
        rate=str(stats.rate_limit),
        active=stats.active,
        waiting=stats.tasks_waiting,
        processing=stats.tasks_processing,
        completed=stats.tasks_completed,
        failed=stats.tasks_failed,
        created_at=stats.created_at.timestamp(),
        available=status["available_tokens"],
        capacity=status["capacity"],
        refill_per_second=status["refill_rate"],
        next_token_seconds=status["next_token_in"],
    )
