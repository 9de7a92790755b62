"""The gate starts tasks when their limits and the pool let them, in the order of their grants."""

from __future__ import annotations

import pytest
from support.gatehouses import Build, build, clock, limiter, tests_app

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, FixedWindow, TokenBucket

__all__ = ["build", "clock", "limiter", "tests_app"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
TENTH_US = 100_000


def test_tasks_start_in_order_of_arrival_at_their_granted_moments(build: Build) -> None:
    house = build(slots=4)
    house.run_seconds = 0.01
    sent = [house.receive(TEN).id for _ in range(25)]

    house.advance(2.399999)
    assert house.started_ids == sent[:24]
    house.advance(0.000002)

    assert house.started_ids == sent
    assert [one.grant.start_us - house.clock.begin for one in house.started if one.grant] == [
        number * TENTH_US for number in range(25)
    ]
    assert {one.late_us for one in house.started} <= {0, 1}  # 1: a float in between


def test_later_starts_of_a_slow_limit_keep_no_slot_from_a_faster_one(build: Build) -> None:
    house = build(slots=4)
    house.run_seconds = 0.01
    slow, fast = TokenBucket("slow", "8/s", burst=1), TokenBucket("fast", "20/s", burst=1)
    slow_ids = [house.receive(slow).id for _ in range(60)]
    fast_ids = [house.receive(fast).id for _ in range(120)]
    for _ in range(800):
        house.advance(0.005)

    started = house.started_ids
    assert len([one for one in started if one in slow_ids]) >= 8 * 4
    assert len([one for one in started if one in fast_ids]) >= 20 * 4


def test_who_was_denied_is_asked_for_again_when_its_limit_may_say_something_else(
    build: Build, limiter: Limiter
) -> None:
    house = build()
    hourly = TokenBucket("hourly", "1/h", burst=1)
    sent = [house.receive(hourly).id for _ in range(2)]
    house.settle()
    assert house.started_ids == sent[:1]

    limiter.reset(hourly)
    house.gate.forget_denials()
    house.gate.poke()
    house.settle()

    assert house.started_ids == sent


def test_tasks_that_take_long_leave_promised_starts_their_slots(build: Build) -> None:
    house = build(slots=2)
    house.run_seconds = 2.0
    slow, fast = TokenBucket("slow", "2/s", burst=1), TokenBucket("fast", "50/s", burst=1)
    house.receive(fast)
    house.advance(2.5)  # It is known now how long they take.
    for _ in range(8):
        house.receive(slow)
        house.receive(fast)
    for _ in range(2_000):
        house.advance(0.005)

    assert house.pool.most == 2
    assert len(house.started) >= 12
    assert max(one.late_us for one in house.started) <= TENTH_US


def test_a_task_starts_at_once_where_limit_and_pool_let_it(build: Build) -> None:
    house = build()

    request = house.receive(TEN)
    house.settle()

    assert house.started_ids == [request.id]
    assert house.held_count == 0


def test_no_task_starts_without_a_slot_and_the_next_does_when_one_ends(build: Build) -> None:
    house = build(slots=2)
    plenty = TokenBucket("plenty", "1000/s", burst=1000)
    sent = [house.receive(plenty) for _ in range(5)]
    house.settle()
    house.advance(5)
    assert house.started_ids == [one.id for one in sent[:2]]

    house.end(sent[0])
    assert house.started_ids == [one.id for one in sent[:3]]
    house.end_all()
    house.end_all()

    assert house.started_ids == [one.id for one in sent]
    assert house.pool.most == 2


def test_a_token_is_asked_for_only_when_a_slot_can_take_the_task(
    build: Build, limiter: Limiter
) -> None:
    house = build(slots=1)
    bucket = TokenBucket("stripe", "1/s", burst=10)
    for _ in range(8):
        house.receive(bucket)
    house.settle()

    assert len(house.started) == 1
    assert limiter.inspect(bucket)[0].available == 9


def test_starts_are_reserved_ahead_for_idle_slots_only_and_within_one_horizon(
    build: Build, limiter: Limiter
) -> None:
    two_slots = build(slots=2)
    for _ in range(8):
        two_slots.receive(TEN)
    two_slots.settle()
    assert two_slots.gate.room.granted_count == 1  # one runs, one start is promised

    slow = TokenBucket("slow", "1/m", burst=1)
    many_slots = build(slots=8)
    for _ in range(8):
        many_slots.receive(slow)
    many_slots.settle()
    assert many_slots.gate.room.granted_count == 0
    assert limiter.inspect(slow)[0].available == 0


def test_a_due_task_without_an_idle_slot_queues_for_one_among_plain_tasks(build: Build) -> None:
    house = build(slots=1)
    first = house.receive_plain()
    before = [house.receive_plain() for _ in range(3)]
    limited = house.receive(TEN)
    house.settle()
    after = [house.receive_plain() for _ in range(3)]
    for _ in range(8):
        house.end_all()

    expected = [first, *before, limited, *after]
    assert house.started_ids == [one.id for one in expected]


def test_a_start_that_was_reserved_ahead_queues_where_plain_tasks_took_its_slot(
    build: Build,
) -> None:
    house = build(slots=2)
    house.receive(TEN)
    second = house.receive(TEN)  # promised in 0.1 s, for the slot that is idle now
    house.settle()
    plain = [house.receive_plain() for _ in range(2)]
    house.advance(0.1)
    assert second.id not in house.started_ids

    house.end(plain[0])
    assert house.started_ids[-1] == plain[1].id
    house.end(plain[1])

    assert house.started_ids[-1] == second.id
    assert house.pool.most == 2


def test_limits_of_several_lines_that_share_one_get_fair_turns(build: Build) -> None:
    house = build(slots=1)
    house.run_seconds = 0.001
    users = [TokenBucket("user", "1000/s", burst=100, key=key) for key in "abc"]
    greedy = [house.receive(TEN, users[0]).id for _ in range(40)]
    house.settle()
    others = [house.receive(TEN, users[key]).id for _ in range(5) for key in (1, 2)]

    house.advance(1.65)

    assert set(others) <= set(house.started_ids)
    assert house.started_ids.index(others[-1]) <= 17
    assert [one for one in house.started_ids if one in greedy] == greedy[: len(house.started) - 10]


def test_a_line_that_its_own_limit_blocks_keeps_no_other_waiting(build: Build) -> None:
    house = build(slots=4)
    house.run_seconds = 0.001
    slow = FixedWindow("slow", "1/h")
    for _ in range(10):
        house.receive(slow)
    house.settle()
    quick = [house.receive(TEN).id for _ in range(5)]

    house.advance(0.4)

    assert [one for one in house.started_ids if one in quick] == quick


def test_limits_that_only_count_never_delay_and_are_charged(build: Build, limiter: Limiter) -> None:
    house = build(slots=8)
    once = TokenBucket("once", "1/h", burst=2)

    sent = [house.receive(shadow=[once]).id for _ in range(5)]
    house.settle()

    assert house.started_ids == sent
    assert limiter.inspect(once)[0].available == 0
    assert all(one.grant is not None and one.grant.costs == () for one in house.started)


def test_a_limit_that_only_counts_beside_one_that_is_enforced_is_charged_at_the_start(
    build: Build, limiter: Limiter
) -> None:
    house = build(slots=8)
    counted = TokenBucket("counted", "1/h", burst=5)
    for _ in range(3):
        house.receive(TEN, shadow=[counted])
    house.settle()
    assert limiter.inspect(counted)[0].available == 4

    house.advance(0.2)

    assert len(house.started) == 3
    assert 2 <= limiter.inspect(counted)[0].available < 2.001


def test_no_more_run_than_there_are_places_and_each_end_lets_the_next_start(
    build: Build,
) -> None:
    house = build(slots=8)
    house.run_seconds = 0.5
    lines = Concurrency("lines", 3)
    sent = [house.receive(lines).id for _ in range(10)]
    house.settle()
    assert house.started_ids == sent[:3]

    house.advance(2)

    assert house.started_ids == sent
    assert house.starts_us() == [0] * 3 + [500_000] * 3 + [1_000_000] * 3 + [1_500_000]
    assert house.pool.most == 3


def test_a_place_comes_back_once_also_where_a_time_out_is_followed_by_another_end(
    build: Build,
) -> None:
    house = build(slots=4)
    lines = Concurrency("lines", 1)
    for _ in range(3):
        house.receive(lines)
    house.settle()

    house.pool.jobs[0].time_out()
    house.settle()

    assert len(house.started) == 2
    assert len(house.pool.jobs) == 1


def test_a_place_that_another_worker_gives_back_is_soon_found(build: Build) -> None:
    one, other = build(slots=4), build(slots=4)
    lines = Concurrency("lines", 1)
    first = one.receive(lines)
    one.settle()
    waiting = other.receive(lines)
    other.settle()
    assert other.started == []

    one.end(first)
    other.advance(0.05)

    assert other.started_ids == [waiting.id]
