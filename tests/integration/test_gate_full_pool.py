"""A pool that is slower than the limit: who gets a slot starts at once, and no start is wasted."""

from __future__ import annotations

import pytest
from support.gatehouses import Build, build, clock, limiter, tests_app

from celery_ratekit.limits import TokenBucket

__all__ = ["build", "clock", "limiter", "tests_app"]

pytestmark = pytest.mark.redis

TWENTY = TokenBucket("twenty", "20/s", burst=1)


def test_a_pool_slower_than_the_limit_starts_each_task_when_its_grant_says(build: Build) -> None:
    house = build(slots=4)
    house.run_seconds = 0.3  # Four slots run 13 a second.
    sent = [house.receive(TWENTY).id for _ in range(40)]

    house.advance(4)

    assert house.started_ids == sent
    assert max(one.late_us for one in house.started) <= 1


def test_who_waits_for_a_slot_reserves_no_more_starts_than_there_are_slots(build: Build) -> None:
    house = build(slots=4)
    for _ in range(40):
        house.receive(TWENTY)
    house.advance(0.25)
    assert len(house.started) == 4

    house.end(house.started[0].request)

    assert len(house.started) == 5
    house.end(house.started[1].request)  # A token for its slot is there after 50 ms only.

    assert len(house.gate.room.granted) == 1


def test_a_start_far_ahead_keeps_no_slot_from_those_that_may_start_now(build: Build) -> None:
    house = build(slots=1)
    house.run_seconds = 0.01
    for _ in range(5):
        house.receive(TokenBucket("slow", "1/s", burst=1))
    house.advance(0.5)  # One has run, and the next is granted its start.
    fast = [house.receive(TokenBucket("fast", "1000/s", burst=1)).id for _ in range(20)]

    house.advance(0.4)

    assert house.started_ids[1:] == fast


def test_many_users_with_slow_limits_share_few_slots_at_their_full_rates(build: Build) -> None:
    house = build(slots=2)
    house.run_seconds = 0.01
    for user in range(20):
        for _ in range(4):
            house.receive(TokenBucket("user", "1/s", burst=1, key=str(user)))

    house.advance(3.9)

    assert len(house.started) == 80


def test_quick_limited_tasks_keep_their_turn_among_many_plain_ones(build: Build) -> None:
    plentiful = TokenBucket("plentiful", "1000/s", burst=1000)
    house = build(slots=4)
    house.run_seconds = 0.01
    for _ in range(8):
        house.receive(plentiful)
    house.advance(0.5)
    sent = []
    for number in range(800):
        one = house.receive(plentiful) if number % 40 == 20 else house.receive_plain()
        sent.append(one.id)
        house.settle()  # The loop takes in one message after the other.

    house.advance(4)

    order = house.started_ids[8:]
    limited = [one for one in sent if one.startswith("limited")]
    assert [one for one in order if one in limited] == limited
    assert max(order.index(one) - sent.index(one) for one in limited) <= 4
