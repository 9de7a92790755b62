"""Calls that can be parked yield to those who wait in a backlog; no other call is concerned."""

from __future__ import annotations

import time

import pytest
from support.clocked import clock, limiter

from celery_ratekit.limiter import Ask, Limiter, Reservations
from celery_ratekit.limits import Concurrency, FixedWindow, Limit, TokenBucket

__all__ = ["clock", "limiter"]

pytestmark = pytest.mark.redis

SHARED = TokenBucket("shared", "100/s", burst=5)
USER = TokenBucket("user", "100/s", burst=5, key="a")
PLACE = Concurrency("place", 3)
LONG_SECONDS = 60.0


def answer_to(
    limiter: Limiter, *limits: Limit, yields: bool = True, count: int = 1
) -> Reservations:
    (answer,) = limiter.reserve_many([Ask(limits, count, yields=yields)])
    assert isinstance(answer, Reservations)
    return answer


@pytest.mark.parametrize("limits", [[SHARED], [USER], [SHARED, USER], [PLACE], [USER, PLACE]])
def test_without_a_mark_nothing_is_different(limiter: Limiter, limits: list[Limit]) -> None:
    other = [limit.with_name(f"other {limit.name}") for limit in limits]

    yielding = answer_to(limiter, *limits, count=3)
    plain = answer_to(limiter, *other, count=3, yields=False)

    assert list(yielding) == list(plain) == [0.0, 0.0, 0.0]
    assert (
        answer_to(limiter, *limits, count=9).granted
        == answer_to(limiter, *other, count=9, yields=False).granted
    )


@pytest.mark.parametrize("limits", [[SHARED], [USER], [SHARED, USER], [PLACE], [USER, PLACE]])
def test_a_mark_on_any_limit_stops_who_yields_and_charges_nothing(
    limiter: Limiter, limits: list[Limit]
) -> None:
    limiter.mark(limits[-1:], LONG_SECONDS)
    before = limiter.inspect(limits)

    denied = answer_to(limiter, *limits)

    assert (denied.granted, denied.reason, denied.wait_seconds) == (0, "queued", 0.0)
    assert denied.blocked_by == limits[-1]
    assert limiter.inspect(limits) == before
    assert answer_to(limiter, *limits, yields=False).granted == 1


def test_a_mark_is_for_one_key_and_one_kind_alone(limiter: Limiter) -> None:
    limiter.mark([USER], LONG_SECONDS)

    assert answer_to(limiter, USER.with_key("b")).granted == 1
    assert answer_to(limiter, SHARED).granted == 1
    assert answer_to(limiter, USER).reason == "queued"


def test_a_mark_dies_by_itself(limiter: Limiter) -> None:
    limiter.mark([SHARED], 0.001)
    deadline = time.monotonic() + 10

    while not answer_to(limiter, SHARED):
        assert time.monotonic() < deadline


def test_several_limits_are_marked_at_once(limiter: Limiter) -> None:
    window = FixedWindow("window", "5/s")
    limiter.mark([SHARED, window, SHARED], LONG_SECONDS)

    assert answer_to(limiter, SHARED).reason == answer_to(limiter, window).reason == "queued"
