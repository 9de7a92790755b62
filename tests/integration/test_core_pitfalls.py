"""The pitfalls that the prototypes met, each kept out for good (their numbers are CORE.md's)."""

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
YEAR_2100 = 4_102_444_800 * SECOND
LAST_EXPIRY = 2**32 * SECOND  # in the year 2106; states hold it in four bytes


def grants(limiter: Limiter, limit: Limit, calls: int) -> int:
    return sum(limiter.acquire(limit).granted for _ in range(calls))


# Pitfall 2: the rate under which a state was written is part of it.


def test_a_lowered_rate_adds_nothing_to_what_was_there(limiter: Limiter, clock: Clock) -> None:
    bucket = TokenBucket("stripe", "10/s", burst=10)
    assert grants(limiter, bucket, 20) == 10
    clock.step(SECOND // 2)  # 5 tokens at 10/s, but half a token at 1/s
    assert grants(limiter, bucket.with_rate("1/s"), 20) == 0
    clock.step(SECOND // 2)
    assert grants(limiter, bucket.with_rate("1/s"), 20) == 1


def test_a_raised_rate_does_not_count_for_the_time_before_it(
    limiter: Limiter, clock: Clock
) -> None:
    bucket = TokenBucket("stripe", "1/s", burst=1_000)
    assert grants(limiter, bucket.with_cost(1_000), 1) == 1
    clock.step(SECOND)
    assert grants(limiter, bucket.with_rate("1000/s"), 20) == 1
    clock.step(SECOND // 100)
    assert grants(limiter, bucket.with_rate("1000/s"), 20) == 10


def test_callers_that_know_two_rates_do_not_drive_a_promise_ahead(
    limiter: Limiter, clock: Clock
) -> None:
    bucket = TokenBucket("stripe", "100/s", burst=1)
    slow = bucket.with_rate("1/s")
    assert limiter.reserve(bucket, 1_000, horizon=1.0).granted == 101
    for _ in range(20):
        assert limiter.acquire(slow).wait_seconds == 2.0  # After the last promise, one more second.
        assert limiter.acquire(bucket).wait_seconds == 1.01
    clock.step(2 * SECOND)
    assert limiter.acquire(slow)


# Pitfall 3: a key that expired after a cut, before any call had seen the cut.


def test_without_its_date_a_cut_grants_a_burst_to_a_key_that_expired(
    limiter: Limiter, clock: Clock, redis_server_client: redis.Redis
) -> None:
    bucket = TokenBucket("stripe", "10/s", burst=10)
    assert grants(limiter, bucket, 20) == 10
    redis_server_client.flushdb()
    assert grants(limiter, bucket.with_rate("10/h"), 20) == 10  # What the date is there to prevent.


def test_a_dated_cut_starts_an_expired_key_empty_at_the_moment_of_the_cut(
    limiter: Limiter, clock: Clock, redis_server_client: redis.Redis
) -> None:
    bucket = TokenBucket("stripe", "10/s", burst=10)
    assert grants(limiter, bucket, 20) == 10
    cut = TokenBucket("stripe", "10/h", burst=10, lowered_at=clock.now / 1e6)
    redis_server_client.flushdb()
    clock.step(HOUR // 2)
    assert grants(limiter, cut, 20) == 5
    # 10 at first and 5 since: never more than the burst and what half an hour adds.
    redis_server_client.flushdb()
    clock.step(100 * HOUR)
    assert grants(limiter, cut, 20) == 10


def test_a_cut_in_the_future_of_this_clock_starts_empty_now(limiter: Limiter, clock: Clock) -> None:
    cut = TokenBucket("stripe", "10/h", burst=10, lowered_at=clock.now / 1e6 + 100)
    assert limiter.acquire(cut).wait_seconds == 360


# Pitfall 4: absolute microseconds in a double step by 0.25 us or worse.


@pytest.mark.parametrize("begin", [1, 1_800_000_000 * SECOND, YEAR_2100])
def test_a_fast_rate_is_kept_exactly_whatever_the_year(
    limiter: Limiter, clock: Clock, begin: int
) -> None:
    clock.now = begin
    # A burst of 2, since with 1 the rest of each microsecond is lost when no call can use it.
    bucket = TokenBucket("stripe", "300000/s", burst=2)
    granted = 0
    for _ in range(2_001):
        granted += limiter.acquire(bucket).granted
        clock.step(1)
    assert granted == 2 + 2_000 * 3 // 10


# Pitfall 5: numbers that Lua turns into text keep 14 digits.


def test_starts_and_waits_keep_every_digit(limiter: Limiter, clock: Clock) -> None:
    clock.now = YEAR_2100 + 123_457
    for limit in (SlidingWindow("stripe", "1/d"), FixedWindow("stripe", "1/d")):
        assert limiter.acquire(limit).start_us == clock.now
        assert round(limiter.acquire(limit).wait_seconds * 1e6) == 24 * HOUR
    bucket = TokenBucket("stripe", "1/36500d")
    assert limiter.reserve(bucket, 3, horizon=1e10).start_us(2) == 2 * 36_500 * 24 * HOUR


# Pitfall 6: Redis takes no expiry with a fraction, of 0 or less, infinite or beyond 1e17.


SLOW: list[Limit] = [
    TokenBucket("slow", "1/36500d"),
    TokenBucket("slow and large", "1/36500d", burst=1e12),
    TokenBucket("small cost", "7/s", burst=1, cost=1e-6),
    FixedWindow("long", "1000000000000/36500d"),
    SlidingWindow("long", "10000/36500d"),
    ScheduledBucket("seldom", crontab("0", "0", day_of_month="29", month_of_year="2"), 1, 10_000),
    Concurrency("long", 100_000, lease_seconds=3.15e9),
]
# Redis keeps these for some milliseconds of its own clock, which goes on while the test's stands.
MOMENTARY: list[Limit] = [
    TokenBucket("fast", "1000000000000/s"),
    TokenBucket("fast and large", "1000000000000/s", burst=1e12),
    TokenBucket("fast and small", "1000000000000/s", burst=1e-6, cost=1e-6),
    TokenBucket("small", "1/s", burst=1e-6, cost=1e-6),
    FixedWindow("short", "1/0.000001s"),
    SlidingWindow("short", "1/0.000001s"),
    ScheduledBucket("often", crontab(), 1e-6, 1e-3, cost=1e-6),
    Concurrency("short", 1, lease_seconds=1e-6),
]


@pytest.mark.parametrize("begin", [1, 1_800_000_000 * SECOND, YEAR_2100])
@pytest.mark.parametrize("limit", SLOW + MOMENTARY, ids=repr)
def test_the_largest_and_the_smallest_numbers_are_kept(
    limiter: Limiter, clock: Clock, redis_server_client: redis.Redis, limit: Limit, begin: int
) -> None:
    clock.now = begin
    first = limiter.acquire(limit)
    assert first
    assert all(redis_server_client.pttl(key) != -1 for key in redis_server_client.scan_iter())
    for _ in range(5):
        decision = limiter.acquire(limit)
        wait = round(decision.wait_seconds * 1e6)
        if not decision and clock.now + wait < LAST_EXPIRY:
            clock.step(wait - 1)
            assert limit in MOMENTARY or not limiter.acquire(limit)
            clock.step(1)
            assert limiter.acquire(limit)
    limiter.refund(first)
    limiter.inspect(limit)


# Pitfall 7: a reply cuts off fractions, so waits are rounded up before.


def test_a_wait_is_never_cut_short(limiter: Limiter, clock: Clock) -> None:
    bucket = TokenBucket("stripe", "3/s")
    assert limiter.acquire(bucket)
    wait = round(limiter.acquire(bucket).wait_seconds * 1e6)
    assert wait == 333_334
    clock.step(wait)
    assert limiter.acquire(bucket)


# Pitfall 8: Lua hands over no more than some 8,000 values at once.


def test_one_call_may_take_a_whole_sliding_window(limiter: Limiter, clock: Clock) -> None:
    window = SlidingWindow("stripe", "10000/m", cost=10_000)
    taken = limiter.acquire(window)
    assert taken
    clock.step(-1)  # Every entry is then written anew.
    assert round(limiter.acquire(window).wait_seconds * 1e6) == 60 * SECOND
    clock.step(60 * SECOND)
    assert limiter.acquire(window)


def test_one_call_may_take_a_hundred_thousand_places(limiter: Limiter) -> None:
    places = Concurrency("render", 100_000, cost=100_000)
    taken = limiter.acquire(places)
    assert taken
    assert not limiter.acquire(places.with_cost(1))
    limiter.release(taken)
    assert limiter.acquire(places.with_cost(1))


def test_one_call_may_ask_for_sixty_four_limits(limiter: Limiter) -> None:
    buckets = [TokenBucket(f"limit {index}", "1/h", key="k") for index in range(64)]
    assert limiter.acquire(buckets)
    assert limiter.acquire(buckets).blocked_by == buckets[0]
    windows = [FixedWindow(f"limit {index}", "1/h", key="k") for index in range(64)]
    assert limiter.acquire(windows)


# Pitfall 9: a state that is written in place must be there.


def test_a_state_that_vanished_is_written_anew_with_an_expiry(
    limiter: Limiter, redis_server_client: redis.Redis
) -> None:
    limits = [TokenBucket("stripe", "10/m", burst=2), FixedWindow("stripe", "2/m")]
    for _ in range(2):
        assert limiter.acquire(limits)
        keys = list(redis_server_client.scan_iter())
        assert all(redis_server_client.pttl(key) > 0 for key in keys)
        redis_server_client.delete(*keys)


# Pitfall 13: the caller's client may decode its answers; the limiter's are packed.


def test_a_client_that_decodes_its_answers_will_do(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    decoding = Limiter(client)
    assert decoding.reserve(TokenBucket("stripe", "3/s", burst=2), 3).granted == 3
    assert decoding.acquire(TokenBucket("other", "3/s", key="\xff"))
    decoding.close()
    client.close()


# Pitfall 14: an expiry that rounds to nothing lets everything pass.


@pytest.mark.parametrize(
    "limit",
    [
        TokenBucket("stripe", "100/s", burst=10),
        FixedWindow("stripe", "10/0.1s"),
        SlidingWindow("stripe", "10/0.1s"),
        Concurrency("stripe", 10, lease_seconds=60),
    ],
    ids=lambda limit: type(limit).__name__,
)
def test_rapid_calls_are_limited(limiter: Limiter, limit: Limit) -> None:
    assert grants(limiter, limit, 60) == 10
