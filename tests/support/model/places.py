"""Concurrency: places by name, each with the end of its lease."""

from __future__ import annotations

from fractions import Fraction

from celery_ratekit.limits import Concurrency

from .common import Time

Place = tuple[str, int, int]
"""Its holder, its number among the holder's, and its lease (us)."""


class Places:
    """What is held, by the end of its lease (us). What ran out is only seen when room is needed."""

    def __init__(self) -> None:
        self.changed = False
        self.now = 0
        self.ends: dict[Place, int] = {}
        self.taken = 0

    def look(self, limit: Concurrency, now: int) -> None:
        self.size, self.lease = limit.size, round(limit.lease_seconds * 1e6)
        self.now = now
        self.taken = 0

    def is_worth_storing(self) -> bool:
        return True

    def earliest(self, cost: Fraction) -> tuple[Time, str]:
        if self._lacking(cost) > 0:
            self.ends = {place: end for place, end in self.ends.items() if end > self.now}
        lacking = self._lacking(cost)
        if lacking <= 0:
            return 0, "rate"
        if lacking > len(self.ends):
            return self.lease, "busy"
        name = sorted(self.ends, key=lambda place: (self.ends[place], _text(place)))[lacking - 1]
        if self.ends[name] - self.now > name[2]:  # The clock stepped back.
            self.ends = {place: min(end, self.now + place[2]) for place, end in self.ends.items()}
        return max(1, sorted(self.ends.values())[lacking - 1] - self.now), "busy"

    def _lacking(self, cost: Fraction) -> int:
        return len(self.ends) + self.taken + int(cost) - self.size

    def charge(self, cost: Fraction, start: Time) -> None:
        self.taken += int(cost)

    def store(self, holder: str) -> None:
        for number in range(self.taken):
            self.ends[holder, number, self.lease] = self.now + self.lease

    def release(self, holder: str, count: int) -> None:
        for number in range(count):
            self.ends.pop((holder, number, self.lease), None)

    def extend(self, holder: str, count: int) -> bool:
        held = [(holder, number, self.lease) for number in range(count)]
        for place in held:
            if place in self.ends:
                self.ends[place] = self.now + self.lease
        return all(place in self.ends for place in held)


def _text(place: Place) -> bytes:
    return f"{place[0]}/{place[1]}/{place[2]}".encode()
