"""Whether Redis may drop keys when its memory is full."""

from __future__ import annotations

from collections.abc import Iterator

from .facts import Facts
from .finding import Finding, error, ok, warning

__all__ = ["NAME", "check"]

NAME = "eviction"

KEEPS_ALL = "noeviction"


def check(facts: Facts) -> Iterator[Finding]:
    """The policy, where there is a bound on memory at all."""
    redis = facts.redis
    if redis is None:
        return
    if redis.eviction is None:
        yield warning(
            "Redis does not say which keys it drops when its memory is full",
            f"make sure that its maxmemory-policy is {KEEPS_ALL}",
        )
    elif redis.eviction == KEEPS_ALL or not redis.max_memory:
        yield ok("Redis drops no keys")
    else:
        what = "tasks of the backlog and limits" if facts.uses_backlog else "limits"
        yield error(
            f"Redis drops keys when its memory is full (maxmemory-policy {redis.eviction}): "
            f"{what} would be lost",
            f"CONFIG SET maxmemory-policy {KEEPS_ALL}, or use a Redis of its own",
        )
