"""Limits and operations for the property tests: few values each, so that edges are often met."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

from .model.scheduled import Instants

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

# Keys expire by Redis' own clock, which goes on while a test's stands: all periods are longer than
# any test.
names = st.sampled_from(["a", "b"])
keys = st.sampled_from(["", "", "k"])


@st.composite
def token_buckets(draw: st.DrawFn) -> TokenBucket:
    rate = draw(st.sampled_from(["10/m", "1/m", "3/s", "7/30s", "1000/s", "0.3/s", "0", "100/d"]))
    burst = draw(st.sampled_from([1, 1, 2, 3, 5, 2.5, 20]))
    cost = draw(st.sampled_from([1, 1, 1, 0.5, 2, 2.5, 0.1, burst]))
    return TokenBucket(draw(names), rate, burst, key=draw(keys), cost=min(cost, burst))


@st.composite
def fixed_windows(draw: st.DrawFn) -> FixedWindow:
    amount = draw(st.sampled_from([1, 2, 3, 3, 5, 2.5]))
    period = draw(st.sampled_from([60, 60, 90, 3600]))
    cost = draw(st.sampled_from([1, 1, 1, 0.5, 0.1, 2, amount]))
    return FixedWindow(draw(names), f"{amount}/{period}s", key=draw(keys), cost=min(cost, amount))


@st.composite
def sliding_windows(draw: st.DrawFn) -> SlidingWindow:
    amount = draw(st.sampled_from([1, 2, 3, 5]))
    period = draw(st.sampled_from([60, 60, 90, 3600]))
    cost = draw(st.sampled_from([1, 1, 1, 2, amount]))
    return SlidingWindow(draw(names), f"{amount}/{period}s", key=draw(keys), cost=min(cost, amount))


HOURLY = Instants(HOUR, (0,))
UNEVEN = Instants(HOUR, (0, 10 * MINUTE, 12 * MINUTE, 45 * MINUTE))


@st.composite
def scheduled_buckets(draw: st.DrawFn) -> ScheduledBucket:
    maximum = draw(st.sampled_from([1, 2, 3, 5, 20, 2.5]))
    amount = draw(st.sampled_from([1, 2, 0.7, maximum]))
    cost = draw(st.sampled_from([1, 1, 1, 0.1, 0.5, 2, maximum]))
    return ScheduledBucket(
        draw(names),
        draw(st.sampled_from([UNEVEN, UNEVEN, HOURLY])),
        min(amount, maximum),
        maximum,
        key=draw(keys),
        cost=min(cost, maximum),
    )


@st.composite
def concurrencies(draw: st.DrawFn) -> Concurrency:
    size = draw(st.sampled_from([1, 2, 3, 5]))
    cost = draw(st.sampled_from([1, 1, 2, size]))
    lease = draw(st.sampled_from([60, 60, 100]))
    return Concurrency(draw(names), size, lease_seconds=lease, key=draw(keys), cost=min(cost, size))


LIMITS: dict[str, st.SearchStrategy[Limit]] = {
    "TokenBucket": token_buckets(),
    "FixedWindow": fixed_windows(),
    "SlidingWindow": sliding_windows(),
    "ScheduledBucket": scheduled_buckets(),
    "Concurrency": concurrencies(),
}


def asks_of(*kinds: str, together: int = 1) -> st.SearchStrategy[list[tuple[Limit, ...]]]:
    """Calls that share limits, some at other rates or costs; ``together`` or more in a call."""
    limit = st.one_of([LIMITS[kind] for kind in kinds])
    several = st.lists(
        limit, min_size=together, max_size=3, unique_by=lambda one: (type(one), one.name, one.key)
    )
    return st.lists(several.map(tuple), min_size=1, max_size=3)


@dataclass(frozen=True)
class Do:
    """One operation: a method of World, or of another world, with its arguments."""

    what: str
    arguments: tuple[Any, ...]

    def __call__(self, world: object) -> None:
        getattr(world, self.what)(*self.arguments)

    def __repr__(self) -> str:
        return f"Do({self.what!r}, {self.arguments!r})"


def do(what: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Do]:
    return st.builds(Do, st.just(what), st.tuples(*arguments))


which = st.integers(0, 5)
steps = st.sampled_from(
    [1, 1_000, 333_333, SECOND, 6 * SECOND, 20 * SECOND, 30 * SECOND, MINUTE, 10 * MINUTE, HOUR]
) | st.integers(1, 200 * SECOND)


horizons = st.sampled_from([0, 1, 10, 45, 61, 200])
aparts = st.sampled_from([math.inf, math.inf, 0, 0.1, 5, 30, 60])


def operations(
    *,
    steps_back: bool = True,
    settles: bool = True,
    apart: st.SearchStrategy[float] = aparts,
) -> st.SearchStrategy[list[Do]]:
    """What may be done with the calls, in any order."""
    choices = [
        do("acquire", which),
        do("acquire", which),
        do("reserve", which, st.integers(1, 6), horizons, apart),
        do("step", steps),
        do("step_to_promise", which, st.sampled_from([0, 0, -1, 1])),
        do("refund", which),
        do("freeze", which, st.sampled_from([0, 40, 100])),
        do("extend", which),
    ]
    if settles:
        choices.append(do("settle", which, st.sampled_from([0, 0.5, 2, 4, 100])))
    if steps_back:
        choices.append(do("step", steps.map(lambda step: -step)))
    return st.lists(st.one_of(choices), min_size=1, max_size=30)
