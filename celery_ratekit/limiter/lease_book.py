"""Which places are kept and which are owed back, and when something has to be done about them.

Knows neither Redis nor threads: all moments are seconds of its caller's clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ..limits import Concurrency, Limit
from .decision import Decision

__all__ = ["LeaseBook", "Round", "leases_of"]

ROUNDS_PER_LEASE = 4
"""How often the shortest lease is extended while it lasts: three rounds may fail."""

RETRY_SECONDS = 1.0
"""When what failed is tried again, at the latest."""

SHORTEST_ROUND_SECONDS = 0.05
"""Between two rounds at the least, however short a lease is."""

Name = tuple[str, tuple[Limit, ...]]


class Round(NamedTuple):
    """What is to be done now: places to extend, and places to give back."""

    kept: list[Decision]
    owed: list[Decision]


@dataclass(slots=True)
class Kept:
    """Places of a call that runs."""

    decision: Decision
    is_lost: bool = False


@dataclass(slots=True)
class Owed:
    """Places that Redis did not take back; their lease is over at the given moment."""

    decision: Decision
    over_at: float


class LeaseBook:
    """The places of one process, by who holds them."""

    def __init__(self) -> None:
        self._kept: dict[Name, Kept] = {}
        self._owed: dict[Name, Owed] = {}
        self.round_at = math.inf
        """When the next round is due."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to do until something is kept or owed again."""
        return not self._kept and not self._owed

    def keep(self, decision: Decision, now: float) -> None:
        """Extends the places from now on."""
        self._kept[_name(decision)] = Kept(decision)
        self._round_within(_round_seconds(decision), now)

    def drop(self, decision: Decision) -> None:
        """No longer extends the places."""
        self._kept.pop(_name(decision), None)

    def owe(self, decision: Decision, now: float) -> None:
        """Gives the places back in the next rounds, until their lease is over."""
        self._owed[_name(decision)] = Owed(decision, now + max(leases_of(decision)))
        self.retry(now)

    def paid(self, decision: Decision) -> None:
        """The places were given back."""
        self._owed.pop(_name(decision), None)

    def retry(self, now: float) -> None:
        """Makes the next round come soon, after one that failed."""
        shortest = min((_round_seconds(one.decision) for one in self._kept.values()), default=1.0)
        self._round_within(min(RETRY_SECONDS, shortest), now)

    def is_newly_lost(self, decision: Decision) -> bool:
        """Whether a place that is said to be lost was still kept, and not known to be lost."""
        kept = self._kept.get(_name(decision))
        if kept is None or kept.is_lost:
            return False
        kept.is_lost = True
        return True

    def begin_round(self, now: float) -> Round:
        """What is to be done now, and sets the time of the round after it.

        Places of which some were lost go on being extended, since the others are still held.
        """
        self._owed = {name: one for name, one in self._owed.items() if one.over_at > now}
        self.round_at = math.inf
        for kept in self._kept.values():
            self._round_within(_round_seconds(kept.decision), now)
        if self._owed:
            self.retry(now)
        return Round(
            [one.decision for one in self._kept.values()],
            [one.decision for one in self._owed.values()],
        )

    def _round_within(self, seconds: float, now: float) -> None:
        self.round_at = min(self.round_at, now + seconds)


def leases_of(decision: Decision) -> list[float]:
    """The lease of each concurrency limit whose places a call holds, in seconds."""
    if not decision.granted or decision.degraded:
        return []
    return [limit.lease_seconds for limit in decision.limits if isinstance(limit, Concurrency)]


def _round_seconds(decision: Decision) -> float:
    return max(SHORTEST_ROUND_SECONDS, min(leases_of(decision)) / ROUNDS_PER_LEASE)


def _name(decision: Decision) -> Name:
    return decision.holder, decision.limits
