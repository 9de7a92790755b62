"""What a call costs Redis does not grow with what a limit counts."""

from __future__ import annotations

import pytest
import redis
from support.clocked import clock, limiter, redis_server_client
from support.world import Clock

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, FixedWindow, Limit, SlidingWindow, TokenBucket

__all__ = ["clock", "limiter", "redis_server_client"]

pytestmark = pytest.mark.redis


def commands(client: redis.Redis) -> int:
    """How many commands Redis has run, those of scripts included."""
    stats = client.info("commandstats")
    return sum(
        one["calls"] for name, one in stats.items() if name not in ("cmdstat_info", "cmdstat_ping")
    )


@pytest.mark.parametrize("size", [10, 10_000])
def test_a_full_sliding_window_runs_as_many_commands_whatever_its_size(
    limiter: Limiter, clock: Clock, redis_server_client: redis.Redis, size: int
) -> None:
    window = SlidingWindow("stripe", f"{size}/m", cost=size // 10)
    for _ in range(10):
        assert limiter.acquire(window)
        clock.step(6_000_000)
    one = window.with_cost(1)
    for _ in range(3):
        before = commands(redis_server_client)
        assert limiter.acquire(one)
        assert commands(redis_server_client) - before <= 10
        clock.step(6_000_000)
    assert redis_server_client.llen("ratekit:s{stripe}") == size


@pytest.mark.parametrize(
    "limit",
    [
        TokenBucket("stripe", "10/h", burst=10),
        FixedWindow("stripe", "10/h"),
        SlidingWindow("stripe", "10/h"),
        Concurrency("stripe", 10),
    ],
    ids=lambda limit: type(limit).__name__,
)
def test_a_denial_writes_nothing(
    limiter: Limiter, redis_server_client: redis.Redis, limit: Limit
) -> None:
    for _ in range(11):
        limiter.acquire(limit)
    changes = redis_server_client.info("persistence")["rdb_changes_since_last_save"]
    for _ in range(5):
        assert not limiter.acquire(limit)
    assert redis_server_client.info("persistence")["rdb_changes_since_last_save"] == changes


def test_what_no_longer_counts_is_not_kept(
    limiter: Limiter, clock: Clock, redis_server_client: redis.Redis
) -> None:
    window = SlidingWindow("stripe", "5/m")
    for _ in range(4):
        assert limiter.reserve(window, 100, horizon=600).granted > 0
        clock.step(300_000_000)
    # Five minutes of the last reservation lie ahead, 25 starts, and 5 more still count.
    limiter.reserve(window, 1, horizon=700)
    assert redis_server_client.llen("ratekit:s{stripe}") <= 35
