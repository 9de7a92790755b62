"""A held task that was revoked or has expired does not run, and its token goes to the next."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from celery.worker.request import Request
from support.gatehouse import Gatehouse
from support.gatehouses import Build, build, clock, limiter, tests_app

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, Limit, TokenBucket

__all__ = ["build", "clock", "limiter", "tests_app"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
TENTH_US = 100_000

Withdraw = Callable[[Gatehouse, Request], None]
ways = pytest.mark.parametrize("withdraw", [Gatehouse.revoke, Gatehouse.expire])


@ways
def test_it_does_not_run_and_the_next_in_line_has_its_start(
    build: Build, withdraw: Withdraw
) -> None:
    house = build(slots=2)
    house.run_seconds = 0.001
    sent = [house.receive(TEN) for _ in range(4)]
    house.settle()  # the second has a start ahead
    withdraw(house, sent[1])

    house.advance(1)

    assert house.started_ids == [sent[0].id, sent[2].id, sent[3].id]
    assert house.starts_us()[1] - TENTH_US <= 1
    assert sent[1].acknowledged


@ways
def test_those_behind_it_move_up_where_they_have_later_starts(
    build: Build, withdraw: Withdraw
) -> None:
    house = build(slots=4)
    house.run_seconds = 0.001
    sent = [house.receive(TEN) for _ in range(4)]
    house.settle()  # the second to the fourth have starts ahead
    withdraw(house, sent[1])

    house.advance(1)

    assert house.started_ids == [sent[0].id, sent[2].id, sent[3].id]
    assert house.starts_us()[1] - TENTH_US <= 1


@ways
def test_it_leaves_the_line_where_it_waits_without_a_grant(
    build: Build, withdraw: Withdraw
) -> None:
    house = build(slots=1)
    slow = TokenBucket("slow", "1/m", burst=1)
    sent = [house.receive(slow) for _ in range(3)]
    house.settle()
    house.end_all()
    withdraw(house, sent[1])

    house.advance(1.1)
    assert house.held_count == 1
    assert sent[1].acknowledged
    house.advance(60)

    assert house.started_ids == [sent[0].id, sent[2].id]


@ways
@pytest.mark.parametrize("limit", [TokenBucket("daily", "1/d", burst=2), Concurrency("lines", 2)])
def test_what_the_last_in_line_was_granted_is_given_back(
    build: Build, limiter: Limiter, withdraw: Withdraw, limit: Limit
) -> None:
    house = build(slots=1)
    house.receive_plain()
    queuing = house.receive_plain()
    request = house.receive(limit)
    house.settle()
    withdraw(house, request)
    house.end_all()
    assert house.started_ids[-1] == queuing.id
    house.end_all()

    assert request.id not in house.started_ids
    assert limiter.inspect(limit)[0].available == 2
    assert house.gate.idle_slots == 1


@ways
def test_all_of_a_line_withdrawn_at_once_start_nothing_and_are_charged_nothing(
    build: Build, limiter: Limiter, withdraw: Withdraw
) -> None:
    house = build(slots=4)
    hourly = TokenBucket("hourly", "3/s", burst=1)
    sent = [house.receive(hourly) for _ in range(6)]
    house.settle()
    for request in sent[1:]:
        withdraw(house, request)

    house.advance(5)

    assert house.started_ids == [sent[0].id]
    assert house.held_count == 0
    assert all(request.acknowledged for request in sent)
    assert limiter.inspect(hourly)[0].available == 1


@ways
def test_a_slot_whose_task_was_withdrawn_goes_to_the_next_in_line(
    build: Build, withdraw: Withdraw
) -> None:
    house = build(slots=1)
    plenty = TokenBucket("plenty", "1000/s", burst=1000)
    house.receive_plain()
    sent = [house.receive(plenty) for _ in range(3)]
    house.settle()
    withdraw(house, sent[0])

    house.end_all()

    assert house.started_ids[1:] == [sent[1].id]
    house.end_all()
    assert house.started_ids[2:] == [sent[2].id]
    house.end_all()
    assert house.gate.idle_slots == 1


def test_a_task_that_waits_for_too_long_is_handed_over_once_and_its_start_to_nobody(
    build: Build,
) -> None:
    house = build(slots=1, longest_hold_seconds=10)
    slow = TokenBucket("slow", "1/h", burst=1)
    sent = [house.receive(slow) for _ in range(3)]
    house.settle()
    house.end_all()

    house.advance(9)
    assert house.sent_again == []
    house.advance(30)

    assert house.sent_again == sent[1:]
    assert house.held_count == 0
