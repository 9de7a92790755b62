"""A gate that closes lets go of all that waits, as Celery does, and gives back what it holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from celery.worker import state
from support.gatehouse import Gatehouse
from support.gatehouses import Build, build, clock, limiter, tests_app

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, FixedWindow, Limit, TokenBucket

__all__ = ["build", "clock", "limiter", "tests_app"]

pytestmark = pytest.mark.redis

DAILY = TokenBucket("daily", "1/d", burst=8)
LINES = Concurrency("lines", 8)
TEN = TokenBucket("ten", "10/s", burst=1)


def free(limiter: Limiter, limit: Limit) -> int:
    """How many whole tokens, or places, there are."""
    return int(limiter.inspect(limit)[0].available)


def test_it_forgets_who_waits_and_starts_none_of_them(build: Build) -> None:
    house = build(slots=2)
    sent = [house.receive(TEN) for _ in range(6)]
    house.settle()
    arrived = house.receive(TEN)  # not yet taken in

    house.lose_connection()
    house.advance(30)

    assert house.started_ids == [sent[0].id]
    assert house.held_count == 0
    assert house.alarm.moment is None
    for request in [*sent[1:], arrived]:
        assert request.id not in state.requests
        assert not request.acknowledged


def test_starts_ahead_are_given_back(build: Build, limiter: Limiter) -> None:
    house = build(slots=8)
    window = FixedWindow("window", "2/s")
    for _ in range(4):
        house.receive(window)
    house.settle()
    assert house.gate.room.granted_count == 2  # in the next window

    house.lose_connection()
    house.advance(1)

    assert free(limiter, window) == 2


def test_a_due_task_that_queues_for_a_slot_is_given_back_too(
    build: Build, limiter: Limiter
) -> None:
    house = build(slots=4)
    window = FixedWindow("window", "2/s")
    for _ in range(4):
        house.receive(window)
    house.settle()
    for _ in range(5):
        house.receive_plain()
    house.advance(1.05)  # their moment has come, and they queue for slots that others took
    assert len(house.started) == 4
    assert free(limiter, window) == 0

    house.lose_connection()

    assert free(limiter, window) == 2


def test_a_start_from_stock_that_queues_for_a_slot_is_given_back_too(
    build: Build, limiter: Limiter
) -> None:
    house = build(slots=4)
    house.run_seconds = 0.001
    window = FixedWindow("window", "60000/m")
    for _ in range(200):
        house.receive(window)
        house.advance(0.001)
    house.run_seconds = None
    house.end_all()
    for _ in range(5):
        house.receive_plain()
    last = house.receive(window)
    assert last in state.reserved_requests  # not put aside: it has a start

    house.lose_connection()

    started = [one for one in house.started if one.grant is not None]
    assert free(limiter, window) == 60_000 - len(started)


def test_places_of_tasks_that_run_on_come_back_when_these_end(
    build: Build, limiter: Limiter
) -> None:
    house = build(slots=4)
    for _ in range(3):
        house.receive(LINES)
    house.settle()
    assert free(limiter, LINES) == 5

    house.lose_connection()
    assert free(limiter, LINES) == 5
    for job in list(house.pool.jobs):
        job.succeed()
    house.settle()

    assert free(limiter, LINES) == 8


def test_places_come_back_when_the_worker_ends_before_its_tasks(
    build: Build, limiter: Limiter
) -> None:
    house = build(slots=4)
    for _ in range(3):
        house.receive(LINES)
    house.settle()

    house.lose_connection()
    house.gate.abandon()

    assert free(limiter, LINES) == 8


def test_a_gate_that_was_opened_again_takes_in_what_is_delivered_again(build: Build) -> None:
    house = build(slots=2)
    house.run_seconds = 0.01
    first = [house.receive(TEN).id for _ in range(4)]
    house.advance(0.15)
    house.lose_connection()
    house.advance(1)

    house.gate.open()
    again = [house.receive(TEN).id for _ in range(4)]
    house.advance(1)

    assert house.started_ids == [*first[:2], *again]
    assert house.gate.idle_slots == 2


def test_what_the_loop_forgot_with_its_connection_is_no_obstacle_after(build: Build) -> None:
    house = build(slots=2)
    house.receive(TEN)
    forget_soon(house)  # the turn that was to come
    house.lose_connection()

    house.gate.open()
    again = house.receive(TEN)
    house.settle()

    assert house.started_ids == [again.id]


def forget_soon(house: Gatehouse) -> None:
    soon: deque[Callable[[], Any]] = house.soon
    soon.clear()


def test_slots_are_all_there_after_closing_while_a_pool_is_full(build: Build) -> None:
    house = build(slots=2)
    plain = [house.receive_plain() for _ in range(2)]
    plenty = TokenBucket("plenty", "1000/s", burst=1000)
    for _ in range(5):
        house.receive(plenty)
    house.settle()
    house.lose_connection()
    house.gate.open()

    for request in plain:
        house.end(request)
    again = [house.receive(plenty).id for _ in range(5)]
    house.run_seconds = 0.01
    house.advance(1)

    assert [one for one in house.started_ids if one not in {two.id for two in plain}] == again
    assert house.gate.idle_slots == 2


def test_closing_twice_does_no_harm(build: Build, limiter: Limiter) -> None:
    house = build(slots=2)
    for _ in range(4):
        house.receive(TEN, DAILY)
    house.settle()

    house.lose_connection()
    house.gate.close()
    house.gate.abandon()
    house.gate.abandon()

    assert house.held_count == 0
    assert free(limiter, DAILY) == 7  # one runs
