"""A clock that steps back grants nothing extra and makes nobody wait longer; Redis' own is used."""

from __future__ import annotations

import pytest
import redis
from celery.schedules import crontab
from support.clocked import HOUR, clock, limiter, redis_server_client
from support.world import Clock

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

__all__ = ["clock", "limiter", "redis_server_client"]

pytestmark = pytest.mark.redis

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 24 * HOUR

LIMITS: list[Limit] = [
    TokenBucket("stripe", "4/m", burst=4),
    FixedWindow("stripe", "4/m"),
    SlidingWindow("stripe", "4/m"),
    Concurrency("stripe", 4, lease_seconds=60),
]
each_limit = pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: type(limit).__name__)


def grants(limiter: Limiter, limit: Limit, calls: int = 20) -> int:
    return sum(limiter.acquire(limit).granted for _ in range(calls))


@each_limit
@pytest.mark.parametrize("back", [1, SECOND, HOUR, 1_000 * DAY])
def test_a_clock_that_steps_back_grants_nothing_and_waits_no_longer(
    limiter: Limiter, clock: Clock, limit: Limit, back: int
) -> None:
    assert grants(limiter, limit) == 4
    clock.step(-back)
    denied = limiter.acquire(limit)
    assert not denied
    assert denied.wait_seconds <= 60
    clock.step(MINUTE)
    assert grants(limiter, limit) == 4


@each_limit
def test_a_clock_that_goes_to_and_fro_grants_no_more_than_its_steps_forward(
    limiter: Limiter, clock: Clock, limit: Limit
) -> None:
    granted = 0
    for _ in range(20):
        granted += grants(limiter, limit, 5)
        clock.step(-20 * SECOND)
        granted += grants(limiter, limit, 5)
        clock.step(20 * SECOND)
    # 400 s went by in all: 4 at first, and 4 for each of the six minutes.
    assert granted <= 4 + 4 * 400 // 60


def test_instants_that_a_clock_shows_again_refill_no_more(limiter: Limiter, clock: Clock) -> None:
    bucket = ScheduledBucket("quota", crontab(minute=0), 3)
    assert grants(limiter, bucket) == 3
    clock.step(HOUR)
    assert grants(limiter, bucket) == 3
    clock.step(-HOUR // 2)
    assert limiter.acquire(bucket).wait_seconds == 90 * 60  # The instant after the counted one.
    clock.step(HOUR // 2)
    assert grants(limiter, bucket) == 0
    clock.step(HOUR)
    assert grants(limiter, bucket) == 3


def test_a_clock_that_was_years_wrong_does_not_hold_a_schedule_up(
    limiter: Limiter, clock: Clock
) -> None:
    bucket = ScheduledBucket("quota", crontab(), 1, 3)
    clock.step(1_000 * DAY)
    assert grants(limiter, bucket) == 3
    clock.step(-1_000 * DAY)
    assert limiter.acquire(bucket).wait_seconds == 60
    clock.step(MINUTE)
    assert grants(limiter, bucket) == 1


def test_a_freeze_lasts_no_longer_than_its_length_from_the_step_back(
    limiter: Limiter, clock: Clock
) -> None:
    bucket = TokenBucket("stripe", "1/s")
    limiter.freeze(bucket, 60)
    clock.step(-HOUR)
    assert limiter.acquire(bucket).wait_seconds == 60
    clock.step(MINUTE)
    assert limiter.acquire(bucket)


def test_the_place_of_a_dead_holder_comes_back_though_the_clock_stepped_back(
    limiter: Limiter, clock: Clock
) -> None:
    short = Concurrency("render", 2, lease_seconds=60)
    long = Concurrency("render", 2, lease_seconds=600)
    assert limiter.acquire(short)
    assert limiter.acquire(long)
    clock.step(-HOUR)
    assert limiter.acquire(short).wait_seconds == 60
    clock.step(MINUTE)
    assert limiter.acquire(short)
    assert not limiter.acquire(short), "the other lease is as long as it was"


def test_without_a_clock_starts_are_told_by_the_time_of_redis(
    redis_url: str, redis_server_client: redis.Redis
) -> None:
    limiter = Limiter(redis_url)
    limit = [TokenBucket("a", "1000000/s", burst=100), SlidingWindow("b", "100/s")]
    for _ in range(20):
        before = server_us(redis_server_client)
        start = limiter.acquire(limit).start_us
        assert before <= start <= server_us(redis_server_client)
    limiter.close()


def server_us(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return int(seconds) * SECOND + int(microseconds)
