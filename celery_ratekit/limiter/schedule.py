"""Instants of a schedule, worked out when they are needed.

Only the calendar knows when a crontab is due, and only Redis knows what time it is: so the limiter
sends a run of instants around the present, and Redis asks for a longer one where it needs it.
"""

from __future__ import annotations

import struct
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from ..limits import Schedule

__all__ = ["InstantRun", "fewest_instants", "following", "last_until"]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

LOOK_BACK = (2 * MINUTE, 120 * MINUTE, 2 * DAY, 35 * DAY, 370 * DAY, 3_000 * DAY, 15_000 * DAY)
"""How far back to look for the last instant, ever farther: each step costs few instants."""

REMEMBERED_SCHEDULES = 1_024
"""How many schedules keep the instants that were worked out for them."""

MAX_INSTANTS = 30_000
"""The most instants of one run; filling the slowest bucket that is allowed, and deepest in debt,
takes 20,000."""


class InstantRun:
    """The instants of one schedule around the present, remembered between calls."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        stretch, least = fewest_instants(schedule)
        self._head = (stretch.total_seconds() * 1e6, float(least))
        self._instants: list[float] = []
        self._packed = b""

    def packed(self, now_us: int) -> bytes:
        """What the core reads: the schedule's fewest instants, then the run's, as doubles."""
        if not self._packed:
            self.reach(now_us, 2, now_us)
        return self._packed

    def reach(self, since_us: int, ahead: int, now_us: int, back: int = 0) -> None:
        """Makes the run reach far enough, both ways.

        It begins at or before ``since_us``, or with more than ``back`` instants (where that is not
        0) until ``now_us``, and holds ``ahead`` instants after ``now_us``, within MAX_INSTANTS.
        What it held around the present stays, for limits of one call may share a schedule.
        """
        now = _moment(now_us)
        instants = self._until(now, min(_moment(since_us), now), back)
        for _ in range(min(ahead, MAX_INSTANTS - len(instants))):
            instants.append(following(self._schedule, instants[-1]))
        run = [_microseconds(instant) for instant in instants]
        known = self._instants
        if known and known[0] <= now_us < known[-1] and len(known) + len(run) <= MAX_INSTANTS:
            run = sorted({*known, *run})
        self._instants = run
        self._packed = struct.pack(f"<{2 + len(run)}d", *self._head, *run)

    def _until(self, now: datetime, since: datetime, back: int) -> list[datetime]:
        """The instants up to now that the run begins with, at least one."""
        look_back = 10 * MINUTE
        while True:
            begin = max(since, now - look_back) if back else since
            instants = [last_until(self._schedule, begin)]
            while (instant := following(self._schedule, instants[-1])) <= now:
                instants.append(instant)
            if begin == since or len(instants) > back:
                return instants[-back - 1 :] if back else instants
            look_back *= 4


class InstantRuns:
    """The runs of all schedules that were asked about lately."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[Schedule, InstantRun]] = {}

    def of(self, schedule: Schedule) -> InstantRun:
        """The run of ``schedule``."""
        found = self._runs.get(id(schedule))
        if found is None:
            while len(self._runs) >= REMEMBERED_SCHEDULES:
                self._runs.pop(next(iter(self._runs)), None)
            # Keeping the schedule keeps its id its own.
            found = self._runs.setdefault(id(schedule), (schedule, InstantRun(schedule)))
        return found[1]


def following(schedule: Schedule, moment: datetime) -> datetime:
    """The first instant of ``schedule`` after ``moment``, in UTC.

    Where the clock shows a time twice, its instant is the first of the two; where the clock leaps
    over a time, its instant is the leap.
    """
    if hasattr(schedule, "tz"):  # a crontab
        return _following_of_crontab(schedule, moment)
    asked = moment
    while True:
        local, delta, _ = schedule.remaining_delta(schedule.maybe_make_aware(asked))
        instant = _first_of(local + delta)
        if instant > moment:
            return instant
        asked += MINUTE  # In an hour that the clock shows again: its times have had their instants.


def _following_of_crontab(crontab: Any, moment: datetime) -> datetime:
    """From the crontab's fields: its own arithmetic depends on today's date before Celery 5.7."""
    zone = crontab.tz
    shown = moment.astimezone(zone)
    day = shown.date()
    for _ in range(LOOK_BACK[-1].days + 1):
        if _matches(crontab, day):
            for hour in sorted(crontab.hour):
                if day == shown.date() and hour < shown.hour:
                    continue
                for minute in sorted(crontab.minute):
                    instant = _first_of(datetime.combine(day, time(hour, minute), zone))
                    if instant > moment:
                        return instant
        day += DAY
    return moment + LOOK_BACK[-1]  # A day that no calendar has, such as 30 February.


def _matches(crontab: Any, day: date) -> bool:
    return (
        day.month in crontab.month_of_year
        and day.day in crontab.day_of_month
        and day.isoweekday() % 7 in crontab.day_of_week
    )


def _first_of(shown: datetime) -> datetime:
    """The first moment, in UTC, at which a zone's clock shows this time or a later one."""
    instant = shown.replace(fold=0).astimezone(timezone.utc)
    if instant.astimezone(shown.tzinfo).replace(tzinfo=None) == shown.replace(tzinfo=None):
        return instant
    before = shown.replace(fold=1).astimezone(timezone.utc)
    offset = before.astimezone(shown.tzinfo).utcoffset()
    while instant - before > SECOND:
        middle = before + (instant - before) / 2
        if middle.astimezone(shown.tzinfo).utcoffset() == offset:
            before = middle
        else:
            instant = middle
    return instant.replace(microsecond=0)


def last_until(schedule: Schedule, moment: datetime) -> datetime:
    """The last instant of ``schedule`` at or before ``moment``, in UTC."""
    for back in LOOK_BACK:
        instant = following(schedule, moment - back)
        if instant <= moment:
            break
    else:
        # No instant in forty years: the bucket was full all along, so any early one will do.
        return moment - LOOK_BACK[-1]
    none_after = moment
    while none_after - instant > SECOND:
        middle = instant + (none_after - instant) / 2
        found = following(schedule, middle)
        if found <= moment:
            instant = found
        else:
            none_after = middle
    return instant


def fewest_instants(schedule: Schedule) -> tuple[timedelta, int]:
    """A length of time, and how many instants any stretch of that length holds at the least.

    Read from a crontab's fields; each stretch is long enough for a day whose clock changes.
    """

    def choices(field: str, full: int) -> tuple[int, bool]:
        chosen = len(getattr(schedule, field, ()))
        return chosen, chosen == full

    _, any_day = choices("day_of_month", 31)
    _, any_month = choices("month_of_year", 12)
    if not (any_day and any_month):
        return LOOK_BACK[-1], 1  # 29 February, if need be on a certain day of the week.
    weekdays, any_weekday = choices("day_of_week", 7)
    in_a_day = choices("hour", 24)[0] * choices("minute", 60)[0]
    return (3 * DAY, in_a_day) if any_weekday else (16 * DAY, weekdays * in_a_day)


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _microseconds(instant: datetime) -> float:
    return float((instant - EPOCH) // timedelta(microseconds=1))
