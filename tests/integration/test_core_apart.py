"""A start that one limit puts off keeps others waiting on a shared one no longer than `apart`."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clocked import clock, limiter
from support.core_settings import core_settings
from support.core_strategies import LIMITS, Do, aparts, asks_of, horizons, operations
from support.world import Clock
from support.worlds import Build, build

from celery_ratekit.errors import ReservationError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, FixedWindow, Limit, TokenBucket

__all__ = ["build", "clock", "limiter"]

pytestmark = pytest.mark.redis

USER = TokenBucket("user", "1/s", burst=1)
SHARED = TokenBucket("shared", "100/s", burst=1)


def call_of(user: str) -> list[Limit]:
    return [USER.with_key(user), SHARED]


def test_without_it_one_users_promise_keeps_all_other_users_waiting(limiter: Limiter) -> None:
    assert list(limiter.reserve(call_of("a"), horizon=1)) == [0.0]
    assert list(limiter.reserve(call_of("a"), horizon=1)) == [1.0]

    assert limiter.reserve(call_of("b"), horizon=1).wait_seconds == 0.01  # its start: 1.01 s ahead


@pytest.mark.parametrize("apart", [0, 0.05, 0.3])
def test_with_it_no_other_user_waits_longer_than_that(
    limiter: Limiter, clock: Clock, apart: float
) -> None:
    assert list(limiter.reserve(call_of("a"), horizon=1, apart=apart)) == [0.0]
    denied = limiter.reserve(call_of("a"), horizon=1, apart=apart)
    assert (denied.granted, denied.reason, denied.blocked_by) == (0, "rate", call_of("a")[0])
    assert denied.wait_seconds == 1 - apart

    for user in "bcdefgh":  # While nothing is promised to the first user, each has its own 10 ms.
        clock.step(10_000)
        assert list(limiter.reserve(call_of(user), horizon=1, apart=apart)) == [0.0]

    clock.step(round(denied.wait_seconds * 1e6) - 70_000)
    assert list(limiter.reserve(call_of("a"), horizon=1, apart=apart)) == [apart]
    # The next start of the shared limit would be 10 ms from now, had the first user started now.
    clock.step(10_000)
    assert list(limiter.reserve(call_of("z"), horizon=1, apart=apart)) == [apart]


@core_settings()
@given(
    asks=asks_of(*LIMITS, together=2),
    todo=operations(),
    question=st.tuples(st.integers(0, 2), horizons, aparts),
)
def test_no_limit_would_have_let_a_promised_call_start_much_earlier(
    build: Build,
    asks: list[tuple[Limit, ...]],
    todo: list[Do],
    question: tuple[int, float, float],
) -> None:
    world = build(asks)
    for operation in todo:
        operation(world)
    which, horizon, apart = question
    alone = [state.wait_seconds for state in world.limiter.inspect(world.asks[which % len(asks)])]
    reserved = world.reserve(which, 1, horizon, apart)
    if reserved:
        # Both are rounded up to the next microsecond.
        assert reserved[0] - min(alone, default=0) <= apart + 0.000_001_5


def test_limits_that_agree_are_promised_as_far_ahead_as_the_horizon(limiter: Limiter) -> None:
    limits = [USER, TokenBucket("other", "10/s", burst=1)]
    limiter.acquire(limits[0])
    limiter.acquire(limits[1].with_cost(1))
    # One is ready in 1 s, the other in 0.1 s.
    assert list(limiter.reserve(limits, horizon=2, apart=0.9)) == [1.0]


def test_a_limit_that_will_be_ready_meanwhile_counts_as_ready(
    limiter: Limiter, clock: Clock
) -> None:
    limits = [USER, TokenBucket("other", "10/s", burst=1)]
    limiter.acquire(limits)
    # They lie 0.9 s apart now, and 0.1 s only when the later one is 0.1 s away.
    denied = limiter.reserve(limits, horizon=2, apart=0.1)
    assert denied.wait_seconds == 0.9
    clock.step(899_999)
    assert limiter.reserve(limits, horizon=2, apart=0.1).wait_seconds == 0.000001
    clock.step(1)
    assert list(limiter.reserve(limits, horizon=2, apart=0.1)) == [0.1]


def test_a_place_is_not_held_for_a_start_that_lies_farther_ahead(limiter: Limiter) -> None:
    limits = [USER, Concurrency("places", 1)]
    limiter.acquire(USER)
    assert limiter.reserve(limits, horizon=2, apart=0.25).wait_seconds == 0.75
    assert list(limiter.reserve(limits, horizon=2, apart=1)) == [1.0]


def test_the_later_of_a_place_and_the_agreement_is_worth_waiting_for(limiter: Limiter) -> None:
    limits = [USER, Concurrency("places", 1, lease_seconds=0.5)]
    limiter.acquire(limits)
    denied = limiter.reserve(limits, horizon=2, apart=0.25)
    assert (denied.reason, denied.wait_seconds) == ("rate", 0.75)
    denied = limiter.reserve(limits, horizon=2, apart=0.75)
    assert (denied.reason, denied.wait_seconds) == ("busy", 0.5)


def test_a_shorter_horizon_says_what_it_always_said(limiter: Limiter) -> None:
    limiter.acquire(call_of("a"))
    for apart in (0.2, 5, math.inf):
        assert limiter.reserve(call_of("a"), horizon=0.2, apart=apart).wait_seconds == 0.8
    assert limiter.reserve(call_of("a"), horizon=0.2, apart=0.1).wait_seconds == 0.9


def test_of_several_calls_those_before_the_first_disagreement_are_promised(
    limiter: Limiter,
) -> None:
    limits = [TokenBucket("user", "1/s", burst=3), FixedWindow("shared", "1000/m")]
    starts = limiter.reserve(limits, 10, horizon=5, apart=0.5)
    assert list(starts) == [0.0, 0.0, 0.0]
    assert (starts.reason, starts.wait_seconds) == ("rate", 0.5)


@pytest.mark.parametrize("apart", [0, 0.1, math.inf])
def test_a_single_limit_always_agrees_with_itself(limiter: Limiter, apart: float) -> None:
    for limit in (SHARED.with_key("k"), FixedWindow("window", "1/s")):
        limiter.acquire(limit)
        assert limiter.reserve(limit, horizon=2, apart=apart).granted


def test_a_start_that_is_kept_for_an_owner_obeys_it_too(limiter: Limiter, clock: Clock) -> None:
    limiter.acquire(call_of("a"))
    denied = limiter.reserve(call_of("a"), horizon=1, apart=0.1, owner="me")
    assert (denied.granted, denied.id, denied.wait_seconds) == (0, "", 0.9)
    clock.step(900_000)
    reserved = limiter.reserve(call_of("a"), horizon=1, apart=0.1, owner="me")
    clock.step(100_000)
    assert limiter.redeem(reserved.id, "me", call_of("a"), early=0).used


@pytest.mark.parametrize("apart", [-1, -0.001, math.nan])
def test_less_than_nothing_is_refused(limiter: Limiter, apart: float) -> None:
    with pytest.raises(ReservationError, match="0 or more seconds apart"):
        limiter.reserve(USER, apart=apart)
