"""However many processes ask, with whatever clocks, they are granted what the limit allows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.hammer import (
    Hammers,
    Order,
    bucket_excess,
    fixed_windows,
    left_in_bucket,
    shortest_stretch_us,
)

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    SlidingWindow,
    TokenBucket,
)

pytestmark = pytest.mark.redis

PROCESSES = 8


@pytest.fixture(scope="module")
def hammers() -> Iterator[Hammers]:
    processes = Hammers(PROCESSES)
    yield processes
    processes.stop()


def test_a_token_bucket_grants_exactly_its_burst_and_rate(hammers: Hammers, redis_url: str) -> None:
    # 500/s: a token each 2,000 us
    limit = TokenBucket("stripe", "500/s", burst=100)

    starts = hammers.starts(Order(redis_url, (limit,), seconds=3))

    assert bucket_excess(starts, burst=100, interval_us=2_000) <= 0
    # Nothing was kept back: less is left than comes in 0.1 s, by which the last may be late.
    assert 0 <= left_in_bucket(starts, burst=100, interval_us=2_000) < 50
    assert len(starts) > 1_000


def test_a_token_bucket_promises_exactly_its_burst_and_rate(
    hammers: Hammers, redis_url: str
) -> None:
    limit = TokenBucket("stripe", "500/s", burst=100)

    starts = hammers.starts(Order(redis_url, (limit,), seconds=1, count=7, horizon=0.3))

    assert bucket_excess(starts, burst=100, interval_us=2_000) <= 0
    # Nothing was kept back: less is left than comes in 0.1 s, by which the last may be late.
    assert 0 <= left_in_bucket(starts, burst=100, interval_us=2_000) < 50


def test_a_sliding_window_holds_no_start_too_many_anywhere(
    hammers: Hammers, redis_url: str
) -> None:
    limit = SlidingWindow("stripe", "200/0.4s")

    starts = hammers.starts(Order(redis_url, (limit,), seconds=1.5))

    assert shortest_stretch_us(starts, 200) >= 400_000
    # 1.5 s hold three periods and a part: four times 200, less where a busy machine is late.
    assert 400 <= len(starts) <= 800


def test_a_sliding_window_promises_no_start_too_many_anywhere(
    hammers: Hammers, redis_url: str
) -> None:
    limit = SlidingWindow("stripe", "200/0.4s")

    starts = hammers.starts(Order(redis_url, (limit,), seconds=1, count=7, horizon=0.5))

    assert shortest_stretch_us(starts, 200) >= 400_000
    assert len(starts) >= 400


def test_each_fixed_window_is_filled_and_never_overfilled(hammers: Hammers, redis_url: str) -> None:
    limit = FixedWindow("stripe", "200/0.4s")

    starts = hammers.starts(Order(redis_url, (limit,), seconds=1.5))

    *full, last = fixed_windows(starts, period_us=400_000)
    assert full == [200] * len(full)
    assert last <= 200
    assert len(full) >= 1


def test_several_limits_in_one_call_are_each_obeyed(hammers: Hammers, redis_url: str) -> None:
    limits: tuple[Limit, ...] = (
        TokenBucket("stripe", "500/s", burst=50),
        SlidingWindow("user", "100/0.3s", key=42),
        FixedWindow("day", "350/d"),
    )

    starts = hammers.starts(Order(redis_url, limits, seconds=2))

    assert bucket_excess(starts, burst=50, interval_us=2_000) <= 0
    assert shortest_stretch_us(starts, 100) >= 300_000
    assert len(starts) == 350


def test_no_more_places_are_taken_than_there_are(
    hammers: Hammers, redis_url: str, redis_server: EmbeddedRedis
) -> None:
    limit = Concurrency("database", 3)

    most = hammers.most_at_a_time(Order(redis_url, (limit,), seconds=1))

    assert most == 3
