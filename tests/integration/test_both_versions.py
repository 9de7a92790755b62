"""Every kind does the same on the oldest supported Redis and on the one that is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery.schedules import crontab

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

pytestmark = pytest.mark.redis

HOURLY = crontab(minute=0)
KINDS: dict[str, Limit] = {
    "token bucket": TokenBucket("stripe", "60/h", burst=5),
    "fixed window": FixedWindow("stripe", "5/h"),
    "sliding window": SlidingWindow("stripe", "5/h"),
    "scheduled bucket": ScheduledBucket("stripe", HOURLY, 5),
    "concurrency": Concurrency("stripe", 5, lease_seconds=3_600),
}
# Until the next call may start, where all five were taken at the first second of an hour.
WAITS = {
    "token bucket": 60.0,
    "fixed window": 3_600.0,
    "sliding window": 3_600.0,
    "scheduled bucket": 3_599.0,
    "concurrency": 3_600.0,
}
HOUR_US = 1_699_999_200_000_000  # an hour that begins in every time zone of whole hours
SERVERS = ["redis_server", "redis62_server"]


class Clock:
    def __init__(self) -> None:
        self.now = HOUR_US + 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> EmbeddedRedis:
    one: EmbeddedRedis = request.getfixturevalue(request.param)
    with one.client() as client:
        client.flushall()
        client.script_flush()
    return one


@pytest.fixture
def limiter(server: EmbeddedRedis, clock: Clock) -> Iterator[Limiter]:
    one = Limiter(server.url, clock=clock)
    yield one
    one.close()


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def limit(name: str) -> Limit:
    return KINDS[name].with_key("user")


def test_it_grants_up_to_its_capacity_and_then_says_when_to_ask(
    name: str, limit: Limit, limiter: Limiter, clock: Clock
) -> None:
    answers = [limiter.acquire(limit) for _ in range(6)]

    assert [one.granted for one in answers] == [True] * 5 + [False]
    assert answers[5].wait_seconds == pytest.approx(WAITS[name])
    clock.now += round(answers[5].wait_seconds * 1e6) - 1
    assert not limiter.acquire(limit)
    clock.now += 1
    assert limiter.acquire(limit)


def test_the_servers_own_clock_does_as_well(limit: Limit, server: EmbeddedRedis) -> None:
    limiter = Limiter(server.url, namespace="own-clock")

    assert sum(limiter.acquire(limit).granted for _ in range(9)) == 5
    limiter.close()


def test_what_is_refunded_can_be_taken_again(limit: Limit, limiter: Limiter) -> None:
    decisions = [limiter.acquire(limit) for _ in range(5)]

    limiter.refund(decisions[2])

    assert limiter.inspect(limit)[0].available == pytest.approx(1)
    assert [limiter.acquire(limit).granted for _ in range(2)] == [True, False]


def test_many_calls_are_reserved_at_once(limit: Limit, limiter: Limiter) -> None:
    reserved = limiter.reserve(limit, 100, horizon=0)

    assert list(reserved) == [0.0] * 5
    assert reserved.blocked_by == limit
    limiter.reset(limit)
    assert limiter.inspect(limit)[0].available == 5


def test_a_freeze_of_the_key_or_of_the_name_stops_it(
    limit: Limit, limiter: Limiter, clock: Clock
) -> None:
    for frozen in (limit, limit.with_key("")):
        limiter.freeze(frozen, 10)
        decision = limiter.acquire(limit)
        assert (decision.reason, decision.wait_seconds) == ("frozen", 10)
        clock.now += 10_000_000
        assert limiter.acquire(limit).granted


def test_all_kinds_in_one_call_are_taken_together_or_not_at_all(limiter: Limiter) -> None:
    limits = list(KINDS.values())
    taken = limiter.acquire(limits)
    assert taken.granted
    assert len(limiter.reserve(limits[2], 4)) == 4

    denied = limiter.acquire(limits)

    assert denied.blocked_by == limits[2]
    assert [round(state.available) for state in limiter.inspect(limits)] == [4, 4, 0, 4, 4]
    limiter.refund(taken)
    assert [round(state.available) for state in limiter.inspect(limits)] == [5, 5, 1, 5, 5]


def test_a_settled_cost_is_charged(limiter: Limiter) -> None:
    for limit in list(KINDS.values())[:4]:
        decision = limiter.acquire(limit)
        limiter.settle(decision, 3)
        assert limiter.inspect(limit)[0].available == pytest.approx(2)


def test_a_place_is_extended_and_given_back(limiter: Limiter, clock: Clock) -> None:
    limit = Concurrency("database", 1, lease_seconds=10)
    decision = limiter.acquire(limit)
    clock.now += 9_000_000
    assert limiter.extend(decision)
    clock.now += 9_000_000
    assert not limiter.acquire(limit)

    limiter.release(decision)

    assert limiter.acquire(limit)
    assert not limiter.extend(decision)


def test_a_reservation_is_used_once_at_its_start(limiter: Limiter, clock: Clock) -> None:
    limit = TokenBucket("stripe", "1/s")
    limiter.acquire(limit)
    reserved = limiter.reserve(limit, horizon=5, owner="task")
    assert list(reserved) == [1.0]

    assert limiter.redeem(reserved.id, "task", limit, early=0).early_seconds == 1
    clock.now += 1_000_000
    assert limiter.redeem(reserved.id, "task", limit, early=0).used
    assert not limiter.redeem(reserved.id, "task", limit, early=0).used


def test_every_key_expires(limiter: Limiter, server: EmbeddedRedis) -> None:
    limits = [limit.with_key("user") for limit in KINDS.values()]
    limiter.acquire(limits)
    limiter.reserve(limits[0], 9, horizon=600)
    limiter.reserve(limits[0], horizon=6_000, owner="task")
    limiter.freeze(limits[1], 9)
    sharing = Limiter(server.url, on_failure="share")
    sharing.acquire(limits[0])

    with server.client() as client:
        left = {key: client.pttl(key) for key in client.scan_iter()}
    sharing.close()

    assert len(left) == 8
    assert all(milliseconds > 0 for milliseconds in left.values())
