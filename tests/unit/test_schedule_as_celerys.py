"""The instants of a schedule are those at which Celery's own beat would run a task."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st
from support.core_settings import core_settings

from celery_ratekit.limiter.schedule import following, last_until

UTC = timezone.utc
DAY = timedelta(days=1)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")


def app_in(zone: str) -> Celery:
    app = Celery(set_as_current=False)
    app.conf.timezone = zone
    return app


APPS = {zone: app_in(zone) for zone in ZONES}

fields = st.fixed_dictionaries(
    {
        "minute": st.sampled_from(["*/20", "0", "5,55", "59"]),
        "hour": st.sampled_from(["*", "0", "*/7", "23", "4-22"]),
        "day_of_week": st.sampled_from(["*", "*", "mon-fri", "0"]),
        "day_of_month": st.sampled_from(["*", "*", "28-31", "1,31", "29"]),
        "month_of_year": st.sampled_from(["*", "*", "2", "*/5"]),
    }
)
moments = st.integers(0, 6 * 365 * 24 * 60).map(
    lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


def next_of_beat(options: dict[str, str], zone: str, moment: datetime) -> datetime:
    """When beat runs a task next that it ran at ``moment``, by Celery's own arithmetic."""
    shown = moment.astimezone(ZoneInfo(zone))  # as Celery before 5.7 has to be told it
    due = crontab(**options, app=APPS[zone], nowfun=lambda: shown).is_due(shown)
    assert not due.is_due
    return moment + timedelta(seconds=due.next)


def offsets(zone: tzinfo, begin: datetime, end: datetime) -> set[Any]:
    """The zone's offsets from UTC between two moments, looked at each half day."""
    found, moment = set(), begin
    while moment < end:
        found.add(moment.astimezone(zone).utcoffset())
        moment += DAY / 2
    return {*found, end.astimezone(zone).utcoffset()}


@core_settings(150)
@given(options=fields, zone=st.sampled_from(ZONES), moment=moments)
def test_the_next_instant_is_when_beat_would_run(
    options: dict[str, str], zone: str, moment: datetime
) -> None:
    expected = next_of_beat(options, zone, moment)
    instant = following(crontab(**options, app=APPS[zone]), moment)

    if len(offsets(ZoneInfo(zone), moment - DAY, max(expected, instant) + DAY)) == 1:
        assert abs(instant - expected) < timedelta(seconds=1)
    else:
        # Over a change of the clock beat may be as much early or late as the clock was changed.
        assert abs(instant - expected) <= timedelta(hours=1)


@core_settings(60)
@given(options=fields, zone=st.sampled_from(ZONES), moment=moments)
def test_every_instant_shows_a_time_of_the_crontab_or_is_the_leap_over_one(
    options: dict[str, str], zone: str, moment: datetime
) -> None:
    schedule = crontab(**options, app=APPS[zone])
    instant = following(schedule, moment)
    shown = instant.astimezone(ZoneInfo(zone))
    before = (instant - timedelta(seconds=1)).astimezone(ZoneInfo(zone))

    is_leap = shown.utcoffset() != before.utcoffset()
    assert is_leap or (shown.minute in schedule.minute and shown.hour in schedule.hour)
    assert shown.day in schedule.day_of_month
    assert shown.month in schedule.month_of_year
    assert shown.isoweekday() % 7 in schedule.day_of_week


# In each zone: from a day before its clock changes to a day after. Lord Howe changes by half an
# hour only, and its days change in the southern hemisphere's seasons.
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 7, 18, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 10, 31, 18, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 3, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 3, tzinfo=UTC)),
]


@pytest.mark.parametrize(("zone", "begin"), CHANGES)
@pytest.mark.parametrize("hour", range(24))
def test_a_daily_instant_is_there_once_on_each_day_also_where_the_clock_changes(
    zone: str, begin: datetime, hour: int
) -> None:
    for minute in (0, 30, 59):
        schedule = crontab(minute, hour, app=APPS[zone])
        instant, days = begin - DAY, []
        while (instant := following(schedule, instant)) < begin + 3 * DAY:
            days.append(instant.astimezone(ZoneInfo(zone)).date())

        assert days == [days[0] + number * DAY for number in range(len(days))]


@core_settings(60)
@given(zone=st.sampled_from(ZONES), year=st.integers(2023, 2040), month=st.integers(1, 12))
def test_the_last_days_of_a_month_are_the_calendars(zone: str, year: int, month: int) -> None:
    schedule = crontab("0", "12", day_of_month="28-31", app=APPS[zone])
    begin = datetime(year, month, 1, tzinfo=ZoneInfo(zone))
    instant, days = begin.astimezone(UTC), []
    while True:
        instant = following(schedule, instant)
        shown = instant.astimezone(ZoneInfo(zone))
        if shown.month != month:
            break
        days.append(shown.day)

    last = (begin.replace(day=28) + 4 * DAY).replace(day=1) - DAY
    assert days == list(range(28, last.day + 1))


@core_settings(60)
@given(options=fields, zone=st.sampled_from(ZONES), moment=moments, slept=st.integers(1, 5))
def test_whoever_slept_through_instants_finds_the_last_of_them(
    options: dict[str, str], zone: str, moment: datetime, slept: int
) -> None:
    schedule = crontab(**options, app=APPS[zone])
    instant = moment
    for _ in range(slept):
        instant = following(schedule, instant)
    awake = instant + (following(schedule, instant) - instant) / 2

    assert last_until(schedule, awake) == instant
