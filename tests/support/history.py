"""What was granted, held against the bounds, by a clock that only goes forward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from celery_ratekit.limiter.decision import Decision
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

from . import bounds
from .bounds import Change

Name = tuple[type[Limit], str, str]


class Time(Protocol):
    """``gone``: how far the clock went forward in all (us), since it showed ``begin``."""

    begin: int
    gone: int
    stepped_back: bool


@dataclass(eq=False)
class Start:
    """One start, charged to one limit; ``asked`` and ``at`` in us that the clock had gone."""

    limit: Limit
    cost: float
    asked: int
    at: int
    given_back: float = 0.0
    given_back_at: float = math.inf


class History:
    """Every start of every limit, what came back, and when each limit was asked about at all."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._starts: dict[Name, list[Start]] = {}
        self._looks: dict[Name, list[tuple[int, Any]]] = {}

    def looked_at(self, limits: Iterable[Limit]) -> None:
        """A question was asked that Redis answered from the state of these limits."""
        for limit in limits:
            self._looks.setdefault(_name(limit), []).append((self._time.gone, limit))

    def started(self, decision: Decision) -> list[Start]:
        """Remembers a granted call; its starts, one for each limit."""
        gone = self._time.gone
        starts = []
        for limit in decision.limits:
            assert isinstance(limit.cost, (int, float))
            at = gone + decision.start_us - decision.asked_us
            starts.append(Start(limit, limit.cost, gone, at))
            self._starts.setdefault(_name(limit), []).append(starts[-1])
        return starts

    def gave_back(self, start: Start, amount: float) -> None:
        start.given_back, start.given_back_at = amount, self._time.gone

    def extended(self, starts: Iterable[Start]) -> None:
        """Places that are held for another lease from now."""
        for start in starts:
            start.asked = self._time.gone

    def check(self) -> None:
        """Every bound, for every limit (all its versions together) on its own."""
        checks: dict[type[Limit], Callable[[Name, list[Start]], None]] = {
            TokenBucket: self._check_token_bucket,
            FixedWindow: _check_fixed_window,
            SlidingWindow: _check_sliding_window,
            ScheduledBucket: self._check_scheduled_bucket,
            Concurrency: _check_concurrency,
        }
        for name, starts in self._starts.items():
            checks[name[0]](name, starts)

    def _check_token_bucket(self, name: Name, starts: list[Start]) -> None:
        looks = [(gone, 1 / one.rate.microseconds_per_token) for gone, one in self._looks[name]]
        promises = [
            (one.asked, one.at, 1 / one.limit.rate.microseconds_per_token)
            for one in starts
            if isinstance(one.limit, TokenBucket) and one.at > one.asked
        ]
        bounds.check_token_bucket(
            _net_changes(starts),
            max(one.burst for _, one in self._looks[name]),
            lambda begin, end: _added(looks, promises, begin, end),
        )

    def _check_scheduled_bucket(self, name: Name, starts: list[Start]) -> None:
        if self._time.stepped_back:
            return  # Which instants passed is then told by the clock, not by the time that went by.
        limits = [one for _, one in self._looks[name]]
        begin = self._time.begin
        end = max(one.at for one in starts)
        instants = {
            instant for one in limits for instant in one.schedule.between(begin, begin + end)
        }
        bounds.check_scheduled_bucket(
            _net_changes(starts),
            max(one.maximum for one in limits),
            max(one.amount for one in limits),
            [instant - begin for instant in instants],
        )


def _name(limit: Limit) -> Name:
    return type(limit), limit.name, str(limit.key)


def _added(
    looks: list[tuple[int, float]],
    promises: list[tuple[int, int, float]],
    begin: float,
    end: float,
) -> float:
    """Tokens that come in between: at the lower of the rates seen before and after a moment.

    What was promised ahead was promised at its own rate, which then holds until that start.
    """
    edges = sorted(
        {begin, end}
        | {time for time, _ in looks if begin < time < end}
        | {time for one in promises for time in one[:2] if begin < time < end}
    )
    total = 0.0
    for left, right in pairwise(edges):
        before = [rate for time, rate in looks if time <= left] or [looks[0][1]]
        after = [rate for time, rate in looks if time >= right] or [looks[-1][1]]
        ahead = [rate for asked, at, rate in promises if asked <= left and right <= at]
        total += (right - left) * max(min(before[-1], after[0]), *ahead, 0.0)
    return total


def _net_changes(starts: list[Start]) -> list[Change]:
    """Starts, and what came back of them.

    One that came back before its moment never was; of one that came back later, what came back
    counts from then on.
    """
    changes = []
    for start in starts:
        if start.given_back_at < start.at:
            changes.append((float(start.at), start.cost - start.given_back))
        else:
            changes.append((float(start.at), start.cost))
            if start.given_back:
                changes.append((start.given_back_at, -start.given_back))
    return changes


def _kept(starts: list[Start]) -> list[Change]:
    """What was not given back, at the start's own moment."""
    return [(float(start.at), start.cost - start.given_back) for start in starts]


def _check_fixed_window(name: Name, starts: list[Start]) -> None:
    bounds.check_fixed_window(_kept(starts), *_laxest(starts))


def _check_sliding_window(name: Name, starts: list[Start]) -> None:
    bounds.check_sliding_window(_kept(starts), *_laxest(starts))


def _laxest(starts: list[Start]) -> tuple[float, int]:
    limits: list[Any] = [start.limit for start in starts]
    size = max(limit.rate.amount for limit in limits)
    return size, min(round(limit.rate.period_seconds * 1e6) for limit in limits)


def _check_concurrency(name: Name, starts: list[Start]) -> None:
    limits: list[Any] = [start.limit for start in starts]
    changes: list[Change] = []
    for start, limit in zip(starts, limits, strict=True):
        end = min(start.asked + limit.lease_seconds * 1e6, start.given_back_at)
        changes += [(float(start.asked), start.cost), (end, -start.cost)]
    bounds.check_concurrency(changes, max(limit.size for limit in limits))
