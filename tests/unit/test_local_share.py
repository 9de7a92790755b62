"""While Redis is away each process keeps to an equal share of each rate."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery.schedules import crontab

from celery_ratekit.limiter.share import LocalShare
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def share(clock: Clock) -> LocalShare:
    return LocalShare(clock)


def granted(share: LocalShare, limit: Limit, members: int, calls: int) -> int:
    return sum(share.acquire((limit,), members)[1] is None for _ in range(calls))


@pytest.mark.parametrize(("members", "burst", "second"), [(1, 20, 10), (2, 10, 5), (5, 4, 2)])
def test_a_bucket_is_shared_out_with_its_burst(
    members: int, burst: int, second: int, share: LocalShare, clock: Clock
) -> None:
    limit = TokenBucket("stripe", "10/s", burst=20)

    assert granted(share, limit, members, 100) == burst
    clock.now += 1
    assert granted(share, limit, members, 100) == second


@pytest.mark.parametrize("kind", [FixedWindow, SlidingWindow])
def test_a_window_is_spaced_evenly(
    kind: type[FixedWindow | SlidingWindow], share: LocalShare, clock: Clock
) -> None:
    limit = kind("stripe", "60/m")  # one a second, for two members one each two seconds

    for _ in range(3):
        assert granted(share, limit, 2, 10) == 1
        clock.now += 1.999
        assert granted(share, limit, 2, 10) == 0
        clock.now += 0.001


def test_the_wait_ends_exactly_when_the_next_call_may_start(
    share: LocalShare, clock: Clock
) -> None:
    limit = TokenBucket("stripe", "1/s")
    share.acquire((limit,), 4)

    wait, blocked_by = share.acquire((limit,), 4)

    assert wait == pytest.approx(4)
    assert blocked_by is limit
    clock.now += wait
    assert granted(share, limit, 4, 2) == 1


def test_a_call_that_costs_more_than_the_share_still_passes_in_time(
    share: LocalShare, clock: Clock
) -> None:
    limit = TokenBucket("stripe", "1/s", burst=10, cost=10)

    assert granted(share, limit, 4, 2) == 1
    clock.now += 40
    assert granted(share, limit, 4, 2) == 1


def test_costs_of_one_limit_are_counted_together(share: LocalShare) -> None:
    limit = TokenBucket("stripe", "1/d", burst=10)

    assert granted(share, limit.with_cost(6), 1, 2) == 1
    assert granted(share, limit, 1, 10) == 4


def test_a_bucket_smaller_than_one_call_can_be_asked_for_less(share: LocalShare) -> None:
    limit = TokenBucket("stripe", "1/d", burst=0.5, cost=0.5)

    assert granted(share, limit, 1, 3) == 1


def test_a_number_and_its_text_are_the_same_key(share: LocalShare) -> None:
    limit = TokenBucket("stripe", "1/d", burst=1)

    assert granted(share, limit.with_key(42), 1, 1) == 1
    assert granted(share, limit.with_key("42"), 1, 1) == 0
    assert granted(share, limit.with_key("43"), 1, 1) == 1


def test_all_limits_are_charged_or_none(share: LocalShare) -> None:
    wide, narrow = TokenBucket("wide", "1/d", burst=5), TokenBucket("narrow", "1/d", burst=1)

    answers = [share.acquire((wide, narrow), 1)[1] for _ in range(3)]

    assert answers == [None, narrow, narrow]
    assert granted(share, wide, 1, 10) == 4


@pytest.mark.parametrize(
    "limit", [Concurrency("database", 3), ScheduledBucket("daily", crontab(minute=0), 5)]
)
def test_what_cannot_be_shared_out_waits(limit: Limit, share: LocalShare) -> None:
    wait, blocked_by = share.acquire((limit,), 2)

    assert blocked_by is limit
    assert 0 < wait <= 2


def test_threads_together_get_no_more_than_the_share() -> None:
    share, barrier = LocalShare(), threading.Barrier(8)
    limit = TokenBucket("stripe", "1/d", burst=500)

    def ask() -> int:
        barrier.wait(20)
        return granted(share, limit, 1, 200)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: ask(), range(8))) == 500
