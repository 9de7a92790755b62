"""Watchers hear of each round trip to Redis, how long it took, and what failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import pytest
import redis

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Ask, Limiter
from celery_ratekit.limiter.watching import unwatch_round_trips, watch_round_trips
from celery_ratekit.limits import TokenBucket

pytestmark = pytest.mark.redis

LIMIT = TokenBucket("watched", "10/s", burst=5)


class Watch:
    def __init__(self) -> None:
        self.trips: list[tuple[float, int]] = []

    def __call__(self, seconds: float, failures: int) -> None:
        self.trips.append((seconds, failures))

    @property
    def failures(self) -> int:
        return sum(failures for _, failures in self.trips)


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    watch_round_trips(watch)
    watch_round_trips(watch)
    yield watch
    unwatch_round_trips(watch)


def test_each_round_trip_is_told_once_with_its_time(watch: Watch, redis_url: str) -> None:
    limiter = Limiter(redis_url, follow_overrides=False)
    limiter.acquire(LIMIT)
    limiter.reserve_many([Ask((LIMIT,)), Ask((LIMIT.with_key("ann"),))])
    limiter.acquire(LIMIT)

    assert len(watch.trips) >= 3
    assert all(0 < seconds < 5 for seconds, _ in watch.trips)
    assert watch.failures == 0


def test_a_script_that_redis_forgot_is_no_failure(watch: Watch, redis_url: str) -> None:
    limiter = Limiter(redis_url, follow_overrides=False)
    for ask in (
        lambda: limiter.acquire(LIMIT),
        lambda: limiter.reserve_many([Ask((LIMIT,)), Ask((LIMIT,))]),
    ):
        with redis.Redis.from_url(redis_url) as client:
            client.script_flush()
        ask()

    assert watch.failures == 0


def test_what_gets_no_answer_is_told_as_a_failure(
    watch: Watch, private_redis: EmbeddedRedis
) -> None:
    limiter = Limiter(private_redis.url, follow_overrides=False)
    limiter.acquire(LIMIT)
    private_redis.kill()
    with pytest.raises(LimiterUnavailableError):
        limiter.acquire(LIMIT)

    assert watch.failures == 1


def test_what_redis_refuses_is_told_as_a_failure(
    watch: Watch, private_redis: EmbeddedRedis
) -> None:
    limiter = Limiter(private_redis.url, follow_overrides=False)
    limiter.acquire(LIMIT)
    with private_redis.client() as client:
        client.config_set("min-replicas-to-write", 1)
    with pytest.raises(LimiterUnavailableError):
        limiter.acquire(LIMIT)

    assert watch.failures == 1


def test_a_watcher_that_raises_changes_nothing(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(seconds: float, failures: int) -> NoReturn:
        raise RuntimeError("broken")

    watch_round_trips(broken)
    try:
        assert Limiter(redis_url).acquire(LIMIT)
    finally:
        unwatch_round_trips(broken)
    assert "broken" in caplog.text
