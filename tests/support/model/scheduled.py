"""The scheduled bucket: tokens, refilled one instant after the other."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from fractions import Fraction

from celery_ratekit.limits import ScheduledBucket

from .common import DAY, Time, ceil_us, exact, rounding_of

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Instants:
    """A schedule whose instants repeat: ``offsets`` (us) after every multiple of ``cycle`` (us)."""

    def __init__(self, cycle: int, offsets: tuple[int, ...]) -> None:
        self.cycle = cycle
        self.offsets = offsets
        # What a crontab with these instants in every hour would say.
        self.minute, self.hour = offsets, range(24)
        self.day_of_week, self.day_of_month, self.month_of_year = range(7), range(31), range(12)

    def __repr__(self) -> str:
        return f"Instants({self.cycle}, {self.offsets})"

    def after(self, moment: int) -> int:
        """The first instant after a moment (us)."""
        begin = moment - moment % self.cycle
        candidates = [begin + offset for offset in (*self.offsets, self.cycle + self.offsets[0])]
        return min(instant for instant in candidates if instant > moment)

    def until(self, moment: int) -> int:
        """The last instant at or before a moment (us)."""
        begin = moment - moment % self.cycle
        candidates = [begin + offset for offset in (self.offsets[-1] - self.cycle, *self.offsets)]
        return max(instant for instant in candidates if instant <= moment)

    def between(self, begin: int, end: int) -> list[int]:
        """The instants after one moment up to another (us)."""
        instants = [self.after(begin)]
        while instants[-1] <= end:
            instants.append(self.after(instants[-1]))
        return instants[:-1]

    def remaining_delta(self, last_run_at: datetime) -> tuple[datetime, timedelta, datetime]:
        """What celery's schedules answer."""
        moment = (last_run_at - EPOCH) // timedelta(microseconds=1)
        return last_run_at, timedelta(microseconds=self.after(moment) - moment), last_run_at

    def maybe_make_aware(self, dt: datetime) -> datetime:
        return dt


class Scheduled:
    """``tokens`` as they are after every instant up to ``counted`` (us), which may lie ahead.

    No start may lie before ``available_from``; until ``promised_until`` no more than ``spare``
    tokens may come back.
    """

    def __init__(self) -> None:
        self.is_new = True
        self.changed = False
        self.now = 0
        self.tokens = Fraction(0)
        self.counted = 0
        self.available_from = 0
        self.promised_until: int | None = None
        self.spare = Fraction(0)

    def look(self, limit: ScheduledBucket, now: int) -> None:
        assert isinstance(limit.schedule, Instants)
        self.instants = limit.schedule
        self.amount, self.maximum = exact(limit.amount), exact(limit.maximum)
        self.changed = False
        if self.is_new:
            self.is_new = False
            self.tokens = self.maximum
            self.counted, self.available_from = self.instants.until(now), now
        elif now < self.now:
            self._step_back(self.now - now)
        self.tokens = min(self.tokens, self.maximum)
        self.now = now
        self.available_from = max(now, self.available_from)
        if self.promised_until is not None and self.promised_until <= now:
            self.promised_until = None
        self._refill_until(now)

    def is_worth_storing(self) -> bool:
        return True

    def _step_back(self, by: int) -> None:
        self.changed = True
        self.available_from -= by
        if self.promised_until is not None:
            self.promised_until -= by
        if by > DAY:
            self.counted = self.instants.until(self.now - by)

    def _refill_until(self, moment: int) -> None:
        while self.tokens < self.maximum and (at := self.instants.after(self.counted)) <= moment:
            self.tokens = min(self.maximum, self.tokens + self.amount)
            self.counted = at
        self.counted = max(self.counted, self.instants.until(moment))

    def earliest(self, cost: Fraction) -> tuple[Time, str]:
        tokens, at = self.tokens, self.counted
        while tokens < cost - rounding_of(cost):
            at = self.instants.after(at)
            tokens += self.amount
        return max(self.available_from, at if tokens > self.tokens else 0) - self.now, "rate"

    def charge(self, cost: Fraction, start: Time) -> None:
        moment = self.now + ceil_us(start)
        if self.instants.until(moment) > self.counted:
            self._refill_until(moment)
            self.available_from = moment
        if moment > self.now:
            spare = self.maximum - self.tokens
            self.spare = spare if self.promised_until is None else min(self.spare, spare)
            self.promised_until = max(self.promised_until or 0, moment)
        self.tokens -= cost

    def amend(self, change: Fraction, charged: int, asked: int) -> None:
        if change < 0 and self.promised_until is not None:
            change = max(change, -self.spare)
            self.spare += change
        self.tokens = min(self.maximum, max(-self.maximum, self.tokens - change))
