"""A limiter and its model side by side: all is put to both, and their answers are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import redis

from celery_ratekit.limiter import Limiter
from celery_ratekit.limiter.decision import Decision, Reservations
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

from .history import History, Start
from .model import Answer, ModelLimiter
from .model.scheduled import Instants

BEGIN = 1_800_000_000_000_000
"""The clock's first reading, us: some day in 2027, at a full hour."""


@dataclass
class Clock:
    """A clock that a test sets. ``gone`` is how far it went forward in all (us)."""

    begin: int = BEGIN
    now: int = BEGIN
    gone: int = 0
    stepped_back: bool = False

    def __call__(self) -> int:
        return self.now

    def step(self, by: int) -> None:
        """Forward or, with ``by`` below 0, back."""
        self.now += by
        self.gone += max(0, by)
        self.stepped_back = self.stepped_back or by < 0

    def reset(self) -> None:
        self.now, self.gone, self.stepped_back = self.begin, 0, False


@dataclass
class Grant:
    """A call that was granted and may be given back."""

    decision: Decision
    starts: list[Start]
    settled: set[Limit] = field(default_factory=set)


class World:
    """Puts operations to the limiter and to the model; ``asks`` are the limits of the calls."""

    def __init__(
        self, client: redis.Redis, limiter: Limiter, clock: Clock, asks: Sequence[tuple[Limit, ...]]
    ) -> None:
        client.flushdb()
        clock.reset()
        self.client = client
        self.limiter = limiter
        self.clock = clock
        self.asks = asks
        self.model = ModelLimiter()
        self.history = History(clock)
        self.grants: list[Grant] = []
        self.wait_us = 0.0
        self._holders = 0

    # -- asking -----------------------------------------------------------------------------

    def acquire(self, which: int) -> Decision:
        limits = self._limits(which)
        holder = self._holder()
        decision = self.limiter.acquire(limits, holder=holder)
        self._looked_at(limits)
        answer = self.model.ask(limits, self.clock.now, holder=holder)
        starts = [decision.start_us - self.clock.now] if decision else []
        self._compare(starts, decision, answer)
        if decision:
            self._remember(decision)
        return decision

    def reserve(
        self, which: int, count: int, horizon: float, apart: float = math.inf
    ) -> Reservations:
        """``horizon`` and ``apart`` are in seconds."""
        limits = self._limits(which)
        holder = self._holder()
        reserved = self.limiter.reserve(limits, count, horizon, holder=holder, apart=apart)
        self._looked_at(limits)
        answer = self.model.ask(
            limits,
            self.clock.now,
            count=count,
            horizon=horizon * 1e6,
            apart=apart * 1e6,
            holder=holder,
        )
        starts = [reserved.start_us(index) for index in range(reserved.granted)]
        self._compare(starts, reserved, answer)
        for index in range(reserved.granted):
            self._remember(reserved.decision(index))
        return reserved

    def _looked_at(self, limits: Sequence[Limit]) -> None:
        if not any(limit.is_paused for limit in limits):  # Which is answered without a question.
            self.history.looked_at(limits)

    def _compare(self, starts: list[int], said: Decision | Reservations, answer: Answer) -> None:
        wait = 0 if said.blocked_by is None else said.wait_seconds
        self.wait_us = wait if math.isinf(wait) else round(wait * 1e6)
        answered, expected = (starts, self.wait_us), (list(answer.starts), answer.wait)
        assert answered == expected, f"answered {answered}, expected {expected}"
        why = (said.blocked_by, said.reason)
        assert why in answer.in_the_way, f"said {why}, expected one of {answer.in_the_way}"

    def _remember(self, decision: Decision) -> None:
        self.grants.append(Grant(decision, self.history.started(decision)))

    # -- afterwards -------------------------------------------------------------------------

    def refund(self, which: int) -> None:
        """Gives back one of the grants; each is given back once, and not after a settlement."""
        grants = [grant for grant in self.grants if not grant.settled]
        if not grants:
            return
        grant = grants[which % len(grants)]
        self.grants.remove(grant)
        decision = grant.decision
        self.limiter.refund(decision)
        self.history.looked_at(decision.limits)
        for start in grant.starts:
            self._amend_model(decision, start.limit, -start.cost)
            if not isinstance(start.limit, Concurrency) or decision.holder:
                self.history.gave_back(start, start.cost)  # Else held by many calls together.

    def settle(self, which: int, actual_cost: float) -> None:
        """Corrects one grant's cost of its first limit that can be settled."""
        grants = [grant for grant in self.grants if not grant.settled]
        if not grants:
            return
        grant = grants[which % len(grants)]
        rated = [one for one in grant.starts if not isinstance(one.limit, Concurrency)]
        if not rated:
            return
        grant.settled.add(rated[0].limit)
        self.limiter.settle(grant.decision, actual_cost, rated[0].limit)
        self.history.looked_at([rated[0].limit])
        change = actual_cost - rated[0].cost
        self._amend_model(grant.decision, rated[0].limit, change)
        if change < 0:
            self.history.gave_back(rated[0], -change)

    def _amend_model(self, decision: Decision, limit: Limit, change: float) -> None:
        self.model.amend(
            limit,
            change,
            self.clock.now,
            charged=decision.start_us,
            asked=decision.asked_us,
            holder=decision.holder,
        )

    def extend(self, which: int) -> None:
        """Extends the lease of one grant's places."""
        held = [
            (grant, start)
            for grant in self.grants
            if grant.decision.holder
            for start in grant.starts
            if isinstance(start.limit, Concurrency)
        ]
        if not held:
            return
        grant, start = held[which % len(held)]
        assert isinstance(start.limit, Concurrency)
        kept = self.limiter.extend(grant.decision)
        extended = [
            self.model.extend(one.limit, self.clock.now, grant.decision.holder)
            for one in grant.starts
            if isinstance(one.limit, Concurrency)
        ]
        assert kept == all(extended), f"extended {kept}, expected {extended}"
        if kept:
            self.history.extended(grant.starts)

    # -- from outside -----------------------------------------------------------------------

    def freeze(self, which: int, seconds: float) -> None:
        """Freezes the first limit of a call; 0 seconds end the freeze."""
        limit = self._limits(which)[0]
        left = self.limiter.freeze(limit, seconds)
        assert round(left * 1e6) == self.model.freeze(limit, self.clock.now, round(seconds * 1e6))

    def step(self, by: int) -> None:
        """Sets the clock forward or back, by us."""
        self.clock.step(by)

    def step_to_promise(self, which: int, off_by: int = 0) -> None:
        """To the moment that a denial of this call promises, or ``off_by`` us from it."""
        self.acquire(which)
        if 0 < self.wait_us < math.inf:
            self.step(round(self.wait_us) + off_by)

    def _limits(self, which: int) -> tuple[Limit, ...]:
        return self.asks[which % len(self.asks)]

    def _holder(self) -> str:
        self._holders += 1
        return f"holder {self._holders}"

    # -- what is in Redis ------------------------------------------------------------------

    def everything(self) -> dict[bytes, bytes | None]:
        """Every key with its value."""
        return {key: self.client.dump(key) for key in self.client.scan_iter()}

    def check_expiries(self) -> None:
        """Every key expires, and none lives long after it says no more than an absent key."""
        longest = max((longest_life(limit) for call in self.asks for limit in call), default=0)
        for key in self.client.scan_iter():
            left = self.client.pttl(key)
            assert 0 <= left <= longest * 1000, f"{key!r} lives {left} ms, allowed {longest} s"


LONGEST_AHEAD = 200
"""Seconds: the longest horizon and the longest freeze of the operations."""

SLACK = 12
"""Seconds that a state may live on: ten for the next writes, and roundings."""


def longest_life(limit: Limit) -> float:
    """Seconds within which everything that a limit counts is told to expire."""
    if isinstance(limit, TokenBucket):  # A debt of one capacity, a refill, a quarter for slack.
        refill = 0 if limit.is_paused else limit.burst * limit.rate.microseconds_per_token / 1e6
        return LONGEST_AHEAD + refill * 2.25 + SLACK
    if isinstance(limit, (FixedWindow, SlidingWindow)):  # A debt fills one period more.
        return LONGEST_AHEAD + limit.rate.period_seconds * 2 + SLACK
    if isinstance(limit, ScheduledBucket):  # Twice the capacity, at three days each day's.
        refills = math.ceil(2 * limit.maximum / limit.amount)
        assert isinstance(limit.schedule, Instants)
        instants_a_day = 24 * len(limit.schedule.minute)
        return 86_400 + math.ceil(refills / instants_a_day) * 3 * 86_400 + SLACK
    assert isinstance(limit, Concurrency)
    return limit.lease_seconds + LONGEST_AHEAD
