"""What waits in the backlog comes back when it is due: in order, fairly, and in nobody's way."""

from __future__ import annotations

from itertools import pairwise

import pytest
from celery.worker import state
from kombu import Queue
from support.backloghouse import Open, clock, open_house, queue, store, together, unsteady
from support.gatehouses import limiter
from support.unsteady import Unsteady

from celery_ratekit.backlog import Backlog
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Concurrency, FixedWindow, TokenBucket

__all__ = ["clock", "limiter", "open_house", "queue", "store", "unsteady"]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
HOURLY = TokenBucket("hourly", "1/h", burst=1)
TENTH_US = 100_000
SLOT = Concurrency("slot", 1)


def test_newcomers_do_not_overtake_those_who_wait(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.001
    before = [house.come(TEN) for _ in range(6)]
    house.settle()

    after = []
    for _ in range(4):
        house.advance(0.05)
        after.append(house.come(TEN))
    house.advance(1.5)

    assert house.started_ids == before + after


def test_those_who_need_not_wait_pass_those_who_do(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.001
    for _ in range(50):
        house.come(HOURLY)
    house.advance(1)

    free = [house.come(), house.come(), house.come(TEN)]
    house.settle()

    assert house.started_ids[1:] == free


def test_who_was_denied_is_not_taken_out_again_before_its_line_is_asked_for(
    open_house: Open,
) -> None:
    house = open_house()
    house.run_seconds = 0.001
    forty = TokenBucket("forty", "40/s", burst=1)
    ids = [house.come(forty) for _ in range(24)]
    for _ in range(150):
        house.advance(0.005)

    assert house.started_ids == ids
    # Once from the broker, once to start, and one time more or so for nothing.
    assert len(house.received) <= 4 * len(ids)


@pytest.mark.parametrize("run_seconds", [0.001, 0.05])
def test_later_starts_of_a_slow_limit_keep_no_slot_from_a_faster_one(
    run_seconds: float, open_house: Open
) -> None:
    house = open_house()
    house.run_seconds = run_seconds
    slow, fast = TokenBucket("slow", "8/s", burst=1), TokenBucket("fast", "20/s", burst=1)
    slow_ids = [house.come(slow) for _ in range(60)]
    fast_ids = [house.come(fast) for _ in range(120)]
    for _ in range(800):
        house.advance(0.005)

    started = house.started_ids
    assert len([one for one in started if one in slow_ids]) >= 8 * 4 - 1
    assert len([one for one in started if one in fast_ids]) >= 20 * 4 * 0.95


def test_groups_take_turns(open_house: Open) -> None:
    house = open_house(slots=1)
    house.run_seconds = 0.001
    users = [TokenBucket("user", "10/s", burst=1, key=key) for key in "ab"]
    house.come(users[0])
    many = [house.come(users[0]) for _ in range(30)]
    house.come(users[1])
    few = [house.come(users[1]) for _ in range(5)]
    house.settle()

    house.advance(0.55)

    assert [one for one in house.started_ids if one in few] == few
    assert [one for one in house.started_ids if one in many] == many[:5]


def test_higher_priority_comes_first_where_the_broker_counts_up(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.001
    house.come(TEN)
    low = [house.come(TEN, priority=0) for _ in range(2)]
    high = [house.come(TEN, priority=9) for _ in range(2)]
    house.settle()

    assert house.next_ids == high + low
    house.advance(1)

    assert house.started_ids[1:] == high + low


def test_what_is_pulled_too_early_goes_back_to_its_place(open_house: Open, store: Backlog) -> None:
    house = open_house()
    house.run_seconds = 0.001
    sent = [house.come(HOURLY) for _ in range(6)]
    house.settle()
    store.wake(house.queue)  # as after a change of the rate that was too small

    house.advance(3)

    assert house.started_ids == sent[:1]
    assert house.next_ids == sent[1:]
    assert (house.held_count, house.claimed) == (0, 0)
    assert len(state.requests) == len(state.reserved_requests) == 0
    assert house.controller.semaphore.value == house.gate.slot_count


def test_a_line_that_is_not_due_is_not_asked_for(open_house: Open, unsteady: Unsteady) -> None:
    house = open_house()
    house.run_seconds = 0.001
    for _ in range(6):
        house.come(HOURLY)
    house.advance(5)
    before = unsteady.commands

    house.advance(20)

    # One look a second, and every five seconds one for claims of the dead.
    assert unsteady.commands - before <= 20 + 4 + 2


def test_without_a_slot_nothing_is_claimed(open_house: Open) -> None:
    house = open_house(slots=2)
    sent = [house.come(TEN) for _ in range(3)]
    house.settle()
    plain = house.come()

    house.advance(2)
    assert (house.waiting, house.claimed, house.held_count) == (2, 0, 0)
    house.end_task(plain)

    assert house.started_ids == [sent[0], plain, sent[1]]
    assert (house.waiting, house.claimed) == (1, 0)


def test_who_is_due_queues_for_a_slot_among_plain_tasks(open_house: Open) -> None:
    house = open_house(slots=2)
    sent = [house.come(TEN) for _ in range(2)]
    house.settle()
    before = [house.come() for _ in range(3)]
    house.advance(1.2)  # The second is due now, and queues behind those who came before.
    after = [house.come() for _ in range(3)]

    house.end_task(sent[0])
    for task_id in [*before, sent[1], *after]:
        house.end_task(task_id)

    assert house.started_ids == [sent[0], *before, sent[1], *after]


def test_a_place_that_comes_back_wakes_the_next_at_once(open_house: Open) -> None:
    house = open_house()
    sent = [house.come(SLOT) for _ in range(4)]
    house.settle()
    assert house.next_ids == sent[1:]
    begun = house.now()

    for number, task_id in enumerate(sent):
        assert house.started_ids == sent[: number + 1]
        house.end_task(task_id)

    assert house.now() - begun < 0.01
    assert (house.waiting, house.claimed) == (0, 0)


def test_a_place_that_comes_back_wakes_the_next_in_the_turn_of_the_others(open_house: Open) -> None:
    one = open_house(with_semaphore=False)
    other = open_house(with_semaphore=False)
    first = one.come(SLOT)
    one.settle()
    second = other.come(SLOT)
    other.settle()
    together([one, other], 0.2)
    assert other.next_ids == [second]

    one.end_task(first)

    assert one.started_ids == [first, second]


def test_a_place_that_comes_back_wakes_the_next_also_when_it_is_time_to_look(
    open_house: Open,
) -> None:
    house = open_house()
    first = house.come(SLOT)
    house.advance(0.9)
    second = house.come(SLOT)
    house.settle()
    house.block(0.15)  # What was parked is due later, unless a place comes back.

    house.end_task(first)

    assert house.started_ids == [first, second]


def test_a_place_that_comes_back_wakes_the_next_in_whichever_queue(
    open_house: Open, queue: str
) -> None:
    house = open_house()
    house.lose_connection()
    more = [Queue(f"{queue} {number}") for number in range(2)]
    house.connect(*more)
    first = house.come(SLOT)
    waiting = [house.come(SLOT, queue=one) for one in more]
    house.settle()

    house.end_task(first)
    house.end_task(house.started_ids[1])

    assert sorted(house.started_ids[1:]) == sorted(waiting)


def test_what_has_room_again_is_not_remembered_where_nobody_waits(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.001
    for number in range(20):
        house.come(SLOT.with_key(number))
        house.advance(0.01)

    assert house.overflow.puller._freed == {}


def test_who_pulled_what_is_not_last_marks_its_limit(open_house: Open, limiter: Limiter) -> None:
    house = open_house()
    house.run_seconds = 0.001
    window = FixedWindow("window", "2/3s")
    sent = [house.come(window) for _ in range(6)]
    house.settle()

    for _ in range(8):
        house.advance(1)
        sent.append(house.come(window))
    house.advance(20)

    assert house.started_ids == sent


def test_two_workers_keep_rate_and_order_and_start_each_once(open_house: Open) -> None:
    houses = [open_house(slots=2, with_semaphore=False) for _ in range(2)]
    for house in houses:
        house.run_seconds = 0.01
    sent = []
    for number in range(20):
        sent.append(houses[number % 2].come(TEN))
        houses[number % 2].settle()

    together(houses, 2.5)

    started = sorted((one for house in houses for one in house.started), key=lambda one: one.at_us)
    assert sorted(one.id for one in started) == sorted(sent)
    starts = [one.at_us - one.at_us % 1000 for one in started]
    assert all(later - earlier >= TENTH_US - 10_000 for earlier, later in pairwise(starts))
    assert started[-1].at_us - houses[0].clock.begin <= 19 * TENTH_US + 300_000
    assert (houses[0].waiting, houses[0].claimed) == (0, 0)


def test_an_emptied_backlog_leaves_no_key(
    open_house: Open, limiter: Limiter, unsteady: Unsteady
) -> None:
    house = open_house()
    house.run_seconds = 0.001
    for _ in range(12):
        house.come(TEN)
    house.advance(3)

    assert len(house.started) == 12
    assert house.store.queues() == []
    assert house.store.claimers(house.queue) == []


def test_a_late_acknowledging_task_stays_claimed_until_its_end(open_house: Open) -> None:
    house = open_house()
    first, second = (house.come(TEN, name="late") for _ in range(2))
    house.advance(0.5)
    assert house.started_ids == [first, second]
    assert house.claimed == 1

    house.end_task(second)

    assert house.claimed == 0


def test_an_early_acknowledging_task_is_forgotten_when_it_begins(open_house: Open) -> None:
    house = open_house()
    for _ in range(2):
        house.come(TEN)

    house.advance(0.5)

    assert len(house.pool.jobs) == 2
    assert (house.waiting, house.claimed) == (0, 0)
