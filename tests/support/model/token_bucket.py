"""The token bucket: a number of tokens at a moment, and what is promised ahead."""

from __future__ import annotations

from fractions import Fraction

from celery_ratekit.limits import TokenBucket

from .common import EPSILON, Time, exact


class Bucket:
    """Empty at ``empty_at`` (us): before now there are tokens, after now they are promised or owed.

    ``promised_until``: the last start that lies ahead. ``spare``: how much (us of refill) may come
    back before it.
    """

    def __init__(self) -> None:
        self.is_new = True
        self.changed = False
        self.now = 0
        self.empty_at = Fraction(0)
        self.interval = Fraction(0)
        self.promised_until: Fraction | None = None
        self.spare: Fraction | None = None
        self.plain_spare = Fraction(0)

    def look(self, limit: TokenBucket, now: int) -> None:
        self.changed = False
        self.capacity = exact(limit.burst)
        interval = exact(limit.rate.microseconds_per_token)
        if self.is_new:
            self.is_new = False
            self.empty_at = now - self.capacity * interval
            if limit.lowered_at:
                lowered_at = round(limit.lowered_at * 1e6)
                self.empty_at = min(Fraction(now), max(self.empty_at, Fraction(lowered_at)))
        else:
            self._time_passes(now, interval)
        self.now, self.interval = now, interval
        self.empty_at = max(self.empty_at, now - self.capacity * interval)
        self.plain_spare = max(Fraction(0), self.capacity - 1) * interval

    def is_worth_storing(self) -> bool:
        return True

    def _time_passes(self, now: int, interval: Fraction) -> None:
        if now < self.now:
            self._move(now - self.now)
            self.changed = True
        if interval != self.interval:
            self.changed = True
            # Tokens stay tokens; they accrue at the lower of the two rates.
            moment = self.now if interval > self.interval else now
            if self.empty_at < moment:
                tokens = (moment - self.empty_at) / self.interval
                self.empty_at = moment - tokens * interval
        self._forget_promises(now, interval)

    def _move(self, by: int) -> None:
        self.empty_at += by
        self.now += by
        if self.promised_until is not None:
            self.promised_until += by

    def _forget_promises(self, now: int, interval: Fraction) -> None:
        if self.promised_until is None or self.spare is None:
            return
        plain = self.promised_until == self.empty_at and self.spare >= self.plain_spare
        if self.promised_until <= now + (EPSILON if plain else 0):
            self.promised_until = self.spare = None
        elif plain:
            # All of it started as early as could be, at a cost of one token at the most.
            self.spare = max(Fraction(0), self.capacity - 1) * interval
        elif interval != self.interval:
            if interval < self.interval:
                self.empty_at = max(self.empty_at, self.promised_until)
            self.spare = Fraction(0)

    def earliest(self, cost: Fraction) -> tuple[Time, str]:
        return self.empty_at - self.now + cost * self.interval, "rate"

    def charge(self, cost: Fraction, start: Time) -> None:
        step = cost * self.interval
        begins = self.now + Fraction(start)
        full_at_start = begins - self.capacity * self.interval
        if start > EPSILON:
            spare = self.capacity * self.interval - max(step, self.interval)
            if begins > self.empty_at + step:
                spare = self.empty_at - full_at_start
            spare = max(Fraction(0), spare)
            self.spare = spare if self.spare is None else min(self.spare, spare)
            self.promised_until = max(self.promised_until or begins, begins)
        self.empty_at = max(self.empty_at, full_at_start) + step

    def amend(self, change: Fraction, charged: int, asked: int) -> None:
        by = change * self.interval
        full = self.capacity * self.interval
        if by > 0:
            most = (self.promised_until or self.now) + full
            self.empty_at = max(self.empty_at, min(self.empty_at + by, most))
        else:
            given = -by
            if self.spare is not None:
                given = min(given, self.spare)
                self.spare -= given
            self.empty_at = max(self.now - full, self.empty_at - given)
