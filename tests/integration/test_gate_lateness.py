"""A grant whose moment has passed is given back: what stood still makes no burst afterwards."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.gatehouse import Gatehouse
from support.gatehouses import Build, build, clock, limiter, tests_app

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import TokenBucket
from celery_ratekit.tasks.admission import LATE_SECONDS

__all__ = ["build", "clock", "limiter", "tests_app"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
TENTH_US = 100_000


def most_in_a_second(house: Gatehouse) -> int:
    starts = house.starts_us()
    return max(sum(begin <= start < begin + 1_000_000 for start in starts) for begin in starts)


def no_start_was_late(house: Gatehouse) -> bool:
    limited = [one for one in house.started if one.grant is not None]
    return all(0 <= one.late_us <= LATE_SECONDS * 1e6 for one in limited)


def test_a_pool_that_was_blocked_runs_no_saved_up_starts_afterwards(build: Build) -> None:
    house = build(slots=4)
    sent = [house.receive(TEN).id for _ in range(40)]
    house.advance(0.35)
    house.advance(10)
    assert len(house.started) == 4  # they run on and on

    house.run_seconds = 0.01
    house.end_all()
    house.advance(3.7)

    assert house.started_ids == sent
    assert no_start_was_late(house)
    assert most_in_a_second(house) <= 11


def test_plain_tasks_that_blocked_the_pool_leave_no_burst(build: Build) -> None:
    house = build(slots=4)
    sent = [house.receive(TEN).id for _ in range(20)]
    house.settle()
    for _ in range(4):
        house.receive_plain()
    house.advance(10)

    house.run_seconds = 0.01
    house.end_all()
    house.advance(3)

    assert sorted(one.id for one in house.started if one.grant) == sorted(sent)
    assert no_start_was_late(house)
    assert most_in_a_second(house) <= 11 + 5  # the plain ones too


def test_a_loop_that_stood_still_starts_nothing_late(build: Build) -> None:
    house = build(slots=8)
    house.run_seconds = 0.01
    sent = [house.receive(TEN).id for _ in range(30)]
    house.advance(0.2)
    before = len(house.started)

    house.block(5)
    house.advance(0)
    assert len(house.started) <= before + 1
    house.advance(3)

    assert house.started_ids == sent
    assert no_start_was_late(house)
    assert most_in_a_second(house) <= 11


def test_starts_that_were_due_while_the_loop_stood_still_wait_for_no_offered_slot(
    build: Build,
) -> None:
    # Slots come free, and are offered to who queued for one, before the alarm has rung.
    house = build(slots=4)
    other = TokenBucket("other", "1000/s", burst=1000)
    for _ in range(8):
        house.receive(TEN)
    house.settle()  # one runs, three have starts ahead
    plain = [house.receive_plain() for _ in range(3)]
    waiting = [house.receive(other) for _ in range(6)]
    house.settle()

    house.block(5)
    for request in plain:
        house.end(request)
    house.advance(0)

    assert no_start_was_late(house)
    assert waiting[0].id in house.started_ids


def test_a_late_grant_is_given_back_and_its_task_asked_for_anew_in_its_place(
    build: Build, limiter: Limiter
) -> None:
    house = build(slots=1)
    hourly = TokenBucket("hourly", "1/h", burst=3)
    house.receive_plain()
    house.receive_plain()  # queues for the slot
    first, second = house.receive(hourly), house.receive(hourly)
    house.settle()
    house.advance(5)
    assert limiter.inspect(hourly)[0].available == 3

    house.end_all()
    house.end_all()
    house.end_all()

    assert house.started_ids[-2:] == [first.id, second.id]
    assert limiter.inspect(hourly)[0].available < 1.01


def test_a_start_in_stock_that_got_its_slot_too_late_is_asked_for_anew(build: Build) -> None:
    house = build(slots=4)
    house.run_seconds = 0.001
    many = TokenBucket("many", "1000/s", burst=100)
    for _ in range(200):
        house.receive(many)
        house.advance(0.001)
    assert any(line.stock for line in house.gate.room._lines.values())
    house.run_seconds = None
    house.end_all()
    for _ in range(8):
        house.receive_plain()
    late = [house.receive(many).id for _ in range(3)]
    house.advance(0.5)

    for _ in range(5):
        house.end_all()
    house.advance(0.1)

    assert sorted(house.started_ids[-3:]) == sorted(late)
    assert no_start_was_late_of(house, late)


def no_start_was_late_of(house: Gatehouse, ids: list[str]) -> bool:
    ours = [one for one in house.started if one.id in ids]
    return len(ours) == len(ids) and all(one.late_us <= LATE_SECONDS * 1e6 for one in ours)


@pytest.mark.parametrize("late_ms", [99, 101])
def test_the_limit_of_lateness_is_a_tenth_of_a_second(build: Build, late_ms: int) -> None:
    house = build(slots=2)
    house.receive(TEN)
    second = house.receive(TEN)
    house.settle()
    house.advance(0.099)

    house.block(0.001 + late_ms / 1000)
    house.advance(0)

    start = next(one for one in house.started if one.id == second.id)
    expected_us = late_ms * 1000 if late_ms < 100 else 0
    assert abs(start.late_us - expected_us) <= 1


def test_starts_that_queued_for_slots_while_these_were_taken_come_at_the_limits_rate(
    build: Build,
) -> None:
    # Each is found late in its own turn, and what it gives back must not let the next one start.
    house = build(slots=8)
    sent = [house.receive(TEN).id for _ in range(8)]
    house.settle()  # one runs, seven have starts ahead
    for _ in range(8):
        house.receive_plain()
    house.advance(10)
    assert len([one for one in house.started if one.grant]) == 1

    house.run_seconds = 0.01
    house.end_all()
    house.end_all()
    house.advance(2)

    limited = [one for one in house.started if one.grant is not None]
    assert sorted(one.id for one in limited) == sorted(sent)
    starts = [one.grant.start_us for one in limited if one.grant is not None]
    assert all(later - sooner >= TENTH_US - 1 for sooner, later in pairwise(starts))
