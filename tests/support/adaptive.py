"""A service that takes so much and no more, and a fleet that learns how much: in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from celery_ratekit.adaptive.law import Bounds, Learned, rate_of, succeeded, throttled
from celery_ratekit.adaptive.learning import Answer, Learner, Rates

BEGIN_US = 1_800_000_000_000_000
FREEZE_SECONDS = 1.0  # what `rate_limited()` freezes without a Retry-After
STALE_SECONDS = 2.0  # how old a process' view of the rate may be
LATENCY_SECONDS = (0.01, 0.05)  # of one way to the service
NAME = "partner"


class LawRates:
    """The law with its state in this process; ``now`` is in seconds, as in all that follows."""

    def __init__(self) -> None:
        self.now = 0.0
        self.learned: Learned | None = None
        self.reports = 0

    def seen(self, name: str) -> float | None:
        raise NotImplementedError("each process has a view of its own")

    def rate(self, bounds: Bounds) -> float:
        return rate_of(self.learned, bounds)

    def succeeded(self, name: str, bounds: Bounds, count: int) -> Answer:
        self.reports += 1
        self.learned = succeeded(self.learned, bounds, now_us=self._now_us, count=count)
        return self._answer(bounds)

    def throttled(self, name: str, bounds: Bounds, granted_us: int | None, freeze: float) -> Answer:
        assert granted_us is not None
        self.learned = throttled(
            self.learned,
            bounds,
            now_us=self._now_us,
            granted_us=granted_us,
            freeze_seconds=freeze,
        )
        return self._answer(bounds)

    @property
    def _now_us(self) -> float:
        return BEGIN_US + round(self.now * 1e6)

    def _answer(self, bounds: Bounds) -> Answer:
        assert self.learned is not None
        return Answer(rate_of(self.learned, bounds), self.learned.lowered_at_us)


@dataclass
class Service:
    """Takes ``capacity(now)`` calls in any window, exactly; refusals are free."""

    capacity: Callable[[float], int]
    window_seconds: float = 1.0
    freeze_seconds: float = FREEZE_SECONDS
    _taken: deque[float] = field(default_factory=deque)

    def takes(self, now: float) -> bool:
        while self._taken and self._taken[0] <= now - self.window_seconds:
            self._taken.popleft()
        if len(self._taken) >= self.capacity(now):
            return False
        self._taken.append(now)
        return True


@dataclass(frozen=True)
class Moment:
    """One call's end: when, whether it was taken, and rate and capacity (per second) then."""

    at: float
    taken: bool
    rate: float
    capacity: float


class Process:
    """One worker process: starts calls at the rate that it knows of, and learns."""

    def __init__(self, shared: LawRates, bounds: Bounds, first_look: float) -> None:
        self.view: float | None = None
        self._shared = shared
        self._bounds = bounds
        self._next_look = first_look
        self.learner = Learner(_View(self, shared), clock=lambda: shared.now)

    def spacing(self, now: float) -> float:
        """Seconds until the next start by the rate that is known here."""
        if now >= self._next_look:
            self._next_look = now + STALE_SECONDS
            self.view = self._shared.rate(self._bounds)
        return 1 / (self.view or self._bounds.start_per_second)


class _View(Rates):
    """The shared rates as one process sees them."""

    def __init__(self, process: Process, shared: LawRates) -> None:
        self._process = process
        self._shared = shared

    def seen(self, name: str) -> float | None:
        return self._process.view

    def succeeded(self, name: str, bounds: Bounds, count: int) -> Answer:
        return self._shared.succeeded(name, bounds, count)

    def throttled(self, name: str, bounds: Bounds, granted_us: int | None, freeze: float) -> Answer:
        return self._shared.throttled(name, bounds, granted_us, freeze)


def simulate(
    service: Service,
    bounds: Bounds,
    seconds: float,
    *,
    processes: int = 8,
    seed: int = 1,
    rates: LawRates | None = None,
) -> list[Moment]:
    """How a fleet with endless work fares, call by call."""
    chance = random.Random(seed)
    shared = LawRates() if rates is None else rates
    fleet = [Process(shared, bounds, chance.uniform(0, STALE_SECONDS)) for _ in range(processes)]
    return list(Simulation(service, bounds, shared, fleet, chance).run(seconds))


@dataclass
class Simulation:
    """What happens next, as often as it is asked."""

    service: Service
    bounds: Bounds
    rates: LawRates
    fleet: list[Process]
    chance: random.Random
    #: (when, number, process, when it was granted, None or the service's answer)
    calls: list[tuple[float, int, Process, float, bool | None]] = field(default_factory=list)
    next_grant: float = 0.0
    number: int = 0

    def run(self, seconds: float) -> Iterator[Moment]:
        while self.next_grant < seconds:
            if not self.calls or self.next_grant < self.calls[0][0]:
                self.start()
                continue
            at, _, process, granted, taken = heapq.heappop(self.calls)
            self.rates.now = at
            if taken is None:
                self.send(at, process, granted, self.service.takes(at))
            else:
                self.end(at, process, granted, taken)
                capacity = self.service.capacity(at) / self.service.window_seconds
                yield Moment(at, taken, self.rates.rate(self.bounds), capacity)

    def start(self) -> None:
        """One process starts a call."""
        now = self.rates.now = self.next_grant
        process = self.chance.choice(self.fleet)
        self.send(now, process, now, None)
        self.next_grant = now + process.spacing(now)

    def send(self, at: float, process: Process, granted: float, taken: bool | None) -> None:
        self.number += 1
        arrival = at + self.chance.uniform(*LATENCY_SECONDS)
        heapq.heappush(self.calls, (arrival, self.number, process, granted, taken))

    def end(self, at: float, process: Process, granted: float, taken: bool) -> None:
        """What a body does once it has the answer."""
        if taken:
            process.learner.succeeded(NAME, self.bounds)
            return
        freeze_seconds = self.service.freeze_seconds
        self.next_grant = max(self.next_grant, at + freeze_seconds)
        granted_us = BEGIN_US + round(granted * 1e6)
        process.learner.throttled(NAME, self.bounds, granted_us, freeze_seconds)


def between(moments: list[Moment], begin: float, end: float) -> list[Moment]:
    return [moment for moment in moments if begin <= moment.at < end]


def share_of_time(moments: list[Moment], is_so: Callable[[Moment], bool]) -> float:
    """For what share of the time something held."""
    whole = moments[-1].at - moments[0].at
    return sum(two.at - one.at for one, two in pairwise(moments) if is_so(one)) / whole


def is_near(moment: Moment) -> bool:
    """Whether the rate is within 10 % of the capacity."""
    return 0.9 * moment.capacity <= moment.rate <= 1.1 * moment.capacity


def most_above(moments: list[Moment]) -> float:
    """How many times the capacity the rate was at most."""
    return max(moment.rate / moment.capacity for moment in moments)


def used(moments: list[Moment]) -> float:
    """What was taken, as a share of what the service would have taken."""
    could = sum((two.at - one.at) * one.capacity for one, two in pairwise(moments))
    return sum(moment.taken for moment in moments) / could


def refused(moments: list[Moment]) -> float:
    """Which share of the calls was refused."""
    return sum(not moment.taken for moment in moments) / len(moments)
