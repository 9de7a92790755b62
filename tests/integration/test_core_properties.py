"""Whatever is asked in whatever order: the core answers as its model does, and keeps its bounds."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.core_settings import core_settings
from support.core_strategies import LIMITS, UNEVEN, Do, asks_of, operations
from support.worlds import Build, build

from celery_ratekit.limits import (
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

__all__ = ["build"]

pytestmark = pytest.mark.redis

Asks = list[tuple[Limit, ...]]
todo = operations()


def check(build: Build, asks: Asks, todo: list[Do]) -> None:
    world = build(asks)
    for operation in todo:
        operation(world)
    world.history.check()
    world.check_expiries()


@core_settings()
@given(asks=asks_of("TokenBucket"), todo=todo)
# The bucket overflowed until a start that was promised; what came back before it made two more.
@example(
    asks=[(TokenBucket("a", "10/m", burst=2), TokenBucket("b", "10/m"))],
    todo=[
        Do("acquire", (0,)),
        Do("reserve", (0, 2, 10)),
        Do("refund", (0,)),
        Do("reserve", (0, 2, 10)),
    ],
)
# Callers that knew two rates drove what was promised ahead of them, further with every call.
@example(
    asks=[(TokenBucket("a", "1000/s"),), (TokenBucket("a", "1/m"),)],
    todo=[Do("reserve", (0, 6, 1)), *[Do("acquire", (1,)), Do("acquire", (0,))] * 3],
)
def test_a_token_bucket(build: Build, asks: Asks, todo: list[Do]) -> None:
    check(build, asks, todo)


@core_settings()
@given(asks=asks_of("FixedWindow"), todo=todo)
# Twenty times a tenth is a little more than two.
@example(asks=[(FixedWindow("a", "2/60s", cost=0.1),)], todo=[Do("acquire", (0,))] * 21)
def test_a_fixed_window(build: Build, asks: Asks, todo: list[Do]) -> None:
    check(build, asks, todo)


@core_settings()
@given(asks=asks_of("SlidingWindow"), todo=todo)
# Half of a call came back, and Redis was asked to remove -0 entries.
@example(asks=[(SlidingWindow("a", "5/60s"),)], todo=[Do("acquire", (0,)), Do("settle", (0, 0.5))])
# The list held the last start only; when that came back, those before it were forgotten.
@example(
    asks=[(SlidingWindow("a", "1/60s"),)],
    todo=[Do("reserve", (0, 4, 200)), Do("refund", (3,)), Do("acquire", (0,))],
)
# A lowered number trimmed the list, and the higher number then found room.
@example(
    asks=[(SlidingWindow("a", "5/60s"),), (SlidingWindow("a", "1/60s"),)],
    todo=[
        *[Do("acquire", (0,))] * 5,
        Do("reserve", (1, 1, 61)),
        Do("refund", (5,)),
        *[Do("acquire", (0,))] * 5,
    ],
)
def test_a_sliding_window(build: Build, asks: Asks, todo: list[Do]) -> None:
    check(build, asks, todo)


@core_settings()
@given(asks=asks_of("ScheduledBucket"), todo=todo)
# One limit needed instants of the past, the other of the future: each run undid the other's.
@example(
    asks=[
        (ScheduledBucket("a", UNEVEN, 0.1, 1), ScheduledBucket("b", UNEVEN, 0.1, 3, cost=3)),
        (ScheduledBucket("b", UNEVEN, 0.1, 3, cost=3),),
    ],
    todo=[
        Do("acquire", (0,)),
        Do("step", (7_200_000_000,)),
        Do("acquire", (1,)),
        Do("acquire", (0,)),
    ],
)
def test_a_scheduled_bucket(build: Build, asks: Asks, todo: list[Do]) -> None:
    check(build, asks, todo)


@core_settings()
@given(asks=asks_of("Concurrency"), todo=todo)
def test_a_concurrency_limit(build: Build, asks: Asks, todo: list[Do]) -> None:
    check(build, asks, todo)


@core_settings()
@given(asks=asks_of("TokenBucket", together=2), todo=todo)
def test_several_token_buckets_together(build: Build, asks: Asks, todo: list[Do]) -> None:
    check(build, asks, todo)


@core_settings(500)
@given(asks=asks_of(*LIMITS), todo=todo)
def test_any_limits_together(build: Build, asks: Asks, todo: list[Do]) -> None:
    check(build, asks, todo)


@core_settings()
@given(asks=asks_of(*LIMITS), todo=operations(steps_back=False), which=st.integers(0, 2))
def test_a_denial_charges_nothing(build: Build, asks: Asks, todo: list[Do], which: int) -> None:
    world = build(asks)
    for operation in todo:
        operation(world)
    if not world.acquire(which):  # The first may have noted a rate or places that ran out.
        before = world.everything()
        assert not world.acquire(which)
        assert world.everything() == before
