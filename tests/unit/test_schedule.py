"""Instants of a crontab: the same as celery's own, and one each where clocks change."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest
from celery import Celery
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st
from support.core_settings import core_settings

from celery_ratekit.limiter.schedule import (
    MAX_INSTANTS,
    InstantRun,
    fewest_instants,
    following,
    last_until,
)

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BERLIN = Celery(set_as_current=False)
BERLIN.conf.timezone = "Europe/Berlin"
SECOND_US = 1_000_000
DAY = timedelta(days=1)


def us(moment: datetime) -> int:
    return round(moment.timestamp() * SECOND_US)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def instants(schedule: crontab, after: datetime, count: int) -> list[str]:
    found = []
    for _ in range(count):
        after = following(schedule, after)
        found.append(f"{after:%d %H:%M}")
    return found


# Each crontab's fields, matched minute by minute: the plainest meaning of a crontab.
def matches(schedule: crontab, moment: datetime) -> bool:
    return (
        moment.minute in schedule.minute
        and moment.hour in schedule.hour
        and moment.day in schedule.day_of_month
        and moment.month in schedule.month_of_year
        and moment.isoweekday() % 7 in schedule.day_of_week
    )


crontabs = st.builds(
    crontab,
    minute=st.sampled_from(["*", "0", "5", "*/7", "0,30,59", "58-59"]),
    hour=st.sampled_from(["*", "0", "23", "*/5", "8-17"]),
    day_of_week=st.sampled_from(["*", "*", "mon", "6,0"]),
    day_of_month=st.sampled_from(["*", "*", "1", "31", "28-31"]),
    month_of_year=st.sampled_from(["*", "*", "2-3", "12"]),
)
moments = st.integers(us(at("2024-01-01")), us(at("2030-01-01"))).map(
    lambda time: EPOCH + timedelta(microseconds=time)
)


@core_settings(40)
@given(schedule=crontabs, moment=moments)
def test_an_instant_is_a_minute_that_matches_and_none_between_does(
    schedule: crontab, moment: datetime
) -> None:
    try:
        instant = following(schedule, moment)
    except ValueError:
        return  # 31 February
    assert instant > moment
    assert matches(schedule, instant)
    minute = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(3_000):
        if minute >= instant:
            break
        assert not matches(schedule, minute)
        minute += timedelta(minutes=1)


@core_settings(40)
@given(schedule=crontabs, moment=moments)
def test_the_last_instant_is_followed_by_one_after_the_moment(
    schedule: crontab, moment: datetime
) -> None:
    last = last_until(schedule, moment)
    assert last <= moment < following(schedule, last)
    assert last_until(schedule, last) == last
    assert following(schedule, last - timedelta(microseconds=1)) == last


def test_month_ends_and_leap_years_are_the_calendars() -> None:
    monthly = crontab("0", "0", day_of_month="31")
    assert instants(monthly, at("2025-01-31"), 3) == ["31 00:00"] * 3  # March, May, July
    assert following(monthly, at("2025-01-31")) == at("2025-03-31")
    leap = crontab("0", "0", day_of_month="29", month_of_year="2")
    assert following(leap, at("2024-02-29")) == at("2028-02-29")
    assert last_until(leap, at("2027-12-31")) == at("2024-02-29")
    assert last_until(crontab("0", "0", day_of_month="31"), at("2025-03-30")) == at("2025-01-31")


def test_a_seldom_schedule_finds_its_last_instant_decades_back() -> None:
    leap_mondays = crontab("0", "0", day_of_month="29", month_of_year="2", day_of_week="mon")
    assert last_until(leap_mondays, at("2026-11-21")) == at("2016-02-29")


# On 29 March 2026 Berlin's clocks go from 2:00 to 3:00 at 01:00 UTC,
# on 25 October from 3:00 back to 2:00, also at 01:00 UTC.
SPRING, AUTUMN = at("2026-03-28 23:30"), at("2026-10-24 22:30")


@pytest.mark.parametrize(
    ("fields", "after", "expected"),
    [
        # 2:30 is left out in spring, so its instant is the leap; shown twice, it counts once.
        (("30", "2"), SPRING, ["29 01:00", "30 00:30", "31 00:30"]),
        (("30", "2"), AUTUMN, ["25 00:30", "26 01:30", "27 01:30"]),
        # Every hour: 2:00 and 3:00 are one in spring; the second 2:00 has had its instant.
        (("0", "*"), SPRING, ["29 00:00", "29 01:00", "29 02:00", "29 03:00"]),
        (("0", "*"), AUTUMN, ["24 23:00", "25 00:00", "25 02:00", "25 03:00"]),
        (("0", "9"), SPRING, ["29 07:00", "30 07:00"]),
        (("0", "9"), AUTUMN, ["25 08:00", "26 08:00"]),
    ],
)
def test_each_time_has_one_instant_on_the_days_when_clocks_change(
    fields: tuple[str, str], after: datetime, expected: Sequence[str]
) -> None:
    schedule = crontab(*fields, app=BERLIN)
    assert instants(schedule, after, len(expected)) == expected


@core_settings(40)
@given(
    minute=st.sampled_from(["*", "0", "30", "10,50"]),
    hour=st.sampled_from(["*", "2", "1-4"]),
    begin=st.sampled_from([SPRING, AUTUMN]),
    asked=st.lists(st.integers(0, 6 * 3600), min_size=2, max_size=6).map(sorted),
)
def test_instants_are_the_same_wherever_one_begins_to_look(
    minute: str, hour: str, begin: datetime, asked: list[int]
) -> None:
    schedule = crontab(minute, hour, app=BERLIN)
    for seconds in asked:
        moment = begin + timedelta(seconds=seconds)
        last = last_until(schedule, moment)
        one_by_one = last_until(schedule, begin)
        while following(schedule, one_by_one) <= moment:
            one_by_one = following(schedule, one_by_one)
        assert last == one_by_one


def unpacked(run: InstantRun, now: int) -> list[float]:
    packed = run.packed(now)
    return list(struct.unpack(f"<{len(packed) // 8}d", packed))


def test_a_run_begins_at_the_last_instant_and_reaches_ahead() -> None:
    now = at("2026-06-01 10:20")
    _, _, *found = unpacked(InstantRun(crontab(minute=0)), us(now))
    assert found[0] == us(at("2026-06-01 10:00"))
    assert found[1:3] == [us(at("2026-06-01 11:00")), us(at("2026-06-01 12:00"))]


def test_a_run_reaches_back_as_far_as_it_is_asked_to() -> None:
    now = us(at("2026-06-01 10:20"))
    run = InstantRun(crontab(minute=0))
    run.reach(us(at("2026-05-30 07:30")), 5, now)
    _, _, *found = unpacked(run, now)
    assert found[0] == us(at("2026-05-30 07:00"))
    assert sum(instant > now for instant in found) >= 5
    assert found == sorted(set(found))


def test_a_run_reaches_back_no_farther_than_a_bucket_takes_to_fill() -> None:
    now = us(at("2026-06-01 10:20"))
    run = InstantRun(crontab())
    run.reach(us(at("2020-01-01")), 2, now, back=100)
    _, _, *found = unpacked(run, now)
    assert 100 < sum(instant <= now for instant in found) < 1_000


def test_a_run_keeps_what_another_limit_of_the_same_call_needs() -> None:
    now = us(at("2026-06-01 10:20"))
    run = InstantRun(crontab(minute=0))
    run.reach(us(at("2026-05-30 07:30")), 1, now)
    run.reach(now, 50, now)
    _, _, *found = unpacked(run, now)
    assert found[0] <= us(at("2026-05-30 07:30"))
    assert sum(instant > now for instant in found) >= 50
    later = now + 100 * 3_600 * SECOND_US
    run.reach(later, 1, later)
    assert len(unpacked(run, later)) < 10, "what lies wholly in the past is given up"


def test_a_run_has_an_end() -> None:
    now = us(at("2026-06-01 10:20"))
    run = InstantRun(crontab())
    run.reach(now, 10**9, now)
    assert len(unpacked(run, now)) <= MAX_INSTANTS + 2


@core_settings(20)
@given(schedule=crontabs, moment=moments)
def test_no_stretch_holds_fewer_instants_than_were_said(
    schedule: crontab, moment: datetime
) -> None:
    stretch, least = fewest_instants(schedule)
    try:
        instant = following(schedule, moment)
    except ValueError:
        return
    for _ in range(least - 1):
        instant = following(schedule, instant)
    assert instant <= moment + stretch


def test_a_day_whose_clock_changes_holds_enough_instants_too() -> None:
    for begin in (SPRING - DAY, AUTUMN - DAY):
        for hours in range(0, 72, 5):
            schedule = crontab("30", "2", app=BERLIN)
            stretch, least = fewest_instants(schedule)
            moment = begin + timedelta(hours=hours)
            assert least == 1
            assert following(schedule, moment) <= moment + stretch
