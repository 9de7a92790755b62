"""The two windows: one with a count from its first call, one with a list of starts."""

from __future__ import annotations

from fractions import Fraction

from celery_ratekit.limits import FixedWindow, SlidingWindow

from .common import Time, ceil_us, exact, rounding_of


def period_us(limit: FixedWindow | SlidingWindow) -> int:
    return max(1, round(limit.rate.period_seconds * 1e6))


class Window:
    """A fixed window: from ``begins`` to ``ends`` (us), with ``used`` of its calls taken."""

    def __init__(self) -> None:
        self.changed = False
        self.now = 0
        self.begins: int | None = None
        self.ends = 0
        self.used = Fraction(0)

    def look(self, limit: FixedWindow, now: int) -> None:
        self.changed = False
        self.size, self.period = exact(limit.rate.amount), period_us(limit)
        if self.begins is not None:
            if now < self.now:
                self.changed = True
                self.begins += now - self.now
                self.ends += now - self.now
            # A shorter period is felt at once, a longer one from the next window on.
            self.ends = min(self.ends, self.begins + self.period)
            if self.ends <= now:
                self.begins = None
        self.now = now

    def is_worth_storing(self) -> bool:
        return self.begins is not None

    def earliest(self, cost: Fraction) -> tuple[Time, str]:
        if self.begins is None:
            return 0, "rate"
        if self.used + cost - rounding_of(cost) <= self.size:
            return max(0, self.begins - self.now), "rate"
        return self.ends - self.now, "rate"

    def charge(self, cost: Fraction, start: Time) -> None:
        moment = self.now + ceil_us(start)
        if self.begins is None or moment >= self.ends:
            free = self.now if self.begins is None else self.ends
            self._open(moment if moment >= free + self.period else free)
        self.used += cost

    def _open(self, begins: int) -> None:
        self.begins, self.ends, self.used = begins, begins + self.period, Fraction(0)

    def amend(self, change: Fraction, charged: int, asked: int) -> None:
        if change > 0:
            if self.begins is None:
                self._open(self.now)
            room = max(Fraction(0), self.size - self.used)
            if change > room and self.begins is not None and self.begins <= self.now:
                self._open(self.ends)
                self.used = min(self.size, change - room)
            else:
                self.used += min(change, room)
        elif self.begins is not None and self.begins <= charged < self.ends:
            self.used = max(Fraction(0), self.used + change)


class Starts:
    """A sliding window: every start with the moment it was asked at, in order."""

    def __init__(self) -> None:
        self.changed = False
        self.now = 0
        self.starts: list[tuple[int, int]] = []

    def look(self, limit: SlidingWindow, now: int) -> None:
        self.size, self.period = int(limit.capacity), period_us(limit)
        self.now = now
        self.changed = bool(self.starts) and self.starts[-1][1] > now
        if self.changed:
            back = self.starts[-1][1] - now
            self.starts = [(start - back, min(start - back, now)) for start, _ in self.starts]

    def is_worth_storing(self) -> bool:
        # More than the last starts are kept only where they still count.
        while len(self.starts) > self.size and self.starts[0][0] + self.period <= self.now:
            del self.starts[0]
        return True

    def earliest(self, cost: Fraction) -> tuple[Time, str]:
        return self._earliest(int(cost)) - self.now, "rate"

    def _earliest(self, cost: int) -> int:
        last = self.starts[-1][0] if self.starts else self.now
        index = len(self.starts) - self.size + cost - 1
        return max(self.now, last, self.starts[index][0] + self.period if index >= 0 else 0)

    def charge(self, cost: Fraction, start: Time) -> None:
        self._add(int(cost), self.now + ceil_us(start))

    def _add(self, count: int, start: int) -> None:
        self.starts += [(start, min(start, self.now))] * count

    def amend(self, change: Fraction, charged: int, asked: int) -> None:
        count = -(-change // 1)
        if change > 0:
            for _ in range(min(count, self.size)):
                if self._earliest(1) <= self.now + self.period:
                    self._add(1, self._earliest(1))
        elif not self.changed:
            for _ in range(-count):
                if (charged, asked) in self.starts:
                    at = len(self.starts) - 1 - self.starts[::-1].index((charged, asked))
                    del self.starts[at]
