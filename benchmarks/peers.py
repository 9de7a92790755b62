"""Other limiters on Redis, each called as its documentation says, synchronously.

All of them get limits that let everything pass. One that is not installed is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from celery_ratekit.embedded import EmbeddedRedis

from .timing import Contender

__all__ = ["peers"]

AMOUNT = 1_000_000  # per hour
USER = "user"


def peers(server: EmbeddedRedis) -> list[Contender]:
    """Every algorithm of every peer that is installed."""
    found: list[Contender] = []
    for each in (_limits, _throttled, _pyrate_limiter):
        try:
            found += each(server)
        except ImportError:
            continue
    return found


def _limits(server: EmbeddedRedis) -> Iterator[Contender]:
    limits: Any = import_module("limits")
    strategies: Any = import_module("limits.strategies")
    scheme = "redis+" if server.url.startswith("unix:") else ""
    storage = import_module("limits.storage").storage_from_string(scheme + server.url)
    limit = limits.parse(f"{AMOUNT}/hour")
    for name, kind in (
        ("fixed window", strategies.FixedWindowRateLimiter),
        ("sliding window counter", strategies.SlidingWindowCounterRateLimiter),
        ("moving window", strategies.MovingWindowRateLimiter),
    ):
        yield Contender(f"limits: {name}", _with(kind(storage).hit, limit, f"{USER} {name}"))


def _throttled(server: EmbeddedRedis) -> Iterator[Contender]:
    throttled: Any = import_module("throttled")
    store = throttled.RedisStore(server=server.url)
    quota = throttled.per_hour(AMOUNT, burst=AMOUNT)
    for kind in throttled.RateLimiterType:
        limiter = throttled.Throttled(key=USER, using=kind.value, quota=quota, store=store)
        name = kind.value.replace("_", " ")
        yield Contender(f"throttled-py: {name}", limiter.limit, right=_not_limited)


def _pyrate_limiter(server: EmbeddedRedis) -> Iterator[Contender]:
    pyrate: Any = import_module("pyrate_limiter")
    client = server.client()
    rates = [pyrate.Rate(AMOUNT, pyrate.Duration.HOUR)]
    buckets = [("sliding log", pyrate.RedisBucket.init(rates, client, "pyrate:log"))]
    for name, algorithm in (("gcra", pyrate.GCRA()), ("token bucket", pyrate.TokenBucket())):
        store = pyrate.RedisStateStore(client, f"pyrate:{name}")
        buckets.append((name, pyrate.StateBucket(rates, algorithm=algorithm, store=store)))
    for name, bucket in buckets:
        # Without the thread that cleans up, which would only cost time here.
        limiter = pyrate.Limiter(pyrate.SingleBucketFactory(bucket, schedule_leak=False))
        yield Contender(f"pyrate-limiter: {name}", _without_blocking(limiter))


def _with(call: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: call(*arguments)


def _without_blocking(limiter: Any) -> Callable[[], Any]:
    return lambda: limiter.try_acquire(USER, blocking=False)


def _not_limited(result: Any) -> bool:
    return not result.limited
