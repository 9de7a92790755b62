"""What a fleet has learned, in Redis: the same law as in Python, told to all, and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st
from support.adaptive import (
    LawRates,
    Service,
    between,
    is_near,
    most_above,
    refused,
    share_of_time,
    simulate,
)
from support.clocked import HOUR, clock, limiter, redis_server_client
from support.core_settings import core_settings
from support.world import Clock

from celery_ratekit import FixedWindow, Limiter, TokenBucket
from celery_ratekit.adaptive.law import Bounds, Learned, is_settled, rate_of, succeeded, throttled
from celery_ratekit.adaptive.learning import Answer
from celery_ratekit.adaptive.state import SharedRates
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import StateVersionError

__all__ = ["clock", "limiter", "redis_server_client"]

pytestmark = pytest.mark.redis

SECOND = 1_000_000
NAME = "partner"
BOUNDS = Bounds(100.0, 1.0, 100.0)


@dataclass(frozen=True)
class Met:
    """After so long, so many successes, or (None) a 429 to a call granted so long ago (us)."""

    after_us: int
    count: int | None = None
    ago_us: int = 0
    freeze_seconds: float = 1.0


BOUNDS_OF_ALL_SIZES = st.builds(
    lambda most, least, start: Bounds(
        most * least + (most - most * least) * start, most * least, most
    ),
    st.floats(1e-4, 1e5),
    st.floats(0.001, 1),
    st.sampled_from([0.0, 0.3, 1.0]),
)
MEETINGS = st.lists(
    st.builds(
        Met,
        st.one_of(st.integers(-10 * SECOND, 10 * SECOND), st.integers(0, 2 * HOUR)),
        st.one_of(st.none(), st.integers(1, 5_000)),
        st.integers(-5 * SECOND, 10 * SECOND),
        st.floats(0, 100),
    ),
    max_size=25,
)


def model_of(learned: Learned | None, bounds: Bounds, met: Met, now_us: int) -> Learned:
    if met.count is not None:
        return succeeded(learned, bounds, now_us=now_us, count=met.count)
    return throttled(
        learned,
        bounds,
        now_us=now_us,
        granted_us=now_us - met.ago_us,
        freeze_seconds=met.freeze_seconds,
    )


@pytest.fixture(scope="module")
def shared_clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def shared(redis_server: EmbeddedRedis, shared_clock: Clock) -> SharedRates:
    return SharedRates(Limiter(redis_server.url, clock=shared_clock, timeout_seconds=20))


@core_settings(150)
@given(bounds=BOUNDS_OF_ALL_SIZES, meetings=MEETINGS)
@example(bounds=BOUNDS, meetings=[Met(0), *[Met(3 * SECOND, 300)] * 20, Met(0)])
def test_the_script_is_the_law(
    redis_server: EmbeddedRedis,
    shared: SharedRates,
    shared_clock: Clock,
    bounds: Bounds,
    meetings: list[Met],
) -> None:
    with redis_server.client() as client:
        client.flushall()
    shared_clock.reset()
    learned: Learned | None = None
    for met in meetings:
        shared_clock.step(met.after_us)
        learned = model_of(learned, bounds, met, shared_clock())
        expected = Answer(rate_of(learned, bounds), learned.lowered_at_us)
        if met.count is not None:
            answer = shared.succeeded(NAME, bounds, met.count)
        else:
            granted_us = shared_clock() - met.ago_us
            answer = shared.throttled(NAME, bounds, granted_us, met.freeze_seconds)
        assert answer == expected
        if is_settled(learned, bounds):
            learned = None


# -- what others see of it --------------------------------------------------------------------


@pytest.fixture
def rates(limiter: Limiter) -> SharedRates:
    return SharedRates(limiter)


@pytest.fixture
def other(redis_url: str, clock: Clock, limiter: Limiter) -> Iterator[Limiter]:
    """Another process."""
    with closing(Limiter(redis_url, clock=clock, timeout_seconds=20)) as other:
        yield other


def refuse(rates: SharedRates, clock: Clock, bounds: Bounds = BOUNDS) -> Answer:
    return rates.throttled(NAME, bounds, clock(), 1.0)


def rate_in_force(limiter: Limiter, name: str = NAME) -> float:
    """What another process lets start per second."""
    view = limiter.override_book.refresh()
    limit = view.effective(TokenBucket(name, "100/s"))
    assert isinstance(limit, TokenBucket)
    return limit.rate.per_second


def test_a_refusal_lowers_the_rate_of_every_process(
    rates: SharedRates, clock: Clock, other: Limiter
) -> None:
    assert rate_in_force(other) == 100.0

    assert refuse(rates, clock) == Answer(95.0, clock())

    assert rate_in_force(other) == pytest.approx(95.0)
    assert SharedRates(other).seen(NAME) == 95.0


def test_ten_processes_that_meet_one_overload_lower_it_once(
    rates: SharedRates, clock: Clock, other: Limiter
) -> None:
    granted_us = clock()
    for process in [rates, SharedRates(other)] * 5:
        clock.step(SECOND // 10)
        process.throttled(NAME, BOUNDS, granted_us, 1.0)

    assert rate_in_force(other) == pytest.approx(95.0)


def test_other_names_and_other_kinds_keep_their_rates(
    rates: SharedRates, clock: Clock, other: Limiter
) -> None:
    refuse(rates, clock)

    window = FixedWindow(NAME, "100/s")
    assert rate_in_force(other, "somebody else") == 100.0
    assert other.override_book.refresh().effective(window) == window


def test_successes_raise_it_for_every_process_until_nothing_is_left_to_know(
    rates: SharedRates,
    limiter: Limiter,
    clock: Clock,
    other: Limiter,
    redis_server_client: redis.Redis,
) -> None:
    refuse(rates, clock)
    told = [rate_in_force(other)]

    for _ in range(60):
        clock.step(SECOND)
        limiter.override_book.refresh()
        rates.succeeded(NAME, BOUNDS, 100)
        told.append(rate_in_force(other))

    assert told == sorted(told)
    assert 4 <= len(set(told)) <= 8  # In steps of 1 %, not with each report.
    assert told[-1] == 100.0
    assert rates.seen(NAME) is None
    assert not redis_server_client.exists("ratekit:a{partner}")


def test_below_another_ceiling_it_is_told_that_the_ceiling_is_reached(
    rates: SharedRates, clock: Clock, other: Limiter
) -> None:
    bounds = Bounds(100.0, 1.0, 100.5)  # Less than 1 % above the start.

    for _ in range(60):
        clock.step(SECOND)
        rates.succeeded(NAME, bounds, 100)

    assert SharedRates(other).seen(NAME) == 100.5


def test_a_word_that_was_lost_is_said_again(
    rates: SharedRates, clock: Clock, other: Limiter, redis_server_client: redis.Redis
) -> None:
    refuse(rates, clock)
    redis_server_client.delete("ratekit:o{:overrides}")
    other.override_book.refresh()

    clock.step(3 * SECOND)
    SharedRates(other).succeeded(NAME, BOUNDS, 1)

    assert rate_in_force(other) == pytest.approx(95.0)


def test_what_nobody_adds_to_is_forgotten_after_a_day_or_a_hundred_starts(
    rates: SharedRates, clock: Clock, redis_server_client: redis.Redis
) -> None:
    slow = Bounds(1e-3, 1e-4, 1e-3)
    refuse(rates, clock)
    rates.throttled("slow", slow, clock(), 1.0)

    assert redis_server_client.ttl("ratekit:a{partner}") == pytest.approx(86_400, abs=60)
    assert redis_server_client.ttl("ratekit:a{slow}") == pytest.approx(100 / 0.95e-3, rel=0.01)


def test_the_word_lasts_as_long_as_the_memory(
    rates: SharedRates, clock: Clock, other: Limiter
) -> None:
    floor = Bounds(100.0, 95.0, 100.0)
    refuse(rates, clock, floor)

    for _ in range(30):  # At the floor the rate stays the same, refused as it is.
        clock.step(HOUR)
        refuse(rates, clock, floor)
        assert rate_in_force(other) == pytest.approx(95.0)


def test_a_strange_name_is_counted_under_a_key_of_its_own(
    rates: SharedRates, clock: Clock, redis_server_client: redis.Redis
) -> None:
    rates.throttled("x}:{partner}" + 50 * "\N{SNOWMAN}", BOUNDS, clock(), 1.0)

    keys: list[Any] = redis_server_client.keys("ratekit:a*")
    (key,) = keys
    assert len(key) < 100
    assert key.count(b"{") == key.count(b"}") == 1


def test_the_state_of_a_newer_release_is_refused_and_kept(
    rates: SharedRates, clock: Clock, redis_server_client: redis.Redis
) -> None:
    redis_server_client.set("ratekit:a{partner}", b"\x02 of another form")

    with pytest.raises(StateVersionError, match="an adaptive rate has version 2, known is 1"):
        refuse(rates, clock)

    assert redis_server_client.get("ratekit:a{partner}") == b"\x02 of another form"


def test_a_process_whose_clock_stands_apart_changes_nothing(redis_url: str) -> None:
    # By the server's clock, as in any process: a call that is granted now, and one long ago.
    with closing(Limiter(redis_url, timeout_seconds=20)) as limiter:
        rates = SharedRates(limiter)
        first = rates.throttled(NAME, BOUNDS, None, 1.0)
        again = rates.throttled(NAME, BOUNDS, int(first.lowered_at_us) - HOUR, 1.0)

    assert first == again
    assert first.per_second == 95.0


# -- in virtual time ------------------------------------------------------------------------


class RedisRates(LawRates):
    """The simulation's rates, kept in Redis by its clock."""

    def __init__(self, rates: SharedRates, clock: Clock) -> None:
        super().__init__()
        self._rates = rates
        self._clock = clock
        self._rate: float | None = None

    def rate(self, bounds: Bounds) -> float:
        return bounds.start_per_second if self._rate is None else self._rate

    def succeeded(self, name: str, bounds: Bounds, count: int) -> Answer:
        self._clock.now = int(self._now_us)
        return self._kept(self._rates.succeeded(name, bounds, count))

    def throttled(self, name: str, bounds: Bounds, granted_us: int | None, freeze: float) -> Answer:
        self._clock.now = int(self._now_us)
        return self._kept(self._rates.throttled(name, bounds, granted_us, freeze))

    def _kept(self, answer: Answer) -> Answer:
        self._rate = answer.per_second
        return answer


def test_a_fleet_settles_on_a_capacity_that_changes_also_by_what_redis_keeps(
    rates: SharedRates, clock: Clock
) -> None:
    service = Service(lambda now: 50 if now < 120 else 20)

    moments = simulate(service, Bounds(100.0, 1.0, 100.0), 240, rates=RedisRates(rates, clock))

    for begin, end in [(60, 120), (180, 240)]:
        settled = between(moments, begin, end)
        assert share_of_time(settled, is_near) >= 0.95
        assert most_above(settled) <= 1.05
        assert refused(settled) <= 0.01
