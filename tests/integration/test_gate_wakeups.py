"""Whatever comes and ends in whatever order: nobody who waits in the gate is forgotten.

Time goes from one alarm to the next, so that a moment for which no alarm was set is never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import pytest
from celery import Celery
from celery.worker.request import Request
from hypothesis import example, given
from hypothesis import strategies as st
from support.core_settings import core_settings
from support.gatehouse import Gatehouse, clean_state
from support.gatehouses import tests_app
from support.world import Clock

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, FixedWindow, Limit, SlidingWindow, TokenBucket

__all__ = ["tests_app"]

pytestmark = pytest.mark.redis

SHARED = TokenBucket("shared", "20/s", burst=3)
CALLS: list[tuple[Limit, ...]] = [
    (TokenBucket("ten", "10/s", burst=1),),
    (SHARED,),
    (SHARED, TokenBucket("user", "3/s", burst=2, key="a")),
    (SHARED, TokenBucket("user", "3/s", burst=2, key="b")),
    (SHARED.with_cost(2), Concurrency("lines", 2)),
    (Concurrency("lines", 2),),
    (FixedWindow("window", "4/2s"),),
    (SlidingWindow("sliding", "4/2s"), Concurrency("lines", 2)),
    (TokenBucket("plenty", "1000/s", burst=50),),
]
SECONDS_EACH = 2.5
"""More than any call, alone, waits for its limits to let one more start."""


@dataclass(frozen=True)
class Do:
    """One thing that happens; printed as it can be repeated."""

    name: str
    number: float = 0

    def __call__(self, house: Gatehouse) -> None:
        OPERATIONS[self.name](house, self.number)


def receive(house: Gatehouse, which: float) -> None:
    house.receive(*CALLS[int(which) % len(CALLS)])


def receive_counted(house: Gatehouse, which: float) -> None:
    house.receive(shadow=CALLS[int(which) % len(CALLS)])


def receive_plain(house: Gatehouse, _: float) -> None:
    house.receive_plain()


def end(house: Gatehouse, which: float) -> None:
    if jobs := house.pool.jobs:
        jobs[int(which) % len(jobs)].succeed()


def withdraw(house: Gatehouse, which: float) -> None:
    if waiting := held(house):
        house.revoke(waiting[int(which) % len(waiting)])


def held(house: Gatehouse) -> list[Request]:
    return [one.request for one in house.gate.room]


def settle(house: Gatehouse, _: float) -> None:
    house.settle()


def advance(house: Gatehouse, seconds: float) -> None:
    house.advance(seconds)


def block(house: Gatehouse, seconds: float) -> None:
    house.block(seconds)


def lose_connection(house: Gatehouse, _: float) -> None:
    house.lose_connection()
    house.gate.open()


OPERATIONS: dict[str, Callable[[Gatehouse, float], None]] = {
    function.__name__: function
    for function in (
        receive,
        receive_counted,
        receive_plain,
        end,
        withdraw,
        settle,
        advance,
        block,
        lose_connection,
    )
}
which = st.integers(0, 20)
seconds = st.sampled_from([0, 0.0005, 0.01, 0.05, 0.1, 0.3, 1, 5])
operation = st.one_of(
    st.builds(Do, st.just("receive"), which),
    st.builds(Do, st.just("receive"), which),
    st.builds(Do, st.sampled_from(["receive_counted", "end", "end", "withdraw"]), which),
    st.builds(Do, st.sampled_from(["receive_plain", "settle"])),
    st.builds(Do, st.sampled_from(["advance", "advance", "block"]), seconds),
)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def limiter(redis_server: EmbeddedRedis, clock: Clock) -> Iterator[Limiter]:
    limiter = Limiter(redis_server.url, clock=clock, timeout_seconds=20, on_failure="wait")
    yield limiter
    limiter.close()


@pytest.fixture(scope="module", params=["semaphore", "own"])
def build(
    request: pytest.FixtureRequest,
    redis_server: EmbeddedRedis,
    tests_app: Celery,
    clock: Clock,
    limiter: Limiter,
) -> Callable[[int], Gatehouse]:
    def build(slots: int) -> Gatehouse:
        with redis_server.client() as client:
            client.flushdb()
        clock.reset()
        with_semaphore = request.param == "semaphore"
        return Gatehouse(tests_app, limiter, clock, slots, with_semaphore=with_semaphore)

    return build


def run(house: Gatehouse, todo: list[Do]) -> None:
    """All that happens, and then enough time for all to start and end."""
    for one in todo:
        one(house)
    house.settle()
    house.run_seconds = 0.01
    house.advance(SECONDS_EACH * (len(todo) + 1))
    house.asking.close()


@core_settings(150)
@given(slots=st.integers(1, 5), todo=st.lists(operation, max_size=60))
def test_all_start_in_time_once_and_leave_all_slots_idle(
    build: Callable[[int], Gatehouse], slots: int, todo: list[Do]
) -> None:
    with clean_state():
        house = build(slots)
        run(house, todo)

        assert house.held_count == 0
        started = house.started_ids
        assert len(set(started)) == len(started)
        withdrawn = {request.id for request in house.revoked}
        assert set(started) | withdrawn == {request.id for request in house.received}
        assert not set(started) & withdrawn
        assert house.pool.most <= slots
        assert house.gate.idle_slots == slots
        assert house.controller.semaphore.value == slots
        assert house.gate.room.is_empty


@core_settings(150)
@given(
    slots=st.integers(1, 5),
    todo=st.lists(st.one_of(operation, st.just(Do("lose_connection"))), max_size=60),
)
def test_a_lost_connection_leaves_no_slot_taken_and_no_place(
    build: Callable[[int], Gatehouse], limiter: Limiter, slots: int, todo: list[Do]
) -> None:
    with clean_state():
        house = build(slots)
        run(house, todo)

        assert house.held_count == 0
        assert house.gate.idle_slots == slots
        assert len(set(house.started_ids)) == len(house.started_ids)
        for limits in CALLS:
            for limit, state in zip(limits, limiter.inspect(limits), strict=True):
                if isinstance(limit, Concurrency):
                    assert state.available == limit.size


@core_settings(150)
@given(slots=st.integers(1, 5), todo=st.lists(operation, max_size=60))
def test_no_task_starts_before_its_grant_or_too_late_after_it(
    build: Callable[[int], Gatehouse], slots: int, todo: list[Do]
) -> None:
    with clean_state():
        house = build(slots)
        run(house, todo)

        granted = [one for one in house.started if one.grant is not None and one.grant.start_us]
        assert all(0 <= one.late_us <= 100_000 for one in granted)


@core_settings(150)
@given(slots=st.integers(1, 5), todo=st.lists(operation, max_size=60))
# A start that was found late gave its token back to a bucket that had been full since.
@example(
    slots=3,
    todo=[
        *[Do("receive", 0)] * 5,
        Do("settle"),
        Do("receive_plain"),
        Do("withdraw", 0),
        Do("advance", 0.3),
    ],
)
def test_what_starts_never_exceeds_a_token_bucket(
    build: Callable[[int], Gatehouse], slots: int, todo: list[Do]
) -> None:
    with clean_state():
        house = build(slots)
        run(house, todo)

        for limits in CALLS:
            for limit in limits:
                if isinstance(limit, TokenBucket):
                    check_bucket(house, limit)


def check_bucket(house: Gatehouse, limit: TokenBucket) -> None:
    """At most burst + rate x W in any W, of what was granted to those that started."""
    charged = []
    for one in house.started:
        for own in house.enforced[one.id]:
            if (own.name, own.key) == (limit.name, limit.key) and one.grant is not None:
                assert not callable(own.cost)
                charged.append((one.grant.start_us, own.cost))
    charged.sort()
    for first, last in combinations(range(len(charged)), 2):
        taken = sum(cost for _, cost in charged[first : last + 1])
        elapsed_us = charged[last][0] - charged[first][0] + 1
        assert taken <= limit.burst + elapsed_us / limit.rate.microseconds_per_token
