"""Requests that were granted their start before they came to the gate."""

from __future__ import annotations

from typing import Any

import pytest
from support.gatehouse import Gatehouse
from support.gatehouses import Build, build, clock, limiter, tests_app

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import TokenBucket
from celery_ratekit.tasks.call_limits import CallLimits

__all__ = ["build", "clock", "limiter", "tests_app"]

pytestmark = pytest.mark.redis

ONE = TokenBucket("one", "1/s", burst=1)


def receive_granted(house: Gatehouse, limiter: Limiter, age_seconds: float) -> Any:
    """A request that took the limit's token when it was sent, a while before it came."""
    decision = limiter.acquire(ONE)
    assert decision.granted
    house.advance(age_seconds)
    request = house.request()
    house.enforced[request.id] = (ONE,)
    house.gate.enter_granted(request, CallLimits((ONE,)), decision, age_seconds)
    house.settle()
    return request


def available(limiter: Limiter) -> float:
    (state,) = limiter.inspect(ONE)
    return state.available


def test_it_starts_on_what_it_was_granted(build: Build, limiter: Limiter) -> None:
    house = build()
    request = receive_granted(house, limiter, 0.05)
    assert house.started_ids == [request.id]
    assert available(limiter) == pytest.approx(0.05)
    assert house.gate.started.shown()["one"][0] == 1


def test_it_is_asked_for_anew_where_it_comes_too_late(build: Build, limiter: Limiter) -> None:
    house = build()
    request = receive_granted(house, limiter, 0.5)
    # What nobody else can have had was given back: only half a token has come since.
    assert house.started_ids == [request.id]
    assert available(limiter) == pytest.approx(0)


def test_a_token_that_others_may_have_had_is_not_given_back(build: Build, limiter: Limiter) -> None:
    house = build()
    request = receive_granted(house, limiter, 1.5)
    assert house.started_ids == [request.id]
    assert available(limiter) == pytest.approx(0)


def test_it_waits_where_others_took_the_token_meanwhile(build: Build, limiter: Limiter) -> None:
    house = build(slots=1)
    first = house.receive_plain()
    request = receive_granted(house, limiter, 0.0)
    house.advance(1.2)
    assert limiter.acquire(ONE).granted
    house.end(first)
    house.settle()
    assert request.id not in house.started_ids
    house.advance(1.0)
    assert request.id in house.started_ids


def test_it_goes_before_who_was_marked_to_wait(build: Build, limiter: Limiter) -> None:
    house = build()
    limiter.mark([ONE], 60)
    request = receive_granted(house, limiter, 0.5)
    assert house.started_ids == [request.id]
