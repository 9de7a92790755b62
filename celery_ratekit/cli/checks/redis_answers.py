"""Whether Redis is there, new enough, and near enough."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator

from .facts import Facts
from .finding import Finding, error, ok, warning

__all__ = ["NAME", "check"]

NAME = "redis"

OLDEST = (6, 2)

SLOW_MS = 5.0
"""An answer within one data centre takes less than one."""


def check(facts: Facts) -> Iterator[Finding]:
    """Reachable, its version, its latency against the time-out."""
    redis = facts.redis
    if redis is None:
        yield error(
            f"Redis gives no answer: {facts.redis_error}",
            "start it, or correct ratekit_redis_url; until then ratekit_on_redis_failure decides",
        )
        return
    median_ms = statistics.median(redis.pings_ms)
    yield ok(f"Redis {redis.version} answers in {median_ms:.1f} ms")
    if _numbers(redis.version) < OLDEST:
        yield error(f"Redis {redis.version} is too old", "use Redis 6.2 or later")
    timeout_ms = facts.redis_timeout_seconds * 1000
    if median_ms > timeout_ms / 2:
        yield error(
            f"Redis takes {median_ms:.0f} ms to answer, near the time-out of {timeout_ms:.0f} ms",
            "raise ratekit_redis_timeout, or bring Redis nearer to the workers",
        )
    elif median_ms > SLOW_MS:
        yield warning(
            f"Redis takes {median_ms:.1f} ms to answer, and workers ask it before limited tasks",
            "bring Redis nearer to the workers",
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The parts of a version; of one that cannot be read the newest there could be."""
    found = re.findall(r"\d+", version)[:2]
    return tuple(map(int, found)) if found else (1_000,)
