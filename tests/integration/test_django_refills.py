"""A token bucket of a Django project across its refills, by a clock that the test sets."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st
from support.clocked import clock, limiter
from support.core_settings import core_settings
from support.world import Clock

from celery_ratekit import Limiter
from celery_ratekit.contrib.django import TokenBucket
from celery_ratekit.embedded import EmbeddedRedis

__all__ = ["clock", "limiter"]

pytestmark = pytest.mark.redis

UTC = timezone.utc
SECOND_US = 1_000_000
BERLIN = Celery(set_as_current=False)
BERLIN.conf.timezone = "Europe/Berlin"


def set_to(clock: Clock, moment: datetime) -> None:
    clock.now = round(moment.timestamp() * SECOND_US)


def started(limiter: Limiter, bucket: TokenBucket, most: int = 100) -> int:
    """How many calls may start at this moment."""
    count = 0
    while count < most and limiter.acquire(bucket.limit):
        count += 1
    return count


def test_of_25_calls_ten_start_at_each_instant(clock: Clock, limiter: Limiter) -> None:
    bucket = TokenBucket("partner", crontab(), amount=10, maximum=10)
    noon = datetime(2027, 1, 15, 12, 0, 30, tzinfo=UTC)
    set_to(clock, noon)
    waiting = 25

    waiting -= started(limiter, bucket, waiting)
    assert waiting == 15
    assert limiter.acquire(bucket.limit).wait_seconds == pytest.approx(30, abs=1e-3)
    set_to(clock, noon + timedelta(seconds=29.999))
    assert not started(limiter, bucket)

    set_to(clock, noon + timedelta(seconds=30))
    waiting -= started(limiter, bucket, waiting)
    assert waiting == 5
    set_to(clock, noon + timedelta(seconds=90))
    waiting -= started(limiter, bucket, waiting)
    assert waiting == 0
    assert started(limiter, bucket) == 5


@pytest.mark.parametrize(("amount", "maximum"), [(3, 20), (8, 20), (20, 20)])
def test_whoever_slept_through_three_refills_finds_all_of_them_up_to_the_maximum(
    clock: Clock, limiter: Limiter, amount: int, maximum: int
) -> None:
    bucket = TokenBucket("partner", crontab(minute=0), amount, maximum)
    set_to(clock, datetime(2027, 1, 15, 12, 30, tzinfo=UTC))
    assert started(limiter, bucket) == maximum

    set_to(clock, datetime(2027, 1, 15, 15, 10, tzinfo=UTC))

    assert started(limiter, bucket) == min(3 * amount, maximum)


# In Berlin the day of 29 March 2026 has 23 hours, that of 25 October 25.
@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_an_hourly_bucket_is_refilled_once_an_hour_that_the_clock_shows(
    clock: Clock, limiter: Limiter, day: str, hours: int
) -> None:
    bucket = TokenBucket("partner", crontab(minute=0, app=BERLIN), 1, 1)
    begin = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    total = 0
    for hour in range(hours):
        set_to(clock, begin.astimezone(UTC) + timedelta(hours=hour))
        total += started(limiter, bucket)

    # The hour that is shown twice has its instant once.
    assert total == min(hours, 24)


def test_a_bucket_of_month_ends_is_refilled_on_the_31st_only_where_there_is_one(
    clock: Clock, limiter: Limiter
) -> None:
    bucket = TokenBucket("partner", crontab("0", "0", day_of_month="31"), 1, 1)
    set_to(clock, datetime(2027, 1, 1, tzinfo=UTC))
    assert started(limiter, bucket) == 1
    refilled = []
    for number in range(364):
        moment = datetime(2027, 1, 2, tzinfo=UTC) + timedelta(days=number)
        set_to(clock, moment)
        if started(limiter, bucket):
            refilled.append(moment.month)

    assert refilled == [1, 3, 5, 7, 8, 10, 12]


OPTIONS = st.fixed_dictionaries(
    {
        "minute": st.sampled_from(["0", "*/15", "7,52"]),
        "hour": st.sampled_from(["*", "2", "1-4", "0,23"]),
        "day_of_month": st.sampled_from(["*", "*", "28-31"]),
    }
)
SIZES = st.tuples(st.integers(1, 5), st.integers(5, 12))


@core_settings(25)
@given(
    options=OPTIONS,
    begin=st.sampled_from(
        [
            datetime(2026, 3, 28, tzinfo=UTC),
            datetime(2026, 10, 24, tzinfo=UTC),
            datetime(2028, 2, 28, tzinfo=UTC),
        ]
    ),
    naps_minutes=st.lists(st.integers(1, 600), min_size=1, max_size=12),
    sizes=SIZES,
)
def test_what_starts_is_what_celerys_beat_would_have_refilled(
    redis_server: EmbeddedRedis,
    options: dict[str, str],
    begin: datetime,
    naps_minutes: list[int],
    sizes: tuple[int, int],
) -> None:
    amount, maximum = sizes
    bucket = TokenBucket("partner", crontab(**options, app=BERLIN), amount, maximum)
    clock = Clock()
    with redis_server.client() as client:
        client.flushall()
    with_clock: Any = Limiter(redis_server.url, clock=clock, timeout_seconds=20)
    moment, tokens = begin, maximum
    for minutes in naps_minutes:
        set_to(clock, moment)
        assert started(with_clock, bucket) == tokens
        later = moment + timedelta(minutes=minutes)
        tokens = min(maximum, amount * beat_runs(options, moment, later))
        moment = later
    with_clock.close()


def beat_runs(options: dict[str, str], begin: datetime, end: datetime) -> int:
    """How often the crontab's fields match a new minute of Berlin's clock in a stretch of time.

    The minutes are those that a beat meets which asks Celery's crontab each minute; shown twice,
    a time counts once, and what the clock leaps over counts at the leap.
    """
    schedule = crontab(**options, app=BERLIN)
    zone = ZoneInfo("Europe/Berlin")
    runs, moment = 0, begin
    while moment < end:
        before, moment = moment.astimezone(zone), moment + timedelta(minutes=1)
        shown = moment.astimezone(zone)
        naive, step = before.replace(tzinfo=None), timedelta(minutes=1)
        passed = []
        while (naive := naive + step) <= shown.replace(tzinfo=None):
            passed.append(naive)
        is_again = shown.fold == 1
        runs += not is_again and any(
            one.minute in schedule.minute
            and one.hour in schedule.hour
            and one.day in schedule.day_of_month
            for one in passed
        )
    return runs
