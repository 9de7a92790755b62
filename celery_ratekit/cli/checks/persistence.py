"""Whether Redis remembers over a restart what it must: tasks of the backlog above all."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import Facts, RedisFacts
from .finding import Finding, error, ok, warning

__all__ = ["NAME", "check"]

NAME = "persistence"

APPEND = "switch on its append-only file: CONFIG SET appendonly yes, and in redis.conf"


def check(facts: Facts) -> Iterator[Finding]:
    """Persistence against what the broker would have survived."""
    redis = facts.redis
    if redis is None:
        return
    if redis.has_append_file is None:
        yield warning("Redis does not say whether it keeps data on disk", "ask whoever runs it")
    elif redis.has_append_file:
        yield from _with_append_file(redis, facts)
    elif not facts.uses_backlog:
        yield warning(
            "Redis has no append-only file: after a restart every bucket is full again, once",
            APPEND,
        )
    elif facts.broker.is_same_redis:
        yield from _as_safe_as_broker(redis)
    else:
        yield error(
            "tasks wait in the backlog of a Redis without append-only file: they are less safe "
            f"there than in their broker ({facts.broker.kind})",
            f'{APPEND}; or set ratekit_overflow to "hold"',
        )


def _with_append_file(redis: RedisFacts, facts: Facts) -> Iterator[Finding]:
    if redis.fsync == "no" and facts.uses_backlog:
        yield warning(
            "Redis leaves it to the system when its file is written: a lost machine loses up to "
            "half a minute of parked tasks",
            "CONFIG SET appendfsync everysec",
        )
    else:
        yield ok("Redis writes an append-only file")


def _as_safe_as_broker(redis: RedisFacts) -> Iterator[Finding]:
    """Tasks are where they were before: nothing is less safe than without limits."""
    if redis.has_save_points:
        yield warning(
            "broker and backlog are kept by snapshots only: a crash of Redis loses the tasks since "
            "the last one",
            APPEND,
        )
    else:
        yield warning(
            "broker and backlog are in a Redis that keeps nothing on disk: a restart loses all "
            "tasks that wait",
            APPEND,
        )
